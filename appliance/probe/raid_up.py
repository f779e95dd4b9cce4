"""A mirror brought up for writing as the machine itself does it: by md, all its legs or not at all.

No leg is ever written alone, so whatever is cut short leaves what md knows how to put in step. While md only
reads, it writes no super block; what it counts begins with `--readwrite`. A bitmap's own super block is
written as soon as an array starts, whatever it starts for (md_bitmap_load): so one is only started for an act
that writes. /sys/block/md*/md as in the kernel's md.rst.
"""

from __future__ import annotations

from pathlib import Path

from appliance.errors import Refused
from appliance.host import mapper
from appliance.host.mapper import LIMIT
from appliance.host.run import Command, Host, write
from appliance.model.machine import Layer
from appliance.probe.hardware import sys_text
from appliance.probe.mappings import SECTOR

ROOT = Path("/")
WAYS = ("Start the machine and look at its arrays (cat /proc/mdstat), then start this medium again.",)


def bring_up(host: Host, layer: Layer, root: Path = ROOT) -> None:
    """Show the mirror `layer` under its name, for writing; nothing where it is up, but that it must be whole.

    It stays up until power-off, as what lies in it does: the kernel then notes in each leg that it is clean
    (md_notify_reboot). Raises Refused where a leg is missing or not in step, CommandFailed.
    """
    name = mapper.name_of(layer.path)
    array = array_of(layer, root)
    if name in mapper.names(host):
        if array:
            if why := why_not(layer, array, root):
                raise Refused((why,), next_actions=WAYS)
            return
        mapper.remove(host, name)  # it was shown by a leg, to be read
    if not array:
        host.run(_assemble(layer))
        array = array_of(layer, root)
    if why := why_not(layer, array, root):
        if array:
            host.run(write("mdadm", "--stop", f"/dev/{array}", timeout=LIMIT))
        raise Refused((why,), next_actions=WAYS)
    if _said(array, root, "array_state") in ("readonly", "read-auto"):
        host.run(write("mdadm", "--readwrite", f"/dev/{array}", timeout=LIMIT))
    mapper.create(host, name, (f"0 {layer.size // SECTOR} linear /dev/{array} 0",))


def array_of(layer: Layer, root: Path = ROOT) -> str:
    """The kernel's name of the array that has the first leg ("md127"); empty where none has."""
    holders = root / "sys/class/block" / Path(layer.below[0]).name / "holders"
    found = sorted(path.name for path in holders.glob("md*"))
    return found[0] if found else ""


def why_not(layer: Layer, array: str, root: Path = ROOT) -> str:
    """A sentence on why the array must not be written; empty where each leg of it is there and in step."""
    if not array:
        return f"The RAID array {layer.name} could not be started."
    legs = (_said(array, root, f"dev-{Path(leg).name}/state").split(",") for leg in layer.below)
    missing = [leg for leg, state in zip(layer.below, legs, strict=True) if "in_sync" not in state]
    if missing or _said(array, root, "degraded") != "0":
        return f"The RAID array {layer.name} is degraded: {', '.join(missing) or 'a leg'} is not in it."
    still = _said(array, root, "sync_action") in ("idle", "frozen")
    if not still or _said(array, root, "resync_start") != "none":
        return f"The RAID array {layer.name} is being put in step."
    if int(sys_text(root / "sys/block" / array / "size") or 0) * SECTOR != layer.size:
        return f"The RAID array {layer.name} is not as long as its legs say."
    return ""


def _said(array: str, root: Path, what: str) -> str:
    return sys_text(root / "sys/block" / array / "md" / what)


def _assemble(layer: Layer) -> Command:
    node = f"/dev/md/twinboot-{layer.uuid.replace(':', '')[:8]}"
    # Without --run, mdadm leaves it down where a leg is missing that was there when it was last at work.
    how = ("--readonly", "--config=none", f"--uuid={layer.uuid}")
    return write("mdadm", "--assemble", *how, node, *layer.below, timeout=LIMIT)
