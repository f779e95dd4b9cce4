"""A volume group in memory with thick snapshots, as LVM 2.03 and device-mapper keep them.

What was looked up in lvm2's source or tried on its programs is said where it is played. Contents are modelled
block by block; a snapshot's store holds what its origin was, or what was written to the snapshot itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from appliance.errors import CommandFailed
from appliance.host.run import Command, Effect, Output
from appliance.volumes.cow import CHUNK
from tests.contract.fake_lvm import FakeLvm

EXTENT = 1 << 20
READS = {"lvs", "losetup --list", "dmsetup status", "dmsetup info", "blockdev --getsz", "blockdev --getss"}


@dataclass(frozen=True)
class ThickLv:
    """`blocks` of a linear volume, or the exceptions in a snapshot's store. `size` is what lvs says of it."""

    name: str
    size: int
    blocks: dict[int, int] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    origin: str = ""
    active: bool = False
    held: bool = False
    writable: bool = True
    skip: bool = False
    lost: bool = False

    @property
    def room(self) -> int:
        """Exceptions that fit: a header chunk and one of descriptions for every 256 of data (roughly)."""
        return self.size // CHUNK * 256 // 257 - 2


@dataclass
class FakeThickLvm:
    """Host of one volume group `vg0` of `extents` MiB.

    `merging` are stores not yet copied back, by origin. `merge_is_put_off`: a device was open when lvconvert
    looked, so that the merge begins with the next activation; `merge_stops`: it does not come to its end.
    """

    extents: int = 2000
    lvs: dict[str, ThickLv] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    loops: dict[str, str] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    merging: dict[str, ThickLv] = field(default_factory=dict)
    merge_stops: bool = False
    merge_is_put_off: bool = False
    stamp: int = 0

    # A hand in its volumes.

    def add(self, name: str, size: int, blocks: int) -> None:
        self.lvs[name] = ThickLv(name, size)
        for number in range(blocks):
            self.write(name, number)

    def write(self, name: str, block: int) -> None:
        """What a running system does. A snapshot's origin is copied before it is written (dm-snap.c)."""
        lv = self.lvs[name]
        if not lv.writable or lv.lost:
            raise OSError("read-only or lost")
        self.stamp += 1
        for snap in [s for s in self.lvs.values() if s.origin == name and block not in s.blocks]:
            self._except(snap, block, lv.blocks.get(block, 0))
        if lv.origin:
            self._except(lv, block, self.stamp)
        else:
            self.lvs[name] = replace(self.lvs[name], blocks={**lv.blocks, block: self.stamp})

    def _except(self, snap: ThickLv, block: int, value: int) -> None:
        if block not in snap.blocks and len(snap.blocks) >= snap.room:
            self.lvs[snap.name] = replace(snap, lost=True)
        else:
            self.lvs[snap.name] = replace(snap, blocks={**snap.blocks, block: value})

    def read(self, name: str) -> dict[int, int]:
        lv = self.lvs[name]
        if lv.lost:
            raise OSError("Input/output error")
        below = self.lvs[lv.origin].blocks if lv.origin else {}
        return {block: value for block, value in {**below, **lv.blocks}.items() if value}

    # Programs.

    def run(self, command: Command) -> Output:
        self.commands.append(command)
        argv = list(command.argv)
        if argv[0].startswith("lv") and argv[1:2] == ["--config"]:
            del argv[1:3]
        handler = getattr(self, f"_{argv[0]}", None)
        if handler is None:
            raise CommandFailed(f"{argv[0]} could not be started: No such file or directory.")
        reads = argv[0] in READS or " ".join(argv[:2]) in READS
        assert reads or command.effect is Effect.WRITE, f"{command} writes and does not say so"
        try:
            said = handler(argv[1:], command) if argv[0] == "dmsetup" else handler(argv[1:])
            return Output(0, said or "")
        except ValueError as error:
            raise CommandFailed(f"{command} ended with status 5: {error}") from None

    def _lvs(self, argv: list[str]) -> str:
        if "lv_merging" in argv:
            _, _, name = argv[-1].partition("/")
            return "  merging\n" if name in self.merging else "  \n"
        free = self.extents * EXTENT - sum(lv.size for lv in (*self.lvs.values(), *self.merging.values()))
        rows = [self._row(lv, free) for lv in self.lvs.values()]
        return json.dumps({"report": [{"lv": rows}]})

    def _row(self, lv: ThickLv, free: int) -> dict[str, str]:
        """As lvs prints it: a snapshot is "linear" too, and as large as its store."""
        up = self.is_up(lv)
        return {
            "lv_name": lv.name, "lv_uuid": f"uuid-{lv.name}", "lv_size": str(lv.size),
            "lv_tags": ",".join(sorted(lv.tags)), "lv_active": "active" if up else "",
            "lv_device_open": "open" if self._is_open(lv.name) else "",
            "lv_permissions": "writeable" if lv.writable else "read-only",
            "lv_skip_activation": "skip activation" if lv.skip else "",
            "segtype": "linear", "pool_lv": "", "origin": lv.origin, "thin_id": "",
            "data_percent": "0.00" if lv.origin and up else "", "metadata_percent": "",
            "lv_metadata_size": "", "chunk_size": str(CHUNK) if lv.origin else "0", "vg_free": str(free),
        }  # fmt: skip

    def _lvcreate(self, argv: list[str]) -> None:
        options, rest = FakeLvm._options(argv, {"-n", "-L", "-c", "--addtag"})
        name, size = options["-n"][0], int(options["-L"][0].rstrip("b"))
        assert size % EXTENT == 0, "LVM would round it up"
        if name in self.lvs:
            raise ValueError(f'Logical Volume "{name}" already exists in volume group "vg0"')
        if size > self.extents * EXTENT - sum(lv.size for lv in self.lvs.values()):
            raise ValueError('Volume group "vg0" has insufficient free space (1 extents): 2 required.')
        lv = ThickLv(name, size, tags=frozenset(options["--addtag"]), writable="-pr" not in rest)
        if "-s" in rest:
            origin = self._lv(argv[-1])
            if origin.origin:
                raise ValueError("Snapshots of snapshots are not supported.")
            if origin.name in self.merging:
                raise ValueError("Snapshots of an origin that has a merging snapshot is not supported")
            lv = replace(lv, origin=origin.name, active=False)
        else:
            assert rest[-1] == "vg0" and {"-Wy", "-Zy"} <= set(rest), "an old header would be believed"
            lv = replace(lv, active=True)
        self.lvs[name] = lv

    def _lvremove(self, argv: list[str]) -> None:
        """An origin goes with all its snapshots, unasked (tried: `lvremove -y` on LVM 2.03.16)."""
        lv = self._lv(argv[-1])
        if self._is_open(lv.name):
            raise ValueError(f"Logical volume vg0/{lv.name} in use.")
        for name in [n for n, other in self.lvs.items() if lv.name in (n, other.origin)]:
            del self.lvs[name]

    def _lvchange(self, argv: list[str]) -> None:
        options, rest = FakeLvm._options(argv, {"--addtag", "--deltag"})
        lv = self._lv(argv[-1])
        if "-ay" in rest or "-an" in rest:
            # lvchange.c: a snapshot is changed by way of its origin, and asks before it does.
            if lv.origin and "-y" not in rest:
                raise ValueError(f"Logical volume vg0/{lv.name} not changed.")
            self._change(self.lvs[lv.origin or lv.name], up="-ay" in rest, forced="-K" in rest)
            return
        if ("-pr" in rest and not lv.writable) or ("-prw" in rest and lv.writable):
            raise ValueError(f'Logical volume "{lv.name}" is already so.')
        writable = "-prw" in rest or (lv.writable and "-pr" not in rest)
        tags = (lv.tags | set(options.get("--addtag", []))) - set(options.get("--deltag", []))
        self.lvs[lv.name] = replace(lv, tags=tags, writable=writable, skip=lv.skip or "-ky" in rest)

    def _change(self, lv: ThickLv, *, up: bool, forced: bool) -> None:
        family = [other for other in self.lvs.values() if lv.name in (other.name, other.origin)]
        if up and lv.skip and not forced:
            return
        for other in family:
            if not up and self._is_open(other.name):
                raise ValueError(f"Logical volume vg0/{other.name} in use.")
        self.lvs[lv.name] = replace(self.lvs[lv.name], active=up)
        if up and lv.name in self.merging and not self.merge_stops:
            self._merged(lv.name)

    def _lvconvert(self, argv: list[str]) -> None:
        """Merge of a snapshot: hidden at once, copied back while its origin is up, then gone (tried)."""
        assert "--merge" in argv and "-y" in argv
        lv = self._lv(argv[-1])
        origin = self.lvs[lv.origin]
        if lv.lost:
            raise ValueError(f"Unable to merge invalidated snapshot LV vg0/{lv.name}.")
        del self.lvs[lv.name]
        self.merging[origin.name] = lv
        if self.is_up(origin) and not self.merge_stops and not self.merge_is_put_off:
            self._merged(origin.name)

    def _merged(self, origin: str) -> None:
        """The origin keeps its own tags; its other snapshots are kept right by copies."""
        lv = self.merging.pop(origin)
        for block in lv.blocks:
            for snap in [s for s in self.lvs.values() if s.origin == origin and block not in s.blocks]:
                self._except(snap, block, self.lvs[origin].blocks.get(block, 0))
        self.lvs[origin] = replace(self.lvs[origin], blocks={**self.lvs[origin].blocks, **lv.blocks})

    def _wipefs(self, argv: list[str]) -> None:
        assert argv[0] == "--all"
        name = self._by_device(argv[1]).name
        assert self.is_up(self.lvs[name])
        self.write(name, 0)
        self.lvs[name] = replace(self.lvs[name], blocks={**self.lvs[name].blocks, 0: 0})

    def _blockdev(self, argv: list[str]) -> str:
        lv = self._by_device(argv[1])
        return {"--getsz": str(lv.size // 512), "--getss": "512"}.get(argv[0], "")

    def _losetup(self, argv: list[str]) -> str:
        if argv[0] == "--list":
            rows = [
                {"name": n, "back-file": str(Path(f).resolve()), "ro": True} for n, f in self.loops.items()
            ]
            return json.dumps({"loopdevices": rows}) if rows else ""
        if argv[0] == "-d":
            del self.loops[argv[1]]
            return ""
        assert "--read-only" in argv, "device-mapper would claim it"
        name = f"/dev/loop{len(self.loops)}"
        self.loops[name] = argv[-1]
        return f"{name}\n"

    def _dmsetup(self, argv: list[str], command: Command) -> str:
        if argv[0] == "info":
            return "".join(f"{name}\n" for name in self.devices) or "No devices found\n"
        if argv[0] == "create":
            if argv[1] in self.devices:
                raise ValueError("Device or resource busy")
            self.devices[argv[1]] = command.stdin.decode().strip()
            return ""
        if argv[0] == "remove":
            if any(f"/dev/mapper/{argv[-1]} " in f"{table} " for table in self.devices.values()):
                raise ValueError("Device or resource busy")
            del self.devices[argv[-1]]
            return ""
        assert argv == ["status", "--noflush", "--target", "snapshot"]
        return "".join(self._status()) or "No devices found\n"

    def _status(self) -> list[str]:
        lines = []
        for lv in self.lvs.values():
            if lv.origin and self.is_up(lv):
                lines.append(self._line(_dm(lv.name), self.lvs[lv.origin].size, lv))
        for name, table in self.devices.items():
            words = table.split()
            if words[2] == "snapshot":
                lines.append(self._line(name, int(words[1]) * 512, self._by_device(words[4])))
        return lines

    @staticmethod
    def _line(name: str, size: int, lv: ThickLv) -> str:
        if lv.lost:
            return f"{name}: 0 {size // 512} snapshot Invalid\n"
        metadata = 2 + len(lv.blocks) // 256
        used = (metadata + len(lv.blocks)) * CHUNK // 512
        return f"{name}: 0 {size // 512} snapshot {used}/{lv.size // 512} {metadata * CHUNK // 512}\n"

    # Parts.

    def is_up(self, lv: ThickLv) -> bool:
        return self.lvs[lv.origin].active if lv.origin else lv.active

    def _is_open(self, name: str) -> bool:
        device = f"/dev/mapper/{_dm(name)}"
        mapped = any(device in table.split() for table in self.devices.values())
        return self.lvs[name].held or mapped or device in self.loops.values()

    def _by_device(self, path: str) -> ThickLv:
        return next(lv for lv in self.lvs.values() if path == f"/dev/mapper/{_dm(lv.name)}")

    def _lv(self, path: str) -> ThickLv:
        vg, _, name = path.partition("/")
        if vg != "vg0" or name not in self.lvs:
            raise ValueError(f'Failed to find logical volume "{path}"')
        return self.lvs[name]


def _dm(name: str) -> str:
    return f"vg0-{name.replace('-', '--')}"
