"""Subvolumes of ours and of the machine, by their names in the plan, in a file system that is mounted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from appliance.errors import Refused, TwinFailed
from appliance.host.files import sync_folder
from appliance.host.run import Host
from appliance.probe.btrfs_ours import Tag
from appliance.volumes.base import READ_ONLY, PutBack, Snapshot, SnapshotRole
from appliance.volumes.btrfs_disk import BtrfsDisk, Mounted
from appliance.volumes.btrfs_tags import FOLDER, Tags, snapshot_of, tag_of
from appliance.volumes.put_back import There, against_names


@dataclass(frozen=True, slots=True)
class Subvolumes:
    """The parts that the verbs of a store are put together from.

    `vg` is what the plan calls the group of all these names, `root` the path of the installed root.
    """

    host: Host
    disk: BtrfsDisk
    vg: str
    root: str

    # What there is.

    def tags(self, mounted: Mounted) -> Tags:
        return Tags(mounted.top)

    def where(self, mounted: Mounted, lv: str) -> str:
        """The path of what the plan calls `lv`: ours, else the machine's own, else where ours would be."""
        tag = self.tags(mounted).get(lv)
        if tag is not None:
            return tag.path
        return lv if mounted.has(lv) else f"{FOLDER}/{lv}"

    def found(self, mounted: Mounted, snapshot: Snapshot) -> Tag | None:
        """None where there is nothing of that name. Raises TwinFailed where it is another's."""
        tag = self.tags(mounted).get(snapshot.lv)
        if tag is None:
            if mounted.has(self.where(mounted, snapshot.lv)):
                raise self.not_that(snapshot)
            return None
        if (tag.run, tag.role) != (snapshot.run, snapshot.role.value):
            raise self.not_that(snapshot)
        return tag

    def is_whole(self, mounted: Mounted, snapshot: Snapshot) -> bool:
        """Not one that was cut short: what is received is writable until its last byte is there."""
        tag = self.found(mounted, snapshot)
        if tag is None:
            return False
        subvolume = mounted.look().subvolume_at(tag.path)
        if subvolume is None:
            return False
        if snapshot.role is SnapshotRole.SAFETY and tag.uuid:
            return subvolume.uuid == tag.uuid  # it is to be the data, or is it already
        return subvolume.readonly or snapshot.role not in READ_ONLY

    def require(self, mounted: Mounted, snapshot: Snapshot) -> Tag:
        tag = self.found(mounted, snapshot)
        if tag is None or not self.is_whole(mounted, snapshot):
            raise TwinFailed(f"{snapshot.lv} does not exist.")
        return tag

    def tag_at(self, mounted: Mounted, lv: str) -> Tag:
        tag = self.tags(mounted).get(lv)
        if tag is None:
            raise TwinFailed(f"{lv} does not exist.")
        return tag

    def not_that(self, snapshot: Snapshot) -> TwinFailed:
        whose = f"the {snapshot.role.value} of {snapshot.run}"
        return TwinFailed(f"{snapshot.lv} exists on {self.disk.device} and is not {whose}.")

    # What changes something.

    def make(self, mounted: Mounted, snapshot: Snapshot, *, readonly: bool) -> None:
        tag = tag_of(snapshot)
        source = self.where(mounted, snapshot.origin)
        if not mounted.has(source):
            raise TwinFailed(f"{snapshot.origin} does not exist.")
        self.found(mounted, snapshot)
        self.tags(mounted).put(snapshot.lv, tag)
        if mounted.has(tag.path):
            mounted.delete(tag.path)  # an attempt that was cut short
        mounted.snapshot(source, tag.path, readonly=readonly)

    def receive(self, mounted: Mounted, sealed: Snapshot, source: str) -> None:
        if self.is_whole(mounted, sealed):
            return
        tag = tag_of(sealed)
        self.tags(mounted).put(sealed.lv, tag)
        if mounted.has(tag.path):
            mounted.delete(tag.path)
        mounted.receive(source, FOLDER)
        if not self.is_whole(mounted, sealed):
            raise TwinFailed(f"{sealed.lv} did not come home whole.")

    def remove(self, mounted: Mounted, snapshot: Snapshot) -> None:
        """With empty subvolumes inside it, such as systemd makes. Raises TwinFailed for one with files."""
        tag = self.tag_at(mounted, snapshot.lv)
        look = mounted.look()
        id = look.at(tag.path)
        if id:
            inside = [f"{tag.path}/{path}" for path in replace(look, root=id).inside]
            for path in inside:
                if any(not p.is_dir() for p in mounted.at(path).rglob("*")):
                    raise TwinFailed(
                        f"{snapshot.lv} is not deleted: the subvolume {path} inside it has files."
                    )
            for path in reversed(inside):
                mounted.delete(path)
            mounted.delete(tag.path)
        self.tags(mounted).remove(snapshot.lv)

    def against_data(self, mounted: Mounted, data: PutBack) -> Iterator[str]:
        """Full sentences why the data subvolume can not become its safety snapshot."""
        origin = mounted.has(data.origin)
        safety, undone = (self._there(mounted, each) for each in (data.safety, data.undone))
        yield from against_names(self.vg, data, origin=origin, safety=safety, undone=undone)
        look = mounted.look()
        if origin and (inside := replace(look, root=look.at(data.origin)).inside):
            yield (
                f"{data.origin} has subvolumes inside it ({', '.join(inside)}), which no snapshot of it "
                "holds: it can not be put back."
            )

    def _there(self, mounted: Mounted, snapshot: Snapshot) -> There:
        tag, there = self.tags(mounted).get(snapshot.lv), mounted.has(self.where(mounted, snapshot.lv))
        if tag is None or not there:
            return There.FOREIGN if there else There.NOTHING
        mine = (tag.run, tag.role) == (snapshot.run, snapshot.role.value)
        return There.THAT if mine else There.ANOTHER

    def is_data(self, mounted: Mounted, data: PutBack) -> bool:
        """Whether the safety snapshot lies where the data does: they have changed places."""
        tag, there = self.tags(mounted).get(data.safety.lv), mounted.look().subvolume_at(data.origin)
        return tag is not None and there is not None and bool(tag.uuid) and there.uuid == tag.uuid

    def becomes_data(self, mounted: Mounted, data: PutBack) -> None:
        """The two change places. Its tag tells the one from the other by then: it has the snapshot's UUID."""
        tag = self.require(mounted, data.safety)
        look = mounted.look()
        subvolume = look.subvolume_at(tag.path)
        if subvolume is None or not look.at(data.origin):
            raise TwinFailed(f"{data.origin} does not exist.")
        self.tags(mounted).put(data.safety.lv, replace(tag, uuid=subvolume.uuid))
        mounted.let_write(tag.path)
        mounted.change_places(data.origin, tag.path)

    def adopted(self, mounted: Mounted, lv: str, run: str) -> Snapshot:
        tag = self.tags(mounted).get(lv)
        if tag is None:
            if not mounted.has(lv):
                raise TwinFailed(f"{lv} is no subvolume of {self.disk.device}.")
            tag = Tag(run=run, role=SnapshotRole.PREVIOUS.value, origin="", path=lv)
            self.tags(mounted).put(lv, tag)
        return snapshot_of(self.vg, lv, tag)

    def becomes_kept(self, mounted: Mounted, trial: Snapshot, kept: Snapshot) -> None:
        if snapshot_of(self.vg, trial.lv, self.tag_at(mounted, trial.lv)) == kept:
            return  # its tag is written last; it may have the first name by now
        tag = self.require(mounted, trial)
        subvolume = mounted.look().subvolume_at(tag.path)
        if subvolume is None:
            raise TwinFailed(f"{trial.lv} does not exist.")
        self.tags(mounted).put(kept.lv, replace(tag, role=kept.role.value, uuid=subvolume.uuid))

    def becomes_default(self, mounted: Mounted, lv: str) -> None:
        """By its id, which a rename does not change. Raises TwinFailed where it is not there."""
        look = mounted.look()
        id = look.at(self.where(mounted, lv))
        if not id:
            raise TwinFailed(f"{lv} does not exist.")
        if look.default != id:
            mounted.make_default(id)

    def take_first_name(self, mounted: Mounted, kept: Snapshot, first: str) -> None:
        """One rename(2); told from a stranger of that name by the subvolume's own UUID."""
        tags, look = self.tags(mounted), mounted.look()
        there = look.subvolume_at(first)
        tag = tags.get(kept.lv)
        if tag is None or not tag.uuid:
            done = tags.get(first)
            if done is not None and there is not None and there.uuid == done.uuid:
                return
            raise TwinFailed(f"{kept.lv} is gone; {first} is not ours.")
        if there is None:
            self.require(mounted, kept)
            mounted.at(tag.path).rename(mounted.at(first))
            sync_folder(mounted.at(first).parent)
            mounted.sync()
        elif there.uuid != tag.uuid:
            raise Refused((f"The name {first} is still taken: delete that subvolume first.",))
        tags.put(first, tag.at(first))
        if first != kept.lv:
            tags.remove(kept.lv)

    def is_machines_own(self, mounted: Mounted, lv: str) -> None:
        if not mounted.has(self.where(mounted, lv)):
            raise TwinFailed(f"{lv} does not exist.")
        self.tags(mounted).remove(lv)
