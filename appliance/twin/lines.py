"""Two lines into the twin, through libvirt: its serial line to type on, and its agent's."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import libvirt

from appliance.errors import TwinFailed

_GONE = libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP


class ConsoleLine:
    """The keyboard's way into the twin, through libvirt's stream.

    What comes back on it is read and dropped: it stands in the console's log as well, from the first byte on,
    and a stream that nobody reads would hold up the twin's own serial port.
    """

    LIMIT = 10.0
    """Seconds for the twin to take what is typed: a guest that hangs reads nothing."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.ended = False
        self._lock = threading.Lock()
        stream.eventAddCallback(libvirt.VIR_STREAM_EVENT_READABLE | _GONE, self._on_event, None)

    def _on_event(self, stream: Any, events: int, _opaque: Any) -> None:
        try:
            if events & _GONE:
                self.ended = True
                stream.eventRemoveCallback()
                return
            # -2: nothing there at the moment; no bytes: the other end has gone (virStreamRecv).
            while (data := stream.recv(65536)) != -2:
                if not data:
                    self.ended = True
                    stream.eventRemoveCallback()
                    return
        except libvirt.libvirtError:
            self.ended = True

    def send(self, data: bytes) -> None:
        """Type `data`. Raises TwinFailed where the line has gone or takes nothing for 10 s."""
        end = time.monotonic() + self.LIMIT
        with self._lock:
            while data:
                if self.ended:
                    raise TwinFailed("The twin's serial line has gone: its VM was switched off.")
                try:
                    taken = self._stream.send(data)
                except libvirt.libvirtError as error:
                    raise TwinFailed(f"The twin's serial line takes nothing: {error}.") from error
                data = data[max(0, taken) :]
                if data and time.monotonic() > end:
                    raise TwinFailed("The twin does not read its serial line.")
                if data:
                    time.sleep(0.02)

    def close(self) -> None:
        """Let go of it; nothing happens the second time."""
        with self._lock, contextlib.suppress(libvirt.libvirtError):
            stream, self.ended = self._stream, True
            stream.eventRemoveCallback()
            stream.abort()


class Agents(Protocol):
    """What passes a line on to a guest's agent; `hypervisor.Hypervisor` in the product."""

    def agent_call(self, name: str, request: str, timeout: float) -> str: ...


@dataclass(frozen=True, slots=True)
class LibvirtChannel:
    """guest.Channel through libvirt."""

    hypervisor: Agents
    name: str

    def call(self, command: str, arguments: Mapping[str, Any], timeout: float) -> Any:
        request: dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = dict(arguments)
        answer = self.hypervisor.agent_call(self.name, json.dumps(request), timeout)
        try:
            return json.loads(answer)["return"]
        except (json.JSONDecodeError, KeyError, TypeError):
            raise TwinFailed("The twin's agent gave an answer that does not read.") from None
