"""The history of a machine whose root is btrfs: in a file whose blocks are written below the file system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.probe.btrfs_ours import Tag
from appliance.volumes.base import SnapshotRole
from appliance.volumes.btrfs_file import FILES, BlockFile
from appliance.volumes.btrfs_tags import Tags
from appliance.volumes.state import NAME, HistoryDevice

FILE = "history"


@dataclass(frozen=True, slots=True)
class BtrfsHistory:
    """History. Its tag is there from the moment on that its file system is whole."""

    file: BlockFile

    @property
    def on(self) -> HistoryDevice:
        return HistoryDevice(self.file.disk.host, self.file.device)

    def exists(self) -> bool:
        with self.file.disk.reading() as mounted:
            return Tags(mounted.top).get(NAME) is not None

    def ensure(self) -> None:
        made = self.exists()
        if not made:
            self.file.make()
        self.file.up()
        self.on.make(was_made=made)
        if not made:
            tag = Tag(run="", role=SnapshotRole.STATE.value, origin="", path=FILES)
            with self.file.disk.writing() as mounted:
                Tags(mounted.top).put(NAME, tag)
                mounted.sync()

    def mount(self, at: Path) -> Path:
        return self.on.bring_up(at, self.file.up)

    def unmount(self, at: Path) -> None:
        self.on.unmount(at)
        self.file.down()

    def delete(self) -> None:
        self.file.remove()
        with self.file.disk.writing() as mounted:
            tags = Tags(mounted.top)
            tags.remove(NAME)
            tags.leave()
            mounted.sync()
