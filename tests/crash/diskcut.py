"""The power goes at a chosen write to a disk image; what the image held at that moment is kept beside it."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.host.run import Command, Effect, Host, Output
from appliance.volumes import btrfs_subvolumes, btrfs_tags
from tests.contract.dark import PowerCut
from tests.contract.real_lvm import run


@dataclass
class Cut:
    """Goes dark at the write number `left`, with a picture of `disk` as it was then."""

    disk: Path = Path()
    left: int = 10**6
    told: list[str] = field(default_factory=list)

    def tick(self, what: str) -> None:
        self.told.append(what)
        if self.left == 0:
            run("cp", "--sparse=always", str(self.disk), f"{self.disk}.cut")
            raise PowerCut(what)
        self.left -= 1


@dataclass
class Dark:
    """Counts the writes of `writers`; a scan of the disks by btrfs is none."""

    inner: Host
    cut: Cut
    writers: Set[str] = frozenset({"btrfs"})

    def run(self, command: Command) -> Output:
        writes = command.argv[0] in self.writers and command.effect is Effect.WRITE
        if writes and "scan" not in command.argv:
            self.cut.tick(" ".join(command.argv[:3]))
        return self.inner.run(command)


def count_tags(monkeypatch: pytest.MonkeyPatch, cut: Cut) -> None:
    """Writes of files of ours count as well: before each, and between a rename and its fsync."""
    for module, name in (
        (btrfs_tags, "write_atomic"),
        (btrfs_tags, "sync_folder"),
        (btrfs_subvolumes, "sync_folder"),
    ):
        monkeypatch.setattr(module, name, _counted(cut, name, getattr(module, name)))


def _counted(cut: Cut, name: str, inner: Callable[..., None]) -> Callable[..., None]:
    def counted(*args: object) -> None:
        cut.tick(name)
        inner(*args)

    return counted
