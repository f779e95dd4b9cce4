"""What a plan says of each kind of storage where they differ. Pure; nothing here decides anything."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.model.machine import InstalledSystem, Storage


@dataclass(frozen=True, slots=True)
class Wording:
    """Words of a plan's writes and warnings. In braces: {group}, {trial}, {old} (the old root as "vg0/root"),
    {device} (its device), {place} (`Traits.place`), {mib} (of the pool that only the old system holds),
    {data} and {safety} (a data volume and its safety snapshot).
    """

    snapshot: str = "add snapshot volumes to {place} (no copy)"
    sealed: str = "add the sealed snapshot, read-only"
    trial: str = "add the trial volume, a writable snapshot of the sealed one"
    show: str = "one flag of {group}/{trial}: the machine's own start brings it up"
    hide: str = "one flag of {group}/{trial}: the machine's own start leaves it down"
    put_back: str = "{group}/{data} becomes {group}/{safety}: one commit of LVM's metadata"
    held: str = "The old system, {old}, holds up to {mib} MiB of the pool until it is retired."


WORDING = {
    Storage.LVM_THIN: Wording(),
    Storage.LVM_THICK: Wording(
        sealed="the twin's volume becomes the sealed one, read-only",
        trial="the sealed volume becomes the trial volume",
        held="The old system, {old}, lies under the kept one until it is retired. Until then its room is "
        "not free, and what the kept system writes is slower.",
    ),
    Storage.BTRFS: Wording(
        sealed="describe the difference in the room of the copy; it comes home as the sealed snapshot",
        put_back="{data} and {safety} change places: one commit of the file system",
        held="The old system, {old}, holds its part of the file system until it is retired.",
    ),
    Storage.PARTITION: Wording(
        snapshot="copy-on-write over the root volume, in {place}",
        sealed="the twin's volume becomes the sealed one, read-only",
        trial="copy what is used of it to {place}; the partition table stays what it was",
        show="one entry of the partition table of {group}, for {trial}",
        hide="the entry of {group} for {trial} in the partition table is taken back",
        held="The old system, {device}, holds its partition until it is retired.",
    ),
}


def wording(system: InstalledSystem) -> Wording:
    """That of the root's storage."""
    return WORDING[system.root.storage]
