"""The gate: is every driver that the real machine's root needs in the new initrd?

Facts come from the running appliance's sysfs: the chain of devices from the root disk up to the bus, each
with the module that drives it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from appliance.probe.luks import modules_of

SYS = Path("/sys")
# Device-mapper target of a segment type (lvs segtype) and the module and programs an initrd needs for it.
LVM_MODULES = {
    "thin": ("dm_thin_pool",),
    "thin-pool": ("dm_thin_pool",),
    "snapshot": ("dm_snapshot",),
    "raid1": ("dm_raid",),
    "raid5": ("dm_raid",),
    "raid6": ("dm_raid",),
    "raid10": ("dm_raid",),
    "cache": ("dm_cache",),
}
CRYPTSETUP = (("cryptsetup", "systemd-cryptsetup"),)
THIN_CHECK = ("thin_check", "pdata_tools")
RAID1 = ("md_mod", "raid1")
MDADM = ("mdadm",)


@dataclass(frozen=True, slots=True)
class RootStack:
    """What stands between the machine's bus and its root: kernel modules (underscores) and programs.

    A program is a tuple of names of which one must be there.
    """

    modules: tuple[str, ...]
    programs: tuple[tuple[str, ...], ...]


def plain(name: str) -> str:
    return name.replace("-", "_")


def disk_modules(disk: str, sys: Path = SYS) -> tuple[str, ...]:
    """Modules that drive the whole disk at path `disk` ("/dev/sda") and every bus device above it."""
    device = (sys / "class/block" / Path(disk).name / "device").resolve()
    found: list[str] = []
    for folder in (device, *device.parents):
        if folder == sys.resolve():
            break
        module = folder / "driver/module"
        if module.exists():
            found.append(plain(module.resolve().name))
    return tuple(dict.fromkeys(found))


def root_stack(
    disks: tuple[str, ...],
    segtypes: tuple[str, ...],
    *fstypes: str,
    ciphers: tuple[str, ...] = (),
    mirrored: bool = False,
    sys: Path = SYS,
) -> RootStack:
    """The stack of a root on LVM: `disks` under its PVs, `segtypes` of volume and pool, the file systems that
    an initrd mounts, the `ciphers` of encrypted devices between, and whether an MD RAID 1 is."""
    modules = [module for disk in disks for module in disk_modules(disk, sys)]
    programs: list[tuple[str, ...]] = []
    if segtypes:
        modules.append("dm_mod")
        programs.append(("lvm",))
    for segtype in segtypes:
        modules += LVM_MODULES.get(segtype, ())
        if segtype in ("thin", "thin-pool"):
            programs.append(THIN_CHECK)
    for cipher in ciphers:
        modules += modules_of(cipher)
        programs += CRYPTSETUP
    if mirrored:
        modules += RAID1
        programs.append(MDADM)
    modules += [plain(fstype) for fstype in fstypes]
    return RootStack(tuple(dict.fromkeys(modules)), tuple(dict.fromkeys(programs)))


_MODULE = re.compile(r"(?:.*/)?([^/]+?)\.ko(?:\.(?:xz|zst|gz))?\Z")


def module_names(names: tuple[str, ...]) -> set[str]:
    """The modules among file names, with underscores, however they are packed."""
    return {plain(found[1]) for name in names if (found := _MODULE.match(name))}


def at_hand(names: tuple[str, ...], modules: Path) -> set[str]:
    """Modules among the files `names` of an initrd, and those that the kernel of the module folder `modules`
    has built in (modules.builtin)."""
    builtin = modules / "modules.builtin"
    lines = builtin.read_text(errors="replace").splitlines() if builtin.is_file() else []
    return module_names((*names, *lines))


def not_in_initrd(stack: RootStack, names: tuple[str, ...], modules: Path) -> tuple[str, ...]:
    """Sentences for what is missing; `modules` is the new kernel's module folder."""
    there = at_hand(names, modules)
    programs = {name.rpartition("/")[2] for name in names}
    reasons = [
        f"The new initrd lacks the driver {module}, which this machine's root disk needs."
        for module in stack.modules
        if module not in there
    ]
    reasons += [
        f"The new initrd lacks the program {choice[0]}, which the root volume needs."
        for choice in stack.programs
        if not programs & set(choice)
    ]
    return tuple(reasons)
