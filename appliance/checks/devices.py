"""What becomes of each device of the real machine in the patched system: SAME, OTHER or NONE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from appliance.checks.module_info import has_firmware
from appliance.checks.modules import Modules
from appliance.model.metal import Device, DeviceFate, Fate
from appliance.model.plain import plain
from appliance.model.verdict import CheckResult, Outcome
from appliance.probe.tree import Tree

NAME = "devices of this machine"
FIX = (
    "Put the package that brings the driver, its firmware or its DKMS module (with the new kernel's headers) "
    "into the patch as well, or leave the new kernel out of it. Rehearse again."
)
NO_DEVICE = "module"
"""The place of what is gone without any device here asking for it."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two systems: the kernel it boots, that kernel's modules, the firmware each of them names."""

    version: str
    tree: Tree
    modules: Modules
    firmware: dict[str, tuple[str, ...]]

    def lacks(self, name: str) -> bool:
        return not has_firmware(self.tree, self.version, name)


def compare_devices(devices: Iterable[Device], before: Side, after: Side) -> tuple[DeviceFate, ...]:
    """One for each device that has a driver in either system, then the modules from outside that are gone."""
    found = [fate for device in devices if (fate := _fate(device, before, after)) is not None]
    told = {module for fate in found for module in fate.before.split(", ")}
    return (*found, *_outsiders(before, after, told))


def _fate(device: Device, before: Side, after: Side) -> DeviceFate | None:
    was, now = (side.modules.drivers(device.modaliases) for side in (before, after))
    if not was and not now:
        return None
    sort, why = Fate.SAME, ""
    if was and not now:
        sort, why = Fate.NONE, _why_none(was, after)
    elif was and was != now:
        sort, why = Fate.OTHER, f"{_list(was)} drove it, {_list(now)} will."
    elif was and (said := [*_moved(was, before, after), *_without_firmware(was, before, after)]):
        sort, why = Fate.OTHER, " ".join(said)
    return DeviceFate(
        place=device.place, name=device.name, fate=sort, before=_list(was), after=_list(now), why=why
    )


def _list(modules: tuple[str, ...]) -> str:
    return plain(", ".join(modules))


def _why_none(was: tuple[str, ...], after: Side) -> str:
    barred = [module for module in was if module in after.modules.barred and module in after.modules.paths]
    if barred:
        return (
            f"The patched system has the driver {_list(tuple(barred))}, and its modprobe.d or its kernel "
            "command line bars it."
        )
    return f"The kernel {after.version} of the patched system has no driver for it; it was {_list(was)}."


def _moved(modules: tuple[str, ...], before: Side, after: Side) -> Iterator[str]:
    """Drivers of one name that are not the same: one came by DKMS, and now the kernel's own is taken."""
    for module in modules:
        was, now = before.modules.outside(module), after.modules.outside(module)
        if was != now:
            first, then = plain(was) or "the kernel", plain(now) or "the kernel"
            yield f"{plain(module)} came by {first} and comes by {then} now."


def _without_firmware(modules: tuple[str, ...], before: Side, after: Side) -> Iterator[str]:
    """Only what was there counts: a driver names the firmware of every device it was ever made for."""
    for module in modules:
        wanted = after.firmware.get(module, ()) + before.firmware.get(module, ())
        gone = [name for name in dict.fromkeys(wanted) if not before.lacks(name) and after.lacks(name)]
        if gone:
            more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
            yield f"The firmware {plain(gone[0])}{more} of {plain(module)} was there and is gone."


def _outsiders(before: Side, after: Side, told: set[str]) -> Iterator[DeviceFate]:
    for module in before.modules.outsiders:
        if module in told or module in after.modules.paths:
            continue
        how = before.modules.outside(module)
        yield DeviceFate(
            place=NO_DEVICE,
            name=plain(module),
            fate=Fate.NONE,
            before=plain(how),
            after="",
            why=f"It came by {plain(how)}, and was not built for the kernel {plain(after.version)}.",
        )


def judge_devices(fates: tuple[DeviceFate, ...]) -> CheckResult:
    """Worse where a driver is gone; another driver is what no twin could try."""
    changed = [fate for fate in fates if fate.fate is not Fate.SAME]
    gone = [fate for fate in changed if fate.fate is Fate.NONE]
    outcome = Outcome.WORSE if gone else Outcome.NOT_TESTED if changed else Outcome.SAME
    return CheckResult(
        name=NAME,
        outcome=outcome,
        before=f"{sum(bool(f.before) for f in fates)} with a driver",
        after=f"{sum(bool(f.after) for f in fates)} with a driver",
        limit="a driver for each that has one",
        why=_told(gone or changed),
        fix=FIX if gone else "",
    )


def _told(fates: list[DeviceFate]) -> str:
    """The first three of them."""
    told = [f"{fate.name} ({fate.place}): {fate.why}" for fate in fates[:3]]
    return " ".join((*told, *([f"And {len(fates) - 3} more: see the report."] if len(fates) > 3 else [])))


def not_compared(why: str) -> CheckResult:
    return CheckResult(name=NAME, outcome=Outcome.NOT_TESTED, before="-", after="-", why=why)
