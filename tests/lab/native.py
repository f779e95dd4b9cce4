"""Programs the laboratory runs on the development machine itself, and the progress it prints."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

TAIL = 40


class LabError(RuntimeError):
    """The laboratory could not do what it was asked; the text ends with the last output there was."""


class EmulatorDied(LabError):
    """QEMU itself ended by a fault of its own (an abort, a crash): it says nothing about the system in it."""


def tail(text: str, lines: int = TAIL) -> str:
    return "\n".join(text.splitlines()[-lines:])


def run(
    *argv: str | Path,
    timeout: float = 600.0,
    stdin: bytes = b"",
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run one program and return its standard output; LabError names the command and ends with its output.

    `timeout` is in seconds; the whole process group is killed when it has passed.
    """
    command = [str(word) for word in argv]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **(env or {})}
    environment["PATH"] = "/usr/local/sbin:/usr/sbin:/sbin:" + environment.get("PATH", "/usr/bin:/bin")
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            timeout=timeout,
            env=environment,
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed on this machine.") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{shlex.join(command)} did not finish within {timeout:.0f} s.") from error
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if done.returncode != 0:
        raise LabError(
            f"{shlex.join(command)} ended with status {done.returncode}:\n{tail(out)}\n{tail(err)}"
        )
    return out


@contextlib.contextmanager
def stage(title: str) -> Iterator[None]:
    """Print one progress line with the seconds the enclosed work took."""
    started = time.monotonic()
    print(f"lab: {title} ...", file=sys.stderr, flush=True)
    try:
        yield
    except BaseException:
        print(f"lab: {title}: FAILED after {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
        raise
    print(f"lab: {title}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)


@contextlib.contextmanager
def chroot_mounts(root: Path) -> Iterator[None]:
    """Bind /proc, /sys and /dev into `root`, and forbid services to be started by package scripts."""
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    mounted: list[Path] = []
    try:
        for name in ("proc", "sys", "dev"):
            run("mount", "--bind", f"/{name}", root / name)
            mounted.append(root / name)
        yield
    finally:
        for place in reversed(mounted):
            run("umount", "--lazy", place)
        policy.unlink(missing_ok=True)
