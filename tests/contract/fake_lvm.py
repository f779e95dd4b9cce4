"""A volume group in memory that answers the commands a thin store runs, as LVM 2.03 does.

Contents are modelled block by block, so that a snapshot really is what its origin was when it was taken.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from appliance.errors import CommandFailed
from appliance.host.run import Command, Effect, Output

BLOCK = 65536


@dataclass(frozen=True)
class FakeLv:
    name: str
    thin_id: int
    size: int
    blocks: dict[int, int]
    tags: frozenset[str] = frozenset()
    active: bool = False
    in_use: bool = False
    writable: bool = True
    skip: bool = False
    origin: str = ""


@dataclass
class FakeLvm:
    """Host of one volume group `vg0` with a thin pool `pool`, which holds `pool_blocks` blocks.

    `merge_takes_flags`: a merged volume has tags, permission and skip flag of the snapshot, as no LVM that
    we have read does.
    """

    pool_blocks: int = 1000
    lvs: dict[str, FakeLv] = field(default_factory=dict)
    pool_active: bool = False
    reserved: bool = False
    commands: list[Command] = field(default_factory=list)
    next_id: int = 1
    stamp: int = 0
    merge_takes_flags: bool = False

    def add(self, name: str, size: int, blocks: int) -> None:
        """A volume the machine was installed with, `blocks` blocks of it written."""
        self.lvs[name] = FakeLv(name, self._new_id(), size, {})
        for number in range(blocks):
            self.write(name, number)

    def write(self, name: str, block: int) -> None:
        """What a running system does to its volume."""
        lv = self.lvs[name]
        if not lv.writable:
            raise OSError("read-only")
        self.stamp += 1
        self.lvs[name] = replace(lv, blocks={**lv.blocks, block: self.stamp})

    def read(self, name: str) -> dict[int, int]:
        return dict(self.lvs[name].blocks)

    def run(self, command: Command) -> Output:
        self.commands.append(command)
        argv = list(command.argv)
        if argv[0].startswith("lv") and argv[1:2] == ["--config"]:
            del argv[1:3]
        handler = getattr(self, f"_{argv[0]}", None)
        if handler is None:
            raise CommandFailed(f"{argv[0]} could not be started: No such file or directory.")
        changed = argv[0] not in ("lvs", "thin_delta") and argv[1] != "status"
        assert not changed or command.effect is Effect.WRITE, f"{command} writes and does not say so"
        try:
            return Output(0, handler(argv[1:]) or "")
        except ValueError as error:
            if 1 in command.ok:
                return Output(1, "", str(error))
            raise CommandFailed(f"{command} ended with status 5: {error}") from None

    # Programs.

    def _lvs(self, argv: list[str]) -> str:
        pool_used = (
            100 * len({(b, v) for lv in self.lvs.values() for b, v in lv.blocks.items()}) / self.pool_blocks
        )
        up = self.pool_active or any(lv.active for lv in self.lvs.values())
        rows = [
            self._row("pool", "twi-pool-uuid", self.pool_blocks * BLOCK, segtype="thin-pool",
                      lv_active="active" if up else "",
                      data_percent=f"{pool_used:.2f}" if up else "",
                      metadata_percent="5.00" if up else "",
                      lv_metadata_size="4194304", chunk_size=str(BLOCK))
        ]  # fmt: skip
        for lv in self.lvs.values():
            rows.append(
                self._row(lv.name, f"uuid-{lv.thin_id}", lv.size, segtype="thin", pool_lv="pool",
                          origin=lv.origin,
                          thin_id=str(lv.thin_id), lv_tags=",".join(sorted(lv.tags)),
                          lv_active="active" if lv.active else "",
                          lv_device_open="open" if lv.in_use else "",
                          lv_permissions="writeable" if lv.writable else "read-only",
                          lv_skip_activation="skip activation" if lv.skip else "")
            )  # fmt: skip
        return json.dumps({"report": [{"lv": rows}]})

    @staticmethod
    def _row(name: str, uuid: str, size: int, **known: str) -> dict[str, str]:
        row = dict.fromkeys(
            ("lv_tags", "lv_active", "lv_device_open", "lv_skip_activation", "pool_lv", "origin", "thin_id",
             "data_percent", "metadata_percent", "lv_metadata_size", "chunk_size"), ""
        )  # fmt: skip
        row |= {"lv_name": name, "lv_uuid": uuid, "lv_size": str(size), "lv_permissions": "writeable"}
        return {**row, "vg_free": "1073741824", "segtype": "thin", **known}

    def _lvcreate(self, argv: list[str]) -> str:
        options, rest = self._options(argv, {"-n", "-k", "-V", "--thinpool", "-s", "--addtag"})
        name = options["-n"][0]
        if name in self.lvs or name == "pool":
            raise ValueError(f'Logical Volume "{name}" already exists in volume group "vg0"')
        tags = frozenset(options.get("--addtag", []))
        skip = options["-k"][0] == "y"
        if "-V" in options:
            assert options["--thinpool"] == ["vg0/pool"]
            lv = FakeLv(name, self._new_id(), int(options["-V"][0].rstrip("b")), {}, tags, skip=skip)
        else:
            origin = self._lv(options["-s"][0])
            lv = replace(origin, name=name, thin_id=self._new_id(), tags=tags, skip=skip, origin=origin.name,
                         active=False, writable="-pr" not in rest, blocks=dict(origin.blocks))  # fmt: skip
        self.lvs[name] = replace(lv, active=not skip)
        return ""

    def _lvremove(self, argv: list[str]) -> None:
        del self.lvs[self._lv(argv[-1]).name]

    def _lvchange(self, argv: list[str]) -> None:
        options, rest = self._options(argv, {"--addtag", "--deltag"})
        target = argv[-1]
        if target == "vg0/pool":
            self.pool_active = "-ay" in rest
            return
        lv = self._lv(target)
        if "-ay" in rest and (not lv.skip or "-K" in rest):
            lv = replace(lv, active=True)
        if "-an" in rest:
            if lv.in_use:
                raise ValueError(f"Logical volume {target} in use.")
            lv = replace(lv, active=False)
        tags = (lv.tags | set(options.get("--addtag", []))) - set(options.get("--deltag", []))
        writable, skip = lv.writable or "-prw" in rest, (lv.skip or "-ky" in rest) and "-kn" not in rest
        self.lvs[lv.name] = replace(lv, tags=tags, writable=writable, skip=skip)

    def _lvconvert(self, argv: list[str]) -> None:
        """Merge of a thin snapshot in one commit; its siblings lose their link (lvm2, tools/lvconvert.c).

        Where one of the two is in use, the snapshot is hidden and waits for the next activation.
        """
        assert argv[:2] == ["-y", "--mergethin"]
        lv = self._lv(argv[-1])
        if lv.origin not in self.lvs:
            raise ValueError(f"{argv[-1]} is not a mergeable logical volume.")
        origin = self.lvs[lv.origin]
        del self.lvs[lv.name]
        if lv.in_use or origin.in_use:
            return
        flags = lv if self.merge_takes_flags else origin
        self.lvs[origin.name] = replace(
            lv, name=origin.name, origin="", tags=flags.tags, writable=flags.writable, skip=flags.skip,
            active=origin.active,
        )  # fmt: skip
        for name, other in self.lvs.items():
            if other.origin == origin.name:
                self.lvs[name] = replace(other, origin="")

    def _lvrename(self, argv: list[str]) -> None:
        vg, old, new = argv
        lv = self._lv(f"{vg}/{old}")
        if new in self.lvs:
            raise ValueError(f'Logical volume "{new}" already exists')
        del self.lvs[old]
        self.lvs[new] = replace(lv, name=new)

    def _dmsetup(self, argv: list[str]) -> str:
        if argv[0] == "status":
            used = len({(b, v) for lv in self.lvs.values() for b, v in lv.blocks.items()})
            used_of = f"{used}/{self.pool_blocks}"
            return f"0 128000 thin-pool 7 205/4096 {used_of} - rw discard_passdown queue_if_no_space - 1024\n"
        assert argv[:3] == ["message", "/dev/mapper/vg0-pool-tpool", "0"]
        up = self.pool_active or any(lv.active for lv in self.lvs.values())
        if not up:
            raise ValueError("Device vg0-pool-tpool not found")
        if argv[3] == "reserve_metadata_snap":
            if self.reserved:
                raise ValueError("message ioctl failed: Device or resource busy")
            self.reserved = True
        elif not self.reserved:
            raise ValueError("message ioctl failed: Invalid argument")
        else:
            self.reserved = False
        return ""

    def _thin_delta(self, argv: list[str]) -> str:
        assert self.reserved, "a live pool's metadata is read through a reserved snapshot only"
        options, rest = self._options(argv, {"--thin1", "--thin2"})
        assert "-m" in rest and rest[-1] == "/dev/mapper/vg0-pool_tmeta"
        by_id = {lv.thin_id: lv for lv in self.lvs.values()}
        left, right = (by_id[int(options[key][0])].blocks for key in ("--thin1", "--thin2"))
        ranges = []
        for block in sorted(left.keys() | right.keys()):
            if left.get(block) == right.get(block):
                kind = "same"
            else:
                kind = (
                    "different"
                    if block in left and block in right
                    else "left_only"
                    if block in left
                    else "right_only"
                )
            ranges.append(f'<{kind} begin="{block}" length="1"/>')
        return (
            f'<superblock uuid="" time="1" transaction="2" data_block_size="{BLOCK // 512}">'
            f'<diff left="1" right="2">{"".join(ranges)}</diff></superblock>'
        )

    # Parts.

    def _new_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    def _lv(self, path: str) -> FakeLv:
        vg, _, name = path.partition("/")
        if vg != "vg0" or name not in self.lvs:
            raise ValueError(f'Failed to find logical volume "{path}"')
        return self.lvs[name]

    @staticmethod
    def _options(argv: list[str], valued: set[str]) -> tuple[dict[str, list[str]], list[str]]:
        options: dict[str, list[str]] = {}
        rest = []
        words = iter(argv)
        for word in words:
            if word in valued:
                options.setdefault(word, []).append(next(words))
            else:
                rest.append(word)
        return options, rest
