"""Power cuts on a real ext4: what the kernel wrote to the disk during each write of ours, sector by sector.

After every write the backing file of the loop device is compared with what it held before it. The sectors
that changed during one write form an epoch; a cut inside it leaves any subset of them. That is more than a
disk may do (it ignores flushes inside a write), so what survives here survives there.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.boot.place import BootDisk
from tests.crash.grubmachine import SECTORS, START

SECTOR = 512
BLOCK = 4096


@dataclass
class Epoch:
    """One write: its label and every sector it changed, by number from the start of /boot."""

    label: str
    before: dict[int, bytes] = field(default_factory=dict)
    after: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Recorder:
    """Watches the /boot of `disk`, or that many roots with one inside, and as many sectors `behind`; call
    `mark` after each write."""

    disk: Path
    roots: int = 1
    behind: int = 0
    epochs: list[Epoch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journal = {block for root in range(self.roots) for block in journal_blocks(self.disk, root)}
        self.first = self._read()
        self.now = self.first

    def _read(self) -> bytes:
        with self.disk.open("rb") as data:
            data.seek(START * SECTOR)
            return data.read((self.roots * SECTORS + self.behind) * SECTOR)

    def mark(self, label: str) -> None:
        seen = self._read()
        epoch = Epoch(f"{len(self.epochs)}:{label}")
        for block in _changed(self.now, seen):
            if seen[block : block + BLOCK] == self.now[block : block + BLOCK]:
                continue
            if block // BLOCK in self.journal:
                continue  # GRUB does not read it
            for at in range(block, block + BLOCK, SECTOR):
                if seen[at : at + SECTOR] != self.now[at : at + SECTOR]:
                    epoch.before[at // SECTOR] = self.now[at : at + SECTOR]
                    epoch.after[at // SECTOR] = seen[at : at + SECTOR]
        self.now = seen
        self.epochs.append(epoch)


def _changed(old: bytes, new: bytes, step: int = 1 << 20) -> Iterator[int]:
    """Offsets of blocks worth a closer look: those inside a mebibyte that differs."""
    for at in range(0, len(new), step):
        if old[at : at + step] != new[at : at + step]:
            yield from range(at, min(at + step, len(new)), BLOCK)


def journal_blocks(disk: Path, root: int = 0) -> set[int]:
    """Of the file system number `root`, by number from the start of the first."""
    part = f"{disk}?offset={(START + root * SECTORS) * SECTOR}"
    argv = ["debugfs", "-R", "blocks <8>", part]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return {int(word) + root * SECTORS * SECTOR // BLOCK for word in done.stdout.split()}


class WatchedDisk:
    """A BootDisk that marks an epoch after every write of the real one."""

    def __init__(self, inner: BootDisk, recorder: Recorder) -> None:
        self.inner, self.recorder = inner, recorder

    def __getattr__(self, name: str) -> object:
        real = getattr(self.inner, name)
        if name in ("read", "names", "is_file", "is_folder", "free"):
            return real

        def act(*arguments: object) -> None:
            real(*arguments)
            self.recorder.mark(
                " ".join([name, *(str(a)[-40:] for a in arguments if isinstance(a, str | Path))])
            )

        return act


def cut_disks(recorder: Recorder, disk: Path, spare: int, seed: int = 11) -> Iterator[str]:
    """Turn `disk` into one cut state after the other; yields each state's name: write#sectors in place.

    For every write: nothing of it, each sector alone, all but each, and `spare` random subsets.
    """
    with disk.open("r+b", buffering=0) as out:

        def put(sectors: dict[int, bytes]) -> None:
            for number, data in sectors.items():
                out.seek((START + number) * SECTOR)
                out.write(data)

        out.seek(START * SECTOR)
        out.write(recorder.first)
        yield "start"
        for epoch in recorder.epochs:
            for chosen in _subsets(epoch, spare, seed):
                put(epoch.before)
                put({number: epoch.after[number] for number in chosen})
                yield f"{epoch.label}#{','.join(map(str, chosen))}"
            put(epoch.after)


def _subsets(epoch: Epoch, spare: int, seed: int) -> Iterator[tuple[int, ...]]:
    sectors = tuple(epoch.after)
    if not sectors:
        return
    pick = random.Random(f"{seed}{epoch.label}")
    masks = {sectors}
    data_only = epoch.label.split(":")[1].startswith(("copy", "create"))
    if len(sectors) <= 3:
        masks |= {
            tuple(s for n, s in enumerate(sectors) if mask >> n & 1) for mask in range(1, 1 << len(sectors))
        }
    elif not data_only:  # what a new file's data does before a name leads to it cannot matter: spot checks
        masks |= {
            tuple(s for s in sectors if s != one) for one in pick.sample(sectors, min(spare, len(sectors)))
        }
        masks |= {(one,) for one in pick.sample(sectors, min(spare, len(sectors)))}
    for _ in range(1 if data_only else spare):
        masks.add(tuple(s for s in sectors if pick.random() < 0.5))
    yield from sorted(masks)
