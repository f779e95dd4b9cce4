"""What a twin is made of, and what of ours goes into its root before the first power-on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from appliance.host.files import Inside, mounted, mounted_inside, mounted_readonly
from appliance.host.run import Host, read
from appliance.model.machine import Disk, InstalledSystem, Machine
from appliance.twin import quiet, restore
from appliance.twin.controllers import called, usual
from appliance.twin.domain import DiskSpec


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. A slow twin (`is_slow`) boots in 122 to 150 s on a quiet host, and in 680 s on a busy one."""

    start: float = 300.0
    boot: float = 900.0
    slow_boot: float = 1800.0
    shutdown: float = 600.0
    freeze: float = 60.0


@dataclass(frozen=True, slots=True)
class TwinSetup:
    """What a twin is made of. `part` is "work" or "proof": two twins of one run never share a name.

    `volumes` maps each of `TwinLayout.volumes` (LV names) to its active snapshot's path; `scratch` is an
    active empty volume of `layout.scratch_bytes`. `base` is the active read-only snapshot of the root as it
    was, for putting run-time state back; empty where nothing is sealed. `base_beside` are those of the
    volumes that belong into its tree. `root_part` and `base_part` are mount options that show the root alone
    in either, where there is more. `files` go on the tools disk under their names. `memory` in MiB, 0 for as
    much as fits. `asks_on_screen` says that the passphrase of an encrypted disk is asked for there, and not
    on the first serial line. `stand_ins` names, by a disk's path, the driver of the controller that stands in
    for one that no twin has.
    """

    machine: Machine
    system: InstalledSystem
    run: str
    part: str
    volumes: Mapping[str, str]
    scratch: str
    base: str = ""
    root_part: tuple[str, ...] = ()
    base_part: tuple[str, ...] = ()
    base_beside: tuple[Inside, ...] = ()
    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    emulate: bool = False
    memory: int = 0
    network: bool = True
    asks_on_screen: bool = False
    stand_ins: Mapping[str, str] = field(default_factory=dict)


def archive_runtime(host: Host, setup: TwinSetup, archive: Path) -> tuple[str, ...]:
    """Pack the run-time state of the untouched root into `archive`; what is too big for it."""
    system = setup.system
    at = archive.parent / "base"
    with (
        mounted_readonly(host, setup.base, system.root.fstype, at, setup.base_part) as root,
        mounted_inside(host, root, setup.base_beside, writable=False),
    ):
        return restore.archive_runtime(host, root, archive)


def place_ours(host: Host, setup: TwinSetup, at: Path, *, slow: bool) -> None:
    """Our unit and the quiet rules, into the twin's root, which is mounted at `at` meanwhile."""
    system = setup.system
    device = setup.volumes[system.root.name]
    with mounted(host, device, system.root.fstype, at, setup.root_part) as root:
        quiet.place(root, patient=slow)


def is_slow(host: Host, setup: TwinSetup) -> bool:
    """Whether the twin is emulated, or its appliance is virtual itself (systemd-detect-virt(1))."""
    if setup.emulate:
        return True
    found = host.run(read("systemd-detect-virt", "--vm", timeout=60, ok=frozenset({0, 1})))
    return found.stdout.strip() not in ("", "none")


def disk_spec(disk: Disk, node: str, stand_in: str = "") -> DiskSpec:
    """`disk` as the twin has it at `node`; `stand_in` is the driver of what stands in for its controller."""
    by = called(stand_in or disk.driver) or usual(disk.bus)
    shown = DiskSpec(node, by.bus, disk.serial, disk.wwn, disk.model, disk.sector)
    return replace(shown, controller=by.model, parallel=by.parallel) if by.model else shown
