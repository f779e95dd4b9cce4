"""QEMU's machine protocol: one command at a time over a unix socket."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab.native import LabError


class Qmp:
    """A connection to one QEMU. Raises LabError when QEMU answers with an error or not within the limit.

    `running` is asked while QEMU has not opened its socket yet: one that ended never will.
    """

    def __init__(self, path: Path, running: Callable[[], bool] = lambda: True, limit: float = 30.0) -> None:
        deadline = time.monotonic() + limit
        self._socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self._socket.connect(str(path))
                break
            except OSError:
                if time.monotonic() > deadline or not running():
                    raise LabError(f"QEMU did not open {path} within {limit:.0f} s.") from None
                time.sleep(0.05)
        self._stream = self._socket.makefile("rw", encoding="utf-8")
        self._socket.settimeout(limit)
        try:
            self._stream.readline()
        except OSError as error:
            raise LabError(f"QEMU hung up before it said anything: {error}") from error
        self.command("qmp_capabilities")

    def command(self, name: str, /, **arguments: Any) -> Any:
        """Run one command and return its `return` value; events met on the way are passed over."""
        try:
            self._stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
            self._stream.flush()
            while True:
                line = self._stream.readline()
                if not line:
                    raise LabError(f"QEMU has gone while asked to {name}.")
                answer = json.loads(line)
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise LabError(f"QEMU refuses {name}: {answer['error']['desc']}")
        except OSError as error:
            raise LabError(f"QEMU does not answer {name}: {error}") from error

    def close(self) -> None:
        self._socket.close()
