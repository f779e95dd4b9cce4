"""Machines to plan twins for: the recorded ones, and ones made to measure."""

from __future__ import annotations

from pathlib import Path

import msgspec

from appliance.model.codec import from_json
from appliance.model.machine import (
    Bus,
    Disk,
    Firmware,
    InstalledSystem,
    Layer,
    LayerKind,
    Loader,
    LoaderKind,
    LogicalVolume,
    Machine,
    Partition,
    PhysicalVolume,
    Role,
    Storage,
    Volume,
    VolumeGroup,
)

RECORDED = Path(__file__).parents[2] / "fixtures" / "machines"
MIB = 1 << 20
EXTENT = 4 * MIB


def recorded(name: str) -> Machine:
    return from_json((RECORDED / f"{name}.json").read_bytes(), Machine, name)


def with_bus(machine: Machine, bus: Bus) -> Machine:
    disks = tuple(msgspec.structs.replace(disk, bus=bus) for disk in machine.disks)
    return msgspec.structs.replace(machine, disks=disks)


def made(
    thin: dict[str, int],
    linear: dict[str, int],
    swap: dict[str, int],
    pv_extents: list[int],
    *,
    head_mib: int = 66,
    sector: int = 512,
    behind: bool = False,
    table: str = "gpt",
) -> Machine:
    """A machine with one PV per disk. Sizes in extents of 4 MiB; `root` is among `thin` or `linear`.

    `behind`: another partition lies behind each PV.
    """
    disks, pvs, pv_texts = [], [], []
    for index, extents in enumerate(pv_extents):
        path = f"/dev/vd{'abcdefgh'[index]}"
        pv_size = MIB + extents * EXTENT + 3 * MIB
        boot = Partition(path=f"{path}1", number=1, start=MIB, size=(head_mib - 1) * MIB, fstype="ext4")
        pv = Partition(path=f"{path}2", number=2, start=head_mib * MIB, size=pv_size, fstype="LVM2_member")
        parts = [boot, pv]
        end = pv.start + pv.size
        if behind:
            parts.append(Partition(path=f"{path}3", number=3, start=end, size=MIB))
            end += MIB
        disks.append(
            Disk(
                path=path,
                size=end + 5 * MIB,
                bus=Bus.VIRTIO,
                sector=sector,
                table=table,
                partitions=tuple(parts),
            )
        )
        pvs.append(PhysicalVolume(path=f"{path}2", uuid=f"PV-{index}", size=extents * EXTENT))
        pv_texts.append(
            f'pv{index} {{ id = "PV-{index}" device = "{path}2" status = ["ALLOCATABLE"] flags = [] '
            f"dev_size = {pv_size // 512} pe_start = 2048 pe_count = {extents} }}"
        )
    lvs, texts, volumes = [], [], []
    free = [(f"pv{index}", 0, extents) for index, extents in enumerate(pv_extents)]
    for name, extents in thin.items():
        role = Role.ROOT if name == "root" else Role.DATA
        lvs.append(
            LogicalVolume(name=name, uuid=f"LV-{name}", size=extents * EXTENT, segtype="thin", pool="pool")
        )
        kind = f'type = "thin" thin_pool = "pool" transaction_id = 0 device_id = {len(lvs)}'
        texts.append(_lv_text(name, [kind],
                              [extents]))  # fmt: skip
        volumes.append(_volume(name, role, extents, Storage.LVM_THIN))
    for name, extents in {**linear, **swap}.items():
        pieces, counts = [], []
        wanted = extents
        while wanted:
            pv_name, at, left = free[0]
            count = min(left, wanted)
            pieces.append(f'type = "striped" stripe_count = 1 stripes = ["{pv_name}", {at}]')
            counts.append(count)
            wanted -= count
            free[0] = (pv_name, at + count, left - count)
            if left == count:
                free.pop(0)
        lvs.append(LogicalVolume(name=name, uuid=f"LV-{name}", size=extents * EXTENT, segtype="linear"))
        texts.append(_lv_text(name, pieces, counts))
        role = Role.SWAP if name in swap else Role.ROOT if name == "root" else Role.DATA
        volumes.append(_volume(name, role, extents, Storage.LVM_THICK))
    metadata = (
        'contents = "Text Format Volume Group"\nversion = 1\nvg0 { id = "VG" seqno = 7 format = "lvm2" '
        'status = ["RESIZEABLE", "READ", "WRITE"] flags = [] extent_size = 8192 max_lv = 0 max_pv = 0 '
        "metadata_copies = 0 physical_volumes { " + " ".join(pv_texts) + " } logical_volumes { "
        + " ".join(texts) + " } }"
    )  # fmt: skip
    group = VolumeGroup(
        name="vg0", uuid="VG", extent_size=EXTENT, extent_count=sum(pv_extents),
        free_count=sum(left for _, _, left in free), seqno=7,
        pvs=tuple(pvs), lvs=tuple(lvs), metadata=metadata,
    )  # fmt: skip
    system = InstalledSystem(
        id="/dev/mapper/vg0-root", os_id="debian", os_name="Debian", os_version="12",
        hostname="made", init="systemd", root=next(v for v in volumes if v.role is Role.ROOT),
        volumes=tuple(volumes), fstab=(), boot=disks[0].partitions[0], esp=None,
        loader=Loader(kind=LoaderKind.GRUB), kernels=(),
    )  # fmt: skip
    return Machine(
        vendor="", product="", serial="", serial_is_junk=True, identity="made", uuid="",
        firmware=Firmware.BIOS,
        disks=tuple(disks), volume_groups=(group,), systems=(system,),
    )  # fmt: skip


def encrypted(machine: Machine, header_mib: int = 16) -> Machine:
    """The same machine with each PV inside LUKS; the partitions grow by the header."""
    (group,), disks, layers, pvs = machine.volume_groups, [], [], []
    for index, (disk, pv) in enumerate(zip(machine.disks, group.pvs, strict=True)):
        grown = tuple(
            msgspec.structs.replace(p, size=p.size + header_mib * MIB, fstype="crypto_LUKS")
            if p.path == pv.path
            else p
            for p in disk.partitions
        )
        size = next(p.size for p in grown if p.path == pv.path) - header_mib * MIB
        path = f"/dev/mapper/twinboot-below-luks-{index}"
        disks.append(msgspec.structs.replace(disk, size=disk.size + header_mib * MIB, partitions=grown))
        pvs.append(msgspec.structs.replace(pv, path=path))
        layers.append(
            Layer(
                kind=LayerKind.LUKS, path=path, uuid=str(index), name=pv.path, below=(pv.path,),
                offset=header_mib * MIB, size=size, cipher="aes-xts-plain64",
            )
        )  # fmt: skip
    held = msgspec.structs.replace(group, pvs=tuple(pvs))
    return msgspec.structs.replace(machine, disks=tuple(disks), layers=tuple(layers), volume_groups=(held,))


def plain(*, root_mib: int = 2048, gap_mib: int = 1024, sector: int = 512, data: bool = False) -> Machine:
    """One disk without LVM: ESP, /boot, root and swap, room between root and swap; with `data` a second disk
    of one partition."""
    at, parts = MIB, []
    for number, (size, fstype) in enumerate(
        ((128, "vfat"), (512, "ext4"), (0, ""), (root_mib, "ext4"), (256, "swap")), 1
    ):
        if fstype:
            parts.append(
                Partition(
                    path=f"/dev/vda{number}", number=number, start=at, size=size * MIB, fstype=fstype,
                    fsuuid=f"uuid-{number}",
                )
            )  # fmt: skip
        at += (size + (gap_mib if number == 4 else 0)) * MIB
    disks = [
        Disk(
            path="/dev/vda",
            size=at + MIB,
            bus=Bus.VIRTIO,
            sector=sector,
            table="gpt",
            table_id="8f1c2d3e-0000-4000-8000-000000000001",
            partitions=tuple(parts),
        )
    ]
    esp, boot, root, swap = parts
    volumes = [_on(root, Role.ROOT, "/"), _on(swap, Role.SWAP, "none")]
    if data:
        home = Partition(
            path="/dev/vdb1", number=1, start=MIB, size=64 * MIB, fstype="ext4", fsuuid="uuid-home"
        )
        disks.append(
            Disk(
                path="/dev/vdb", size=70 * MIB, bus=Bus.VIRTIO, sector=sector, table="dos", partitions=(home,)
            )
        )
        volumes.append(_on(home, Role.DATA, "/home"))
    found = made({"root": 1}, {}, {}, [1])
    (system,) = found.systems
    volumes[0] = msgspec.structs.replace(volumes[0], partition="part4", disk="disk-8f1c2d3e")
    described = msgspec.structs.replace(
        system, id=root.path, root=volumes[0], volumes=tuple(volumes), boot=boot, esp=esp,
        command_line=f"root=UUID={root.fsuuid} ro quiet",
    )  # fmt: skip
    return msgspec.structs.replace(found, disks=tuple(disks), volume_groups=(), systems=(described,))


LINUX_TYPE = "0fc63daf-8483-4772-8e79-3d69d8477de4"


def with_a_spare(size: int = 4096 * MIB, *, free: int = MIB, **words: object) -> Machine:
    """The plain machine with an empty partition behind the swap, /dev/vda6, and `free` bytes behind that."""
    found = plain()
    (disk,) = found.disks
    at = max(part.start + part.size for part in disk.partitions)
    spare = Partition(path="/dev/vda6", number=6, start=at, size=size, type_id=LINUX_TYPE, partuuid="5Ad0-06")
    parts = (*disk.partitions, msgspec.structs.replace(spare, **words))
    disk = msgspec.structs.replace(disk, size=at + size + free, partitions=parts)
    return msgspec.structs.replace(found, disks=(disk,))


def _on(part: Partition, role: Role, target: str) -> Volume:
    return Volume(
        device=part.path, role=role, target=target, fstype=part.fstype, fsuuid=part.fsuuid, size=part.size,
        storage=Storage.PARTITION,
    )  # fmt: skip


def _volume(name: str, role: Role, extents: int, storage: Storage) -> Volume:
    return Volume(
        device=f"/dev/mapper/vg0-{name}", role=role, target=f"/{name}", fstype="ext4", fsuuid=f"uuid-{name}",
        size=extents * EXTENT, storage=storage, vg="vg0", lv=name,
    )  # fmt: skip


def _lv_text(name: str, pieces: list[str], counts: list[int]) -> str:
    at, segments = 0, []
    for number, (piece, count) in enumerate(zip(pieces, counts, strict=True), 1):
        segments.append(f"segment{number} {{ start_extent = {at} extent_count = {count} {piece} }}")
        at += count
    return (
        f'{name} {{ id = "LV-{name}" status = ["READ", "WRITE", "VISIBLE"] flags = [] '
        f"segment_count = {len(segments)} " + " ".join(segments) + " }"
    )


def with_snapshot(machine: Machine, name: str, store: int, *tags: str) -> Machine:
    """The machine after a thick snapshot `name` of its linear `root` was taken; `store` in extents."""
    (group,) = machine.volume_groups
    root = group.lv("root")
    assert root is not None
    taken = group.extent_count - group.free_count
    words = ", ".join(f'"{tag}"' for tag in tags)
    held = _lv_text(name, [f'type = "striped" stripe_count = 1 stripes = ["pv0", {taken}]'], [store])
    held = held.replace('"WRITE", "VISIBLE"]', '"WRITE"]').replace(
        "flags = []", f"flags = [] tags = [{words}]"
    )
    number = sum(lv.segtype == "snapshot" for lv in group.lvs)
    kind = f'type = "snapshot" chunk_size = 8 origin = "root" cow_store = "{name}"'
    behind = _lv_text(f"snapshot{number}", [kind], [root.size // EXTENT])
    lv = LogicalVolume(
        name=name, uuid=f"LV-{name}", size=root.size, segtype="snapshot", origin="root", tags=tags
    )  # fmt: skip
    text = group.metadata.removesuffix(" } }") + f" {held} {behind} }} }}"
    free = group.free_count - store
    grown = msgspec.structs.replace(group, lvs=(*group.lvs, lv), metadata=text, free_count=free)
    return msgspec.structs.replace(machine, volume_groups=(grown,))


def mirrored(machine: Machine, header_mib: int = 1, *, first_last: bool = False) -> Machine:
    """The same machine with each PV on a mirror; every second leg is the first partition of one more disk.

    `first_last`: the array counts that one as its first.
    """
    (group,), disks, more, layers, pvs = machine.volume_groups, [], [], [], []
    for index, (disk, pv) in enumerate(zip(machine.disks, group.pvs, strict=True)):
        (was,) = (p for p in disk.partitions if p.path == pv.path)
        leg = msgspec.structs.replace(was, size=was.size + header_mib * MIB, fstype="linux_raid_member")
        parts = tuple(leg if p.path == pv.path else p for p in disk.partitions)
        disks.append(msgspec.structs.replace(disk, size=disk.size + header_mib * MIB, partitions=parts))
        path = f"/dev/vd{'mnopqrst'[index]}"
        other = msgspec.structs.replace(leg, path=f"{path}1", number=1, start=MIB)
        more.append(msgspec.structs.replace(disk, path=path, size=leg.size + 7 * MIB, partitions=(other,)))
        shown = f"/dev/mapper/twinboot-below-md-{index}"
        below = (other.path, leg.path) if first_last else (leg.path, other.path)
        pvs.append(msgspec.structs.replace(pv, path=shown))
        layers.append(
            Layer(
                kind=LayerKind.RAID1, path=shown, uuid=str(index), name=f"ledger:{index}", below=below,
                offset=header_mib * MIB, size=was.size,
            )
        )  # fmt: skip
    held = msgspec.structs.replace(group, pvs=tuple(pvs))
    return msgspec.structs.replace(
        machine, disks=(*disks, *more), layers=tuple(layers), volume_groups=(held,)
    )


def boot_mirrored(machine: Machine, *, first_last: bool = False) -> Machine:
    """A machine of `mirrored` whose /boot is an array of its own; its other leg is the last of the last disk.

    `first_last` as there.
    """
    (system,) = machine.systems
    boot = system.boot
    assert boot is not None
    *disks, last = (
        msgspec.structs.replace(
            disk,
            partitions=tuple(
                msgspec.structs.replace(p, fstype="linux_raid_member") if p.path == boot.path else p
                for p in disk.partitions
            ),
        )
        for disk in machine.disks
    )
    number, start = len(last.partitions) + 1, last.size
    other = msgspec.structs.replace(
        boot, path=f"{last.path}{number}", number=number, start=start, fstype="linux_raid_member"
    )
    grown = msgspec.structs.replace(last, size=start + other.size + MIB, partitions=(*last.partitions, other))
    layer = Layer(
        kind=LayerKind.RAID1, path="/dev/mapper/twinboot-below-md-boot", uuid="b", name="ledger:1",
        below=(other.path, boot.path) if first_last else (boot.path, other.path),
        offset=MIB, size=boot.size - MIB,
    )  # fmt: skip
    volume = msgspec.structs.replace(
        system.root, role=Role.BOOT, target="/boot", device=layer.path, vg="", lv="", size=layer.size,
        storage=Storage.PARTITION, array=layer.name,
    )  # fmt: skip
    held = msgspec.structs.replace(system, boot=None, volumes=(*system.volumes, volume))
    return msgspec.structs.replace(
        machine, disks=(*disks, grown), layers=(*machine.layers, layer), systems=(held,)
    )
