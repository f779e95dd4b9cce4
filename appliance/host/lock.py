"""One flock(2) on a file: the kernel lets go of it when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from appliance.errors import Busy

POLL = 0.1


@contextlib.contextmanager
def locked(path: Path, who: str, wait: float = 0.0) -> Iterator[None]:
    """Hold `path` alone for the time of the block; `who` is what others are told meanwhile.

    Waits up to `wait` seconds. Raises Busy naming the holder. The file stays: deleting it would let two
    holders lock two different files of one name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(handle, path, time.monotonic() + wait)
        os.ftruncate(handle, 0)
        os.pwrite(handle, who.encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _acquire(handle: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(handle, 4096, 0).decode(errors="replace").strip() or "somebody else"
                raise Busy(f"{holder} is at work ({path.name} is held).") from None
        time.sleep(POLL)
