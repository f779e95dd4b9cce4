"""Inside the twin: QEMU's guest agent (qemu-ga), spoken to through libvirt (QGA protocol reference)."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from appliance.errors import TwinFailed

CALL = 60.0
"""Seconds for one answer of the agent: on a busy emulated machine a call takes up to 5."""

CHUNK = 1 << 20
"""Bytes per guest-file-read and -write: far below what libvirt takes in one message (10 MiB)."""

GRACE = 5.0


class Channel(Protocol):
    """One request to the agent, one answer. `hypervisor` has the real one."""

    def call(self, command: str, arguments: Mapping[str, Any], timeout: float) -> Any:
        """The value of `return`. Raises TwinFailed for an error or silence of more than `timeout` seconds."""


@dataclass(frozen=True, slots=True)
class GuestOutput:
    """What a program in the guest left: exit status (128+n for a signal) and raw bytes."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class Guest:
    """The running twin from inside. Everything raises TwinFailed where the agent errs or is silent."""

    channel: Channel
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def ping(self, timeout: float = 5.0) -> bool:
        """Whether the agent answers within `timeout` seconds."""
        try:
            self.channel.call("guest-ping", {}, timeout)
        except TwinFailed:
            return False
        return True

    def wait(self, limit: float, alive: Callable[[], bool] = lambda: True) -> float:
        """Wait until the agent answers; seconds waited. TwinFailed after `limit` or once not `alive`."""
        started = self.clock()
        while self.clock() - started < limit:
            if self.ping():
                return self.clock() - started
            if not alive():
                raise TwinFailed("The twin ended before its agent answered.")
            self.sleep(1.0)
        raise TwinFailed(f"The twin's agent did not answer within {limit:.0f} s.")

    def exec(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        env: tuple[tuple[str, str], ...] = (),
        timeout: float,
    ) -> GuestOutput:
        """Run a program and wait for its end. One that passes `timeout` is killed, and TwinFailed raised.

        Output past 16 MiB is cut off by the agent, which is an error here.
        """
        arguments: dict[str, Any] = {"path": argv[0], "arg": list(argv[1:]), "capture-output": True}
        if stdin:
            arguments["input-data"] = base64.b64encode(stdin).decode()
        if env:
            arguments["env"] = [f"{name}={value}" for name, value in env]
        pid = int(_field(self.channel.call("guest-exec", arguments, CALL), "pid"))
        status = self._end_of(pid, argv, timeout)
        if status.get("out-truncated") or status.get("err-truncated"):
            raise TwinFailed(f"{argv[0]} in the twin said more than the agent can carry.")
        code = status["exitcode"] if "exitcode" in status else 128 + int(status.get("signal", 0))
        return GuestOutput(int(code), _bytes(status, "out-data"), _bytes(status, "err-data"))

    def _end_of(self, pid: int, argv: tuple[str, ...], timeout: float) -> dict[str, Any]:
        started, pause = self.clock(), 0.1
        while True:
            status = self.channel.call("guest-exec-status", {"pid": pid}, CALL)
            if not isinstance(status, dict):
                raise TwinFailed("The twin's agent gave an answer that is not understood.")
            if status.get("exited"):
                return status
            if self.clock() - started > timeout:
                kill = {"path": "kill", "arg": ["-KILL", str(pid)], "capture-output": False}
                self.channel.call("guest-exec", kill, CALL)
                raise TwinFailed(f"{argv[0]} in the twin did not end within {timeout:.0f} s.")
            self.sleep(pause)
            pause = min(1.0, pause * 1.5)

    def read_file(self, path: str) -> bytes:
        """The whole of a regular file in the guest."""
        with self._open(path, "r") as handle:
            parts = []
            while True:
                answer = self.channel.call("guest-file-read", {"handle": handle, "count": CHUNK}, CALL)
                parts.append(_bytes(answer, "buf-b64"))
                if answer.get("eof") or not answer.get("count"):
                    return b"".join(parts)

    def write_file(self, path: str, data: bytes, mode: int) -> None:
        """Write a file in the guest, in place. Its folder must be there."""
        with self._open(path, "w") as handle:
            for at in range(0, len(data), CHUNK):
                part = base64.b64encode(data[at : at + CHUNK]).decode()
                self.channel.call("guest-file-write", {"handle": handle, "buf-b64": part}, CALL)
            self.channel.call("guest-file-flush", {"handle": handle}, CALL)
        self.exec(("chmod", f"{mode:04o}", path), timeout=CALL)

    @contextmanager
    def _open(self, path: str, mode: str) -> Iterator[int]:
        handle = int(self.channel.call("guest-file-open", {"path": path, "mode": mode}, CALL))
        try:
            yield handle
        finally:
            self.channel.call("guest-file-close", {"handle": handle}, CALL)

    @contextmanager
    def frozen(self, limit: float = 30.0) -> Iterator[Frozen]:
        """File systems frozen within the block, and thawed after it, or after `limit` seconds by a watchdog.

        `held` of what is yielded says after the block whether they were frozen throughout: only then may a
        snapshot be called frozen. Raises TwinFailed where nothing can be frozen.
        """
        state = Frozen(int(self.channel.call("guest-fsfreeze-freeze", {}, CALL)))
        watchdog = threading.Timer(limit, self._let_go, (state,))
        watchdog.daemon = True
        watchdog.start()
        try:
            yield state
        finally:
            watchdog.cancel()
            with state.lock:
                if not state.thawed:
                    state.held = state.count > 0 and self._thaw() > 0
                    state.thawed = True

    def _let_go(self, state: Frozen) -> None:
        with state.lock:
            if not state.thawed:
                state.thawed = True
                state.held = False
                self._thaw()

    def is_frozen(self) -> bool:
        """What its agent says of its file systems at this moment."""
        return bool(self.channel.call("guest-fsfreeze-status", {}, CALL) == "frozen")

    def _thaw(self) -> int:
        """Thaw until the agent says so: a frozen system is a hung one. Returns how many were thawed."""
        for attempt in range(5):
            try:
                return int(self.channel.call("guest-fsfreeze-thaw", {}, CALL))
            except TwinFailed:
                if attempt == 4:
                    raise
                self.sleep(GRACE)
        raise AssertionError  # the loop returns or raises

    def shutdown(self) -> None:
        """Ask for a clean power-off; the caller waits for the domain to end."""
        try:
            self.channel.call("guest-shutdown", {"mode": "powerdown"}, GRACE)
        except TwinFailed:
            # The agent answers nothing when it succeeds. Whether it did shows in the domain's state.
            return


@dataclass(slots=True)
class Frozen:
    """A freeze of `count` file systems. `held`: they were frozen until the block ended."""

    count: int
    held: bool = False
    thawed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stays(self, frozen: bool) -> None:
        """The guest ends here: there will be nobody to thaw. `frozen`: it is so at this moment."""
        with self.lock:
            if not self.thawed:
                self.held = frozen and self.count > 0
                self.thawed = True


def _field(answer: Any, key: str) -> Any:
    if not isinstance(answer, dict) or key not in answer:
        raise TwinFailed(f"The twin's agent gave an answer without {key}.")
    return answer[key]


def _bytes(answer: Any, key: str) -> bytes:
    try:
        return base64.b64decode(answer.get(key, ""), validate=True)
    except (ValueError, AttributeError):
        raise TwinFailed(f"The twin's agent gave {key} that does not decode.") from None
