"""The twin's disks as device-mapper tables: built from a layout, taken down again, half-built or whole.

Every name begins with `prefix`, so what is ours is told by its name alone (dmsetup(8), losetup(8)).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import TwinFailed
from appliance.host import mapper
from appliance.host.mapper import LIMIT
from appliance.host.run import Command, Effect, Host, read, write
from appliance.twin import md_superblock
from appliance.twin.luks_header import LARGEST, form_of, in_form_only
from appliance.twin.own_key import make_header
from appliance.twin.pvheader import write_lvm_metadata
from appliance.twin.segments import (
    CHUNK,
    SECTOR,
    Blank,
    CowRun,
    FromVolume,
    Segment,
    TwinDisk,
    TwinLayout,
    TwinPartition,
)
from appliance.twin.tables import Patch, lengthen_gpt, lengthen_mbr


def prefix_of(run: str, part: str) -> str:
    """What the names of all devices of one twin begin with: `part` is "work" or "proof"."""
    return f"twinboot-{run}-{part}-"


@dataclass(frozen=True, slots=True)
class TwinDevices:
    """The devices of one twin. `volumes` maps each of `layout.volumes` to its active snapshot's path.

    `scratch` is the path of an active volume (or loop device) of at least `layout.scratch_bytes`, all zeros
    when `build` begins. `folder`, in memory, takes the isolated LVM configuration.
    """

    host: Host
    prefix: str
    layout: TwinLayout
    volumes: Mapping[str, str]
    scratch: str
    folder: Path

    # Paths, valid while built.

    def disk(self, index: int) -> str:
        """The twin's disk that stands for `layout.disks[index]`."""
        return self._node(f"disk{index}")

    @property
    def disks(self) -> tuple[str, ...]:
        return tuple(self.disk(index) for index in range(len(self.layout.disks)))

    @property
    def boot_device(self) -> str:
        """The twin's throw-away /boot; empty where the machine has none of its own."""
        return self._node("boot") if self.layout.boot else ""

    @property
    def esp_device(self) -> str:
        """The twin's throw-away EFI system partition; empty where there is none."""
        return self._node("esp") if self.layout.esp else ""

    def volume(self, lv: str) -> str:
        """The twin's volume `lv` as a whole device, to mount while the twin is off.

        The snapshot itself can not be mounted while the twin's disk is made of it: device-mapper claims it.
        """
        return self._node(f"lv-{lv}")

    # Building and taking down.

    def build(self) -> None:
        """Make every device. What is left of an earlier attempt is removed first.

        Raises TwinFailed, CommandFailed or DamagedData; `teardown` then clears up.
        """
        missing = [lv for lv in self.layout.volumes if lv not in self.volumes]
        if missing:
            raise TwinFailed(f"No snapshot stands for {', '.join(missing)}.")
        self.teardown()
        runs: dict[CowRun, str] = {}
        for index, disk in enumerate(self.layout.disks):
            self._build_disk(index, disk, runs)
            self._write_table(index, disk)
        self._write_headers()
        self._write_pvs()
        self._write_swaps()
        for name, part in (("boot", self.layout.boot), ("esp", self.layout.esp)):
            if part is not None:
                self._linear(name, part.length, self.disk(part.disk), part.start)
        for lv, size in zip(self.layout.volumes, self.layout.sizes, strict=True):
            self._linear(f"lv-{lv}", size, self.volumes[lv], 0)

    def partition(self, name: str, part: TwinPartition) -> str:
        """Make one more partition device over a twin's disk and return its path; `teardown` removes it."""
        self._linear(f"part-{name}", part.length, self.disk(part.disk), part.start)
        return self._node(f"part-{name}")

    def teardown(self) -> None:
        """Remove every device of this twin. Safe twice, safe half-built. CommandFailed if one is in use."""
        names = self._names()
        # Users before what they use: whatever is on a disk, the disks, the copy-on-write runs, their stores.
        for rank in ("swap", "pv", "part-", "boot", "esp", "disk", "run", "cow", ""):
            for name in [n for n in names if n.removeprefix(self.prefix).startswith(rank)]:
                mapper.remove(self.host, name)
                names.remove(name)
        for loop in self._loops():
            self.host.run(write("losetup", "-d", loop, timeout=LIMIT))

    def flush(self) -> None:
        """Drop what the appliance's page cache holds of the twin's disks: the twin writes past it."""
        for name in self._names():
            if name.removeprefix(self.prefix).startswith(("boot", "esp", "disk", "lv-", "part-")):
                self.host.run(write("blockdev", "--flushbufs", mapper.node(name), timeout=LIMIT))

    # Steps.

    def _node(self, name: str) -> str:
        return mapper.node(f"{self.prefix}{name}")

    def _create(self, name: str, lines: list[str]) -> None:
        mapper.create(self.host, f"{self.prefix}{name}", lines)

    def _linear(self, name: str, length: int, device: str, offset: int) -> None:
        self._create(name, [f"0 {length} linear {device} {offset}"])

    def _build_disk(self, index: int, disk: TwinDisk, runs: dict[CowRun, str]) -> None:
        """`runs` are the devices of copy-on-write made so far: several disks may show the same one."""
        lines = []
        for number, segment in enumerate(disk.segments):
            device, offset = self._source(f"{index}-{number}", segment, disk, runs)
            lines.append(f"{segment.start} {segment.length} linear {device} {offset}")
        self._create(f"disk{index}", lines)

    def _source(
        self, name: str, segment: Segment, disk: TwinDisk, runs: dict[CowRun, str]
    ) -> tuple[str, int]:
        """The device and its sector that a segment reads from and writes to."""
        match segment.source:
            case FromVolume(lv, offset):
                return self.volumes[lv], offset
            case Blank(offset):
                return self.scratch, offset
            case CowRun() as cow if cow in runs:
                return runs[cow], 0
            case CowRun() as cow:
                loop = self._loop(cow, segment.length, disk.sector_size)
                self._linear(f"cow{name}", cow.store_length, self.scratch, cow.store)
                table = f"0 {segment.length} snapshot {loop} {self._node(f'cow{name}')} P {CHUNK}"
                self._create(f"run{name}", [table])
                runs[cow] = self._node(f"run{name}")
                return runs[cow], 0

    def _loop(self, cow: CowRun, length: int, block: int) -> str:
        """A read-only window on the real disk. It never shows a PV, so LVM can not see one through it."""
        self.host.run(write("blockdev", "--flushbufs", cow.device, timeout=LIMIT))
        made = self.host.run(
            write("losetup", "--find", "--show", "--read-only", "--direct-io=on", "--sector-size", str(block),
                  "--offset", str(cow.offset * SECTOR), "--sizelimit", str(length * SECTOR), cow.device,
                  timeout=LIMIT)
        )  # fmt: skip
        return made.stdout.strip()

    def _write_table(self, index: int, disk: TwinDisk) -> None:
        if not disk.lengthened:
            return
        self._patch(index, table_patches(disk, _head(disk.path)), 0)

    def _write_headers(self) -> None:
        """The metal's own headers are only read: what is written lands in the twin's copy-on-write."""
        for place in self.layout.encrypted:
            form = form_of(_head(place.device, min(place.length * SECTOR, 2 * LARGEST)), place.device)
            made = make_header(self.host, form, self.folder / "header")
            self._patch(place.disk, in_form_only(made, form.flags, place.device), place.start * SECTOR)
        for mirror in self.layout.mirrors:
            names = [leg.device for leg in mirror.legs]
            heads = [_head(name, md_superblock.HEAD) for name in names]
            patches = md_superblock.in_form(heads, names, mirror.header, mirror.length)
            for leg, patch in zip(mirror.legs, patches, strict=True):
                self._patch(leg.disk, (patch,), leg.start * SECTOR)

    def _patch(self, index: int, patches: tuple[Patch, ...], start: int) -> None:
        """Write `patches` to the twin's disk `index`; their offsets count from its byte `start`."""
        for patch in patches:
            argv = ("dd", f"of={self.disk(index)}", "bs=4096", f"seek={start + patch.offset}",
                    "oflag=seek_bytes", "conv=notrunc,fsync", "status=none")  # fmt: skip
            self.host.run(Command(argv, Effect.WRITE, timeout=LIMIT, stdin=patch.data))

    def _write_pvs(self) -> None:
        """The PVs stand as devices only while their metadata is written: nobody else is to find them."""
        if not self.layout.pvs:
            return
        names = [f"pv{number}" for number in range(len(self.layout.pvs))]
        for name, pv in zip(names, self.layout.pvs, strict=True):
            self._linear(name, pv.length, self.disk(pv.disk), pv.start)
        write_lvm_metadata(self.host, self.layout, [self._node(name) for name in names], self.folder)
        for name in names:
            mapper.remove(self.host, f"{self.prefix}{name}")

    def _write_swaps(self) -> None:
        for number, swap in enumerate(self.layout.swaps):
            self._linear(f"swap{number}", swap.length, self.scratch, swap.offset)
            uuid = ["-U", swap.uuid] if swap.uuid else []
            self.host.run(write("mkswap", *uuid, self._node(f"swap{number}"), timeout=LIMIT))
            mapper.remove(self.host, f"{self.prefix}swap{number}")

    # What the kernel says.

    def _names(self) -> list[str]:
        return sorted(name for name in mapper.names(self.host) if name.startswith(self.prefix))

    def _loops(self) -> Iterator[str]:
        """Loop devices with exactly our windows: same disk, offset and size, read-only."""
        listed = self.host.run(
            read("losetup", "--list", "--json", "-O", "NAME,BACK-FILE,OFFSET,SIZELIMIT,RO", timeout=LIMIT)
        )
        windows = {
            (s.source.device, s.source.offset * SECTOR, s.length * SECTOR)
            for disk in self.layout.disks
            for s in disk.segments
            if isinstance(s.source, CowRun)
        }
        for loop in json.loads(listed.stdout or "{}").get("loopdevices", []):
            window = (loop["back-file"], int(loop["offset"]), int(loop["sizelimit"]))
            if window in windows and loop["ro"]:
                yield loop["name"]


def table_patches(disk: TwinDisk, head: bytes) -> tuple[Patch, ...]:
    """What a lengthened disk's partition table needs written; `head` is the beginning of the real disk."""
    if disk.table == "gpt":
        per_block = disk.sector_size // SECTOR
        last = disk.lengthened_end // per_block - 1
        return lengthen_gpt(head, disk.sector_size, disk.sectors // per_block, disk.lengthened, last)
    return lengthen_mbr(head, disk.lengthened, disk.lengthened_end * SECTOR // disk.sector_size)


def _head(path: str, size: int = 1 << 20) -> bytes:
    """The first `size` bytes of a device; a MiB is more than any GPT's primary entries."""
    with Path(path).open("rb") as device:
        return device.read(size)
