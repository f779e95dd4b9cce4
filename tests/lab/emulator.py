"""One run of QEMU, from its start to its end, and the frames its network card carried."""

from __future__ import annotations

import atexit
import os
import shlex
import signal
import struct
import subprocess
from pathlib import Path

from tests.lab.console import Console
from tests.lab.native import LabError, tail
from tests.lab.qmp import Qmp

CRASHES = frozenset({signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})

# QEMU dies when the pipe on standard input closes: with the test process, however that ends.
SUPERVISOR = """
"$@" </dev/null & qemu=$!
exec 3<&0
(read _ <&3; kill -9 $qemu) 2>/dev/null & watch=$!
wait $qemu; status=$?
kill $watch 2>/dev/null
exit $status
"""


HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""For its table of a million translated blocks, which is where emulation spends a fifth of its time."""


class Emulator:
    """A started QEMU with its control socket and both serial lines; everything lies in `folder`.

    LabError with QEMU's own words when it does not come up.
    """

    def __init__(self, argv: list[str], folder: Path) -> None:
        self._folder = folder
        (folder / "qemu.sh").write_text(shlex.join(argv) + "\n")
        supervised = ["/bin/sh", "-c", SUPERVISOR, "sh", *argv]
        with (folder / "qemu.err").open("wb") as said:
            self._process = subprocess.Popen(
                supervised, stdin=subprocess.PIPE, stdout=said, stderr=said, env=os.environ | HUGE_PAGES
            )
        atexit.register(self.kill)
        try:
            self.qmp = Qmp(folder / "qmp", lambda: self.running)
            self.console = Console(folder / "ttyS0", "ttyS0", self._crash)
            self.debug = Console(folder / "ttyS1", "ttyS1", self._crash)
        except LabError as error:
            self._stop()
            raise LabError(f"{error}\nQEMU said: {self.said()}") from error

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def processor_seconds(self) -> float:
        """Processor time QEMU has used: comparable between a busy and a quiet machine."""
        child = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0]
        fields = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait(self, limit: float) -> None:
        """Wait until QEMU ends by itself, with status 0."""
        try:
            status = self._process.wait(limit)
        except subprocess.TimeoutExpired:
            raise LabError(f"still on after {limit:.0f} s. Last words:\n{self.console.end()}") from None
        self._close()
        if status != 0:
            raise LabError(f"QEMU ended with status {status}: {self.said()}\n{self.console.end()}")

    def kill(self) -> None:
        """Stop QEMU at once, if it runs; what the serial lines said stays readable."""
        self._stop()
        self._close()

    def said(self) -> str:
        """The end of what QEMU itself wrote."""
        return tail((self._folder / "qemu.err").read_text(errors="replace"))

    def _crash(self) -> str:
        """What QEMU said when a fault of its own ended it; empty where it runs, ended well or was killed."""
        try:
            status = self._process.wait(10)
        except subprocess.TimeoutExpired:
            return ""
        return (self.said() or f"status {status}") if status - 128 in CRASHES else ""

    def _stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        atexit.unregister(self.kill)

    def _close(self) -> None:
        atexit.unregister(self.kill)
        for line in (self.qmp, self.console, self.debug):
            line.close()


def frames(capture: Path) -> list[bytes]:
    """Every Ethernet frame of a pcap file, as QEMU's filter-dump writes it."""
    raw = capture.read_bytes()
    found, position = [], 24
    while position + 16 <= len(raw):
        size = struct.unpack_from("<IIII", raw, position)[2]
        found.append(raw[position + 16 : position + 16 + size])
        position += 16 + size
    return found
