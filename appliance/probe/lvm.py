"""LVM, always run with an isolated configuration, and its reports as frozen objects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from appliance.errors import CommandFailed, DamagedData, ProbeFailed
from appliance.host.run import Command, Host, read
from appliance.model.codec import from_json
from appliance.model.machine import LogicalVolume, PhysicalVolume, VolumeGroup
from appliance.probe import lvm_metadata
from appliance.probe.lvm_metadata import MetaLv, VgMetadata

REPORTS = (
    ("vg", "vg_name,vg_uuid,vg_extent_size,vg_extent_count,vg_free_count,vg_seqno,vg_missing_pv_count"),
    ("pv", "pv_name,pv_uuid,pv_size,pv_missing"),
    ("lv", "lv_name"),
    ("seg", "segtype"),
    ("pvseg", "pvseg_start"),
)


def lvm_config(pvs: tuple[str, ...]) -> tuple[str, ...]:
    """Extra argv for every lvm command: `("--config", "...")`.

    LVM then sees exactly the devices in `pvs` (paths of partitions and disks, never of volumes), reads no
    devices file, follows no event, keeps no backup and writes no hints (lvm.conf(5)). No PVs: it sees none.
    """
    accept = ",".join(f'"a|^{_regex(path)}$|"' for path in pvs)
    filters = f'[{accept}{"," if accept else ""}"r|.*|"]'
    return (
        "--config",
        f'devices {{ filter={filters} global_filter={filters} use_devicesfile=0 scan_lvs=0 hints="none" }}'
        " global { event_activation=0 use_lvmpolld=0 use_lvmlockd=0 notify_dbus=0 }"
        " activation { monitoring=0 auto_activation_volume_list=[] }"
        " backup { backup=0 archive=0 }",
    )


def _regex(path: str) -> str:
    """`path` with the characters special in LVM's filter expressions taken literally."""
    return "".join(f"\\\\{c}" if c in ".*+?()[]{}^$\\|" else c for c in path)


def fullreport(pvs: tuple[str, ...]) -> Command:
    """Volume groups and physical volumes; sizes in bytes. 5 is LVM's status where something was skipped."""
    columns = [word for kind, names in REPORTS for word in ("--configreport", kind, "-o", names)]
    return read(
        "lvm", "fullreport", *lvm_config(pvs), "--readonly", "--units", "b", "--nosuffix",
        "--reportformat", "json_std", *columns, timeout=120, ok=frozenset({0, 5}),
    )  # fmt: skip


# json_std leaves counts bare and puts sizes in quotes.
Count = Annotated[int, msgspec.Meta(ge=0)]
Size = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}$")]


class _Vg(msgspec.Struct, frozen=True):
    vg_name: str
    vg_uuid: str
    vg_extent_size: Size
    vg_extent_count: Count
    vg_free_count: Count
    vg_seqno: Count
    vg_missing_pv_count: Count


class _Pv(msgspec.Struct, frozen=True):
    pv_name: str
    pv_uuid: str
    pv_size: Size
    pv_missing: int


class _Report(msgspec.Struct, frozen=True):
    vg: tuple[_Vg, ...] = ()
    pv: tuple[_Pv, ...] = ()


class _Reports(msgspec.Struct, frozen=True):
    report: tuple[_Report, ...]


def parse_fullreport(text: str) -> tuple[VolumeGroup, ...]:
    """Volume groups without their volumes and metadata. Raises DamagedData naming the key that is wrong."""
    reports: _Reports = from_json(text, _Reports, "LVM's report")
    return tuple(_group(vg, report.pv) for report in reports.report for vg in report.vg if vg.vg_name)


def _group(vg: _Vg, pvs: tuple[_Pv, ...]) -> VolumeGroup:
    present = (pv for pv in pvs if pv.pv_name.startswith("/") and not pv.pv_missing)
    return VolumeGroup(
        name=vg.vg_name,
        uuid=vg.vg_uuid,
        extent_size=int(vg.vg_extent_size),
        extent_count=vg.vg_extent_count,
        free_count=vg.vg_free_count,
        seqno=vg.vg_seqno,
        pvs=tuple(PhysicalVolume(path=pv.pv_name, uuid=pv.pv_uuid, size=int(pv.pv_size)) for pv in present),
        lvs=(),
        missing_pvs=vg.vg_missing_pv_count,
    )


def read_groups(host: Host, pvs: tuple[str, ...], folder: Path) -> tuple[tuple[VolumeGroup, VgMetadata], ...]:
    """Every volume group on `pvs` with its volumes, and its metadata text parsed.

    vgcfgbackup replaces the file it is given by renaming, so it gets a new one in `folder` (in RAM), never a
    device. Raises ProbeFailed where LVM does not answer, DamagedData where an answer does not read.
    """
    if not pvs:
        return ()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        groups = parse_fullreport(host.run(fullreport(pvs)).stdout)
        backup = ("vgcfgbackup", *lvm_config(pvs), "--readonly", "--file", f"{folder}/%s.vg")
        if groups:
            host.run(read("lvm", *backup, timeout=120, ok=frozenset({0, 5})))
    except CommandFailed as error:
        raise ProbeFailed(f"LVM could not be read. {error.what}") from error
    return tuple(_with_volumes(group, folder / f"{group.name}.vg") for group in groups)


def _with_volumes(group: VolumeGroup, file: Path) -> tuple[VolumeGroup, VgMetadata]:
    try:
        text = file.read_text()
        file.unlink()
    except (OSError, UnicodeDecodeError) as error:
        raise ProbeFailed(f"The metadata of {group.name} could not be read: {error}.") from None
    meta = lvm_metadata.parse(text, f"the metadata of {group.name}")
    if meta.name != group.name or meta.id != group.uuid:
        raise DamagedData(f"The metadata read for {group.name} is that of {meta.name}.")
    lvs = tuple(volume for lv in meta.lvs if (volume := _shown_volume(lv, meta, group.extent_size)))
    return msgspec.structs.replace(group, lvs=lvs, metadata=text), meta


def _shown_volume(lv: MetaLv, meta: VgMetadata, extent_size: int) -> LogicalVolume | None:
    """The volume that a person sees under this name; None for what is only a part of one.

    A thick snapshot is seen under the name of its store, and as large as its origin. While it is written
    back, nobody sees it.
    """
    snapshot = meta.snapshot_by(lv.name)
    if snapshot is not None and not snapshot.merging:
        whole = _volume(lv, extent_size)
        size, origin = snapshot.extents * extent_size, snapshot.origin
        return msgspec.structs.replace(whole, size=size, origin=origin, segtype="snapshot")
    if not lv.visible or lv.thick_snapshot is not None:
        return None
    return _volume(lv, extent_size)


def _volume(lv: MetaLv, extent_size: int) -> LogicalVolume:
    """A volume as its metadata describes it; how full it is, is learnt from the kernel later."""
    first = lv.segments[0] if lv.segments else None
    kind = first.kind if first else ""
    linear = kind == "striped" and all(len(segment.stripes) == 1 for segment in lv.segments)
    return LogicalVolume(
        name=lv.name,
        uuid=lv.id,
        size=lv.extents * extent_size,
        segtype="linear" if linear else kind,
        pool=first.thin_pool if first else "",
        origin=first.origin if first else "",
        thin_id=first.device_id if first and kind == "thin" else 0,
        tags=lv.tags,
        skip_activation="ACTIVATION_SKIP" in lv.flags,
        writable="WRITE" in lv.status,
    )
