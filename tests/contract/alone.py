"""One process at a time has a btrfs of ours mounted, or two roots of which one is looked for by its UUID.

`btrfs filesystem show` opens every mounted one of the machine, so that meanwhile no other process can unmount
its own; a mount namespace that begins has a copy of every mount, and keeps the file system in use when it is
unmounted elsewhere; and a played device is a name below /dev/mapper, which is every process's. blkid finds
the first of all devices that has a UUID, which may be another process's copy of the same disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LOCK = Path("/var/tmp/twinboot-btrfs.lock")


def begin() -> None:
    """Wait until no other process has one; again in the same process is nothing."""
    fcntl.flock(_lock(), fcntl.LOCK_EX)


def end() -> None:
    """Let the others go on."""
    fcntl.flock(_lock(), fcntl.LOCK_UN)


@contextlib.contextmanager
def held() -> Iterator[None]:
    begin()
    try:
        yield
    finally:
        end()


@functools.cache
def _lock() -> IO[str]:
    return LOCK.open("w")
