"""What an installed system names its devices by, beside fstab and crypttab, held against this machine.

The swap area it wakes from (initramfs-tools(7), resume=) and LVM's devices file (lvmdevices(8)). Where both
are as they were in a system that runs here, they say nothing new; a patch may have written either in its
twin, for the twin's devices.
"""

from __future__ import annotations

import re

from appliance.errors import DamagedData
from appliance.model.machine import PhysicalVolume, Trouble
from appliance.probe import trouble
from appliance.probe.crypttab import parse_crypttab
from appliance.probe.fstab import find_device
from appliance.probe.ground import Ground
from appliance.probe.hardware import sys_text
from appliance.probe.tree import Tree

RESUME = "/etc/initramfs-tools/conf.d/resume"
DEVICES_FILE = "/etc/lvm/devices/system.devices"
LVM_CONF = "/etc/lvm/lvm.conf"
NO_DEVICE = frozenset({"", "none", "auto"})
OF_HARDWARE = {"sys_wwid": ("device/wwid", "wwid"), "sys_serial": ("device/serial", "serial")}
"""Where sysfs has what LVM calls a disk by, for each kind of name (lvm2, lib/device/device_id.c)."""

_SWITCH = re.compile(r"^[ \t]*(#?)[ \t]*use_devicesfile[ \t]*=[ \t]*([01])", re.MULTILINE)


def of_names(ground: Ground, group: str, tree: Tree, command_line: str) -> tuple[Trouble, ...]:
    """What the system in `tree`, whose root lies in the volume group `group` ("": in none), names and this
    machine does not have. Files that do not read name nothing."""
    return (*_of_resume(ground, tree, command_line), *_of_devices_file(ground, group, tree))


def _of_resume(ground: Ground, tree: Tree, command_line: str) -> tuple[Trouble, ...]:
    named = [w.removeprefix("resume=") for w in command_line.split() if w.startswith("resume=")]
    # The command line wins over what was packed into the initrd, and of several words the last.
    spec = named[-1] if named else _assigned(_text(tree, RESUME), "RESUME")
    crypt = {line.name for line in parse_crypttab(_text(tree, "/etc/crypttab"))}
    if spec.lower() in NO_DEVICE or spec.removeprefix("/dev/mapper/") in crypt:
        return ()
    return () if find_device(spec, ground.known) else (trouble.resume_missing(spec),)


def _assigned(text: str, name: str) -> str:
    found = re.findall(rf"^[ \t]*{name}=[\"']?([^\"'\n#]*)", text, re.MULTILINE)
    return found[-1].strip() if found else ""


def _of_devices_file(ground: Ground, name: str, tree: Tree) -> tuple[Trouble, ...]:
    group = next((g for g in ground.groups if name and g.name == name), None)
    text = _text(tree, DEVICES_FILE)
    if group is None or not text or not _in_force(_text(tree, LVM_CONF)):
        return ()
    listed = [_entry(line) for line in text.splitlines() if line.startswith("IDTYPE=")]
    return tuple(
        trouble.not_in_devices_file(pv.path, group.name)
        for pv in group.pvs
        if not any(_means(ground, pv, entry) for entry in listed)
    )


def _in_force(conf: str) -> bool:
    """Whether LVM looks into the file: what lvm.conf sets, or else what it says beside # to be the default,
    which is the distribution's own choice when it was built."""
    found = _SWITCH.findall(conf)
    said = sorted(found, key=lambda one: not one[0])  # what is set comes last
    return bool(said) and said[-1][1] == "1"


def _entry(line: str) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in line.split())


def _means(ground: Ground, pv: PhysicalVolume, entry: dict[str, str]) -> bool:
    """Whether the entry is of that physical volume, under a name by which LVM finds it here: where a name of
    the hardware is another one, LVM uses the device no more."""
    if _bare(entry.get("PVID", "")) != _bare(pv.uuid):
        return False
    disk = next((d for d in ground.disks if pv.path in (d.path, *(p.path for p in d.partitions))), None)
    files = OF_HARDWARE.get(entry.get("IDTYPE", ""))
    if disk is None or files is None:
        return True
    folder = ground.shown.root / "sys/block" / disk.path.rpartition("/")[2]
    own = [said for file in files if (said := _bare(sys_text(folder / file)))]
    return not own or _bare(entry.get("IDNAME", "")) in own


def _bare(text: str) -> str:
    """Without what LVM writes otherwise than sysfs: blanks as underscores, UUIDs without hyphens."""
    return re.sub(r"[^0-9A-Za-z.:]", "", text)


def _text(tree: Tree, path: str) -> str:
    try:
        return tree.text(path, 1 << 20) or ""
    except DamagedData:
        return ""
