"""Files by hash into the bundle's folder: what is there stays, what was half fetched goes on."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import OutOfSpace
from appliance.host.files import sync_folder
from appliance.office.apt import PrivateApt
from appliance.office.closure import Item
from appliance.office.folder import PARTIAL, free_bytes, is_there

SLOWEST = 20_000
"""Bytes a second below which a download is given up."""
LEAST = 300.0
"""Seconds that every file may take, whatever its size."""

Tell = Callable[[str, int, int], None]
"""Told of what is being fetched, and how many bytes of how many are there."""


@dataclass
class Fetcher:
    """`failed` maps the path of a file that could not be had to the reason."""

    folder: Path
    tell: Tell
    every: float = 0.5
    failed: dict[str, str] = field(default_factory=dict)

    def fetch(self, wanted: Sequence[tuple[PrivateApt, Item]], total: int, done: int) -> None:
        """Fetch each by the apt of a machine it is for. What fails is kept in `failed`; raises OutOfSpace."""
        partial = self.folder / PARTIAL
        partial.mkdir(parents=True, exist_ok=True)
        for apt, item in wanted:
            if not is_there(self.folder, item):
                self._one(apt, item, partial / item.hash.partition(":")[2][:64], total, done)
            done += item.size
            self.tell(item.path, done, total)

    def _one(self, apt: PrivateApt, item: Item, part: Path, total: int, done: int) -> None:
        with self._watching(part, item, total, done):
            why = apt.download(item.uri, part, item.hash, LEAST + item.size / SLOWEST)
        part.with_name(part.name + ".FAILED").unlink(missing_ok=True)
        if why:
            if free_bytes(self.folder) < item.size:
                raise full(self.folder, item)
            self.failed[item.path] = why
            return
        target = self.folder / item.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(part, target)
            sync_folder(target.parent)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise full(self.folder, item) from error
            self.failed[item.path] = error.strerror or "it could not be written"

    @contextlib.contextmanager
    def _watching(self, part: Path, item: Item, total: int, done: int) -> Iterator[None]:
        """While inside, tells how much of the growing file is there."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(self.every):
                with contextlib.suppress(OSError):
                    self.tell(item.path, done + min(part.stat().st_size, item.size), total)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def full(folder: Path, item: Item) -> OutOfSpace:
    return OutOfSpace(
        f"{folder} is full: {item.path} needs {item.size >> 10} KiB of {free_bytes(folder) >> 10} KiB free.",
        safe="What was fetched so far stays.",
        next_actions=("Free room there and run the same command again: it goes on.", "Choose another stick."),
    )


@dataclass
class Pace:
    """How fast it goes and how long it takes, as words; `clock` is in seconds."""

    clock: Callable[[], float] = time.monotonic
    _begun: float = -1.0
    _first: int = 0

    def words(self, done: int, total: int) -> str:
        now = self.clock()
        if self._begun < 0:
            self._begun, self._first = now, done
        gone, got = now - self._begun, done - self._first
        text = f"{done / (1 << 20):.1f} of {total / (1 << 20):.1f} MiB"
        if gone < 2 or got <= 0:
            return text
        left = (total - done) * gone / got
        wait = f"{left:.0f} s" if left < 100 else f"{left / 60:.0f} min"
        return f"{text}, {got / gone / (1 << 20):.1f} MiB/s, {wait} left"
