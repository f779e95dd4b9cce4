"""The one seam for commands: every program the appliance starts goes through a `Host`."""

from __future__ import annotations

import enum
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from appliance.errors import CommandFailed

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

LAST_WORDS = 5.0
"""Seconds that a killed program is waited for."""


class Effect(enum.Enum):
    """Whether a command can change anything outside the appliance's own memory."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Command:
    """One program to run: an argument list, never a shell line.

    `timeout` is in seconds. `stdin` carries secrets, which appear in no log. `env` adds to a fixed
    environment (PATH, LC_ALL=C.UTF-8). `often`: asked every few seconds, so that only its failure is told.
    """

    argv: tuple[str, ...]
    effect: Effect
    ok: frozenset[int] = frozenset({0})
    timeout: float = 300.0
    stdin: bytes = field(default=b"", repr=False)
    env: tuple[tuple[str, str], ...] = ()
    often: bool = False

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True, slots=True)
class Output:
    status: int
    stdout: str
    stderr: str = ""


def read(
    *argv: str, timeout: float = 300.0, ok: frozenset[int] = frozenset({0}), often: bool = False
) -> Command:
    return Command(argv, Effect.READ, ok=ok, timeout=timeout, often=often)


def write(*argv: str, timeout: float = 300.0, ok: frozenset[int] = frozenset({0})) -> Command:
    return Command(argv, Effect.WRITE, ok=ok, timeout=timeout)


class Host(Protocol):
    """Where commands run. `RealHost` runs them, `DryHost` records the writes, tests replay recordings."""

    def run(self, command: Command) -> Output: ...


def _nothing(_: Command, __: Output, ___: float) -> None:
    return None


@dataclass(frozen=True, slots=True)
class RealHost:
    """Runs commands on this machine.

    `log` is told of every finished command with its output and duration in seconds.
    Raises CommandFailed when a program is missing, passes its limit, or ends with a status not in `ok`.
    """

    log: Callable[[Command, Output, float], None] = _nothing

    def run(self, command: Command) -> Output:
        started = time.monotonic()
        env = {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", **dict(command.env)}
        try:
            process = subprocess.Popen(
                command.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=env,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandFailed(f"{command.argv[0]} could not be started: {error.strerror}.") from error
        try:
            out, err = process.communicate(command.stdin, timeout=command.timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            raise CommandFailed(f"{command} did not finish within {command.timeout:.0f} s.") from None
        except BaseException:
            _end(process)
            raise
        output = Output(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
        self.log(command, output, time.monotonic() - started)
        if output.status not in command.ok:
            raise CommandFailed(f"{command} ended with status {output.status}: {_reason(output)}")
        return output


def _reason(output: Output) -> str:
    """The last line a program said, without libmount's advice where to look further (mount(8))."""
    lines = (output.stderr.strip() or output.stdout.strip() or "no message").splitlines()
    return next((line for line in reversed(lines) if "dmesg(1) may have" not in line), lines[-1]).strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it with its group. Who hangs in the kernel, or holds our pipes from a session of its own, is not
    waited for."""
    os.killpg(process.pid, signal.SIGKILL)
    try:
        process.communicate(timeout=LAST_WORDS)
    except subprocess.TimeoutExpired:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@dataclass(slots=True)
class DryHost:
    """The only place that knows "dry": reads are real, writes are recorded in `would`, paste-able."""

    inner: Host
    would: list[str] = field(default_factory=list)

    def run(self, command: Command) -> Output:
        if command.effect is Effect.READ:
            return self.inner.run(command)
        self.would.append(str(command))
        return Output(0, "")
