"""A guest agent in memory: a channel that answers as qemu-ga does, with programs given by the test."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.errors import TwinFailed
from appliance.twin.guest import Guest

Program = Callable[[list[str], bytes], tuple[int, bytes, bytes]]


@dataclass
class FakeAgent:
    """guest.Channel. `silent` calls raise before the first answer; `polls` is how long a program runs."""

    program: Program = lambda argv, stdin: (0, b"", b"")
    files: dict[str, bytes] = field(default_factory=dict)
    silent: int = 0
    polls: int = 0
    frozen: bool = False
    calls: list[str] = field(default_factory=list)
    fail: set[str] = field(default_factory=set)
    signal: int = 0
    truncated: bool = False
    _running: dict[int, list[Any]] = field(default_factory=dict)
    _open: dict[int, list[Any]] = field(default_factory=dict)

    def call(self, command: str, arguments: Mapping[str, Any], timeout: float) -> Any:
        self.calls.append(command)
        if self.silent:
            self.silent -= 1
            raise TwinFailed("The twin's agent did not do what it was asked: not connected.")
        if command in self.fail:
            raise TwinFailed(f"The twin's agent did not do what it was asked: {command}.")
        if self.frozen and command not in ("guest-fsfreeze-thaw", "guest-fsfreeze-status", "guest-ping"):
            raise TwinFailed(f"Command {command} has been disabled: the command is not allowed while frozen")
        return getattr(self, "_" + command.removeprefix("guest-").replace("-", "_"))(arguments)

    def _ping(self, _: Mapping[str, Any]) -> Any:
        return {}

    def _exec(self, arguments: Mapping[str, Any]) -> Any:
        argv = [arguments["path"], *arguments["arg"]]
        stdin = base64.b64decode(arguments.get("input-data", ""))
        pid = len(self._running) + 100
        if argv[0] == "chmod":
            result: tuple[int, bytes, bytes] = (0, b"", b"")
        elif argv[0] == "kill":
            result = (0, b"", b"")
        else:
            result = self.program(argv, stdin)
        self._running[pid] = [self.polls, result]
        return {"pid": pid}

    def _exec_status(self, arguments: Mapping[str, Any]) -> Any:
        running = self._running[arguments["pid"]]
        if running[0]:
            running[0] -= 1
            return {"exited": False}
        status, out, err = running[1]
        answer: dict[str, Any] = {"exited": True}
        answer |= {"signal": self.signal} if self.signal else {"exitcode": status}
        if out:
            answer["out-data"] = base64.b64encode(out).decode()
        if err:
            answer["err-data"] = base64.b64encode(err).decode()
        if self.truncated:
            answer["out-truncated"] = True
        return answer

    def _file_open(self, arguments: Mapping[str, Any]) -> Any:
        path, mode = arguments["path"], arguments["mode"]
        if mode == "r" and path not in self.files:
            raise TwinFailed(f"failed to open file '{path}': No such file or directory")
        if mode == "w":
            self.files[path] = b""
        handle = len(self._open) + 1000
        self._open[handle] = [path, 0]
        return handle

    def _file_read(self, arguments: Mapping[str, Any]) -> Any:
        opened = self._open[arguments["handle"]]
        data = self.files[opened[0]][opened[1] : opened[1] + arguments["count"]]
        opened[1] += len(data)
        return {"count": len(data), "buf-b64": base64.b64encode(data).decode(), "eof": not data}

    def _file_write(self, arguments: Mapping[str, Any]) -> Any:
        opened = self._open[arguments["handle"]]
        self.files[opened[0]] += base64.b64decode(arguments["buf-b64"])
        return {"count": 1, "eof": False}

    def _file_flush(self, _: Mapping[str, Any]) -> Any:
        return {}

    def _file_close(self, arguments: Mapping[str, Any]) -> Any:
        del self._open[arguments["handle"]]
        return {}

    def _fsfreeze_freeze(self, _: Mapping[str, Any]) -> Any:
        self.frozen = True
        return 3

    def _fsfreeze_status(self, _: Mapping[str, Any]) -> Any:
        return "frozen" if self.frozen else "thawed"

    def _fsfreeze_thaw(self, _: Mapping[str, Any]) -> Any:
        thawed = 3 if self.frozen else 0
        self.frozen = False
        return thawed

    def _shutdown(self, _: Mapping[str, Any]) -> Any:
        raise TwinFailed("The twin's agent did not do what it was asked: guest agent not available now.")

    @property
    def open_files(self) -> int:
        return len(self._open)


@dataclass
class Clock:
    """Time that passes only by sleeping."""

    now: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def read(self) -> float:
        return self.now


def guest(agent: FakeAgent) -> Guest:
    clock = Clock()
    return Guest(agent, sleep=clock.sleep, clock=clock.read)
