"""A disk whose controller no twin can have: what stands in for it, and how a plan says so.

The installed initrd decides, before anything begins: a controller whose driver it holds may stand in, and
then the twin starts by its own loader and that initrd. What an initrd holds for the machine's own controller
is another question, which the gate answers from the machine (steps/metal.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from appliance.boot.artifacts import modules_folder
from appliance.boot.drivers import at_hand, module_names
from appliance.boot.initrd import initrd_names
from appliance.errors import BootConfigFailed, CommandFailed, Refused
from appliance.host.run import Host, read
from appliance.model.machine import Disk, InstalledSystem, Kernel, LoaderKind, Machine
from appliance.model.plan import Plan, StandIn
from appliance.model.verdict import CheckResult, Outcome
from appliance.probe.inside import Inside, looked_into
from appliance.twin.controllers import ALWAYS, Controller, can_stand_in, devices_of, played
from appliance.twin.layout import plan_layout

EMULATOR = "qemu-system-x86_64"
SAID = (
    "{disk} hangs on a controller that no twin has ({driver}): in the twin {by} stands in for it. That the "
    "patched system starts from {driver} is read in its initrd, and tried by the trial."
)
STOOD = (
    "{disk} hangs on a controller that no twin has ({driver}): in the twin {by} stood in for it. That the "
    "new system starts from {driver} is read in its initrd, and tried by the trial."
)
NOT_BY_ITSELF = (
    "The installed initrd {initrd} holds no driver of a controller that could stand in. So the twin's kernel "
    "is started without its boot loader, with {by} added to its initrd: boot loader and initrd are NOT "
    "rehearsed."
)
NONE_THERE = (
    "{disk} hangs on a controller that no twin has ({driver}), and neither the installed initrd {initrd} nor "
    "the modules of its kernel {version} have the driver of one that could stand in for it."
)
ONLY_GRUB = (
    "The installed initrd {initrd} holds no driver of a controller that a twin has. A kernel that {loader} "
    "starts can not be started without it (yet): add virtio_pci, virtio_scsi and sd_mod to what the running "
    "system packs into that initrd."
)


@dataclass(frozen=True, slots=True)
class Held:
    """The kernel that an unattended start takes, the modules its initrd holds or it has built in, and those
    that it could load: files of its system."""

    kernel: Kernel
    modules: frozenset[str]
    loadable: frozenset[str] = frozenset()


def read_initrd(host: Host, machine: Machine, system: InstalledSystem) -> Held:
    """What the installed system's initrd holds; of one that is damaged, nothing: the control boot shows that.

    Writes nothing. Raises Refused where there is none to read; else as `looked_into`.
    """
    kernel = started_kernel(system)
    if kernel is None:
        raise Refused((f"{system.id} has no kernel with an initrd that could be read.",))
    with looked_into(host, machine, system) as inside:
        names = _names(host, inside, kernel)
        folder = modules_folder(inside.tree.base, kernel.version)
        held = at_hand(names, folder) if folder else module_names(names)
        files = tuple(path.name for path in folder.rglob("*.ko*")) if folder else ()
    return Held(kernel, frozenset(held), frozenset(module_names(files)))


def _names(host: Host, inside: Inside, kernel: Kernel) -> tuple[str, ...]:
    for tree in inside.boot_trees():
        if tree.is_file(kernel.initrd) and (file := tree.resolve(kernel.initrd)) is not None:
            with contextlib.suppress(BootConfigFailed, CommandFailed):
                return initrd_names(host, file)
            return ()
    raise Refused((f"The initrd {kernel.initrd} of the installed system was not found.",))


def started_kernel(system: InstalledSystem) -> Kernel | None:
    """The one its loader's default entry names, else the newest; None where that has no initrd."""
    default = next((entry.kernel for entry in system.loader.entries if entry.default), "")
    name = default.rpartition("/")[2]
    named = (k for k in system.kernels if name and k.vmlinuz.rpartition("/")[2] == name)
    found = next(named, next(iter(system.kernels), None))
    return found if found is not None and found.initrd else None


def ask_devices(host: Host) -> frozenset[str]:
    """The devices that this appliance's QEMU can play. Raises CommandFailed."""
    return devices_of(host.run(read(EMULATOR, "-machine", "none", "-device", "help", timeout=120)).stdout)


def not_played(
    machine: Machine, system: InstalledSystem, devices: Callable[[], frozenset[str]]
) -> tuple[Disk, ...]:
    """Disks of the twin whose own controller it can not have. `devices` is asked only where that depends on
    it. Raises Refused where the twin's disks can not be planned."""
    shown = {disk.path for disk in plan_layout(machine, system).disks}
    disks = tuple(disk for disk in machine.disks if disk.path in shown)
    usual = {one.driver for one in ALWAYS} | {""}
    if all(disk.driver in usual for disk in disks):
        return ()
    there = devices()
    return tuple(disk for disk in disks if played(disk, machine.firmware, there) is None)


def with_stand_ins(
    plan: Plan, machine: Machine, devices: Callable[[], frozenset[str]], initrd: Callable[[], Held]
) -> Plan:
    """`plan` with what stands in for controllers that no twin has. Raises Refused where nothing can."""
    disks = not_played(machine, plan.system, devices)
    if not disks:
        return plan
    held = initrd()
    able = tuple((disk, can_stand_in(disk)) for disk in disks)
    within = tuple(_first(disk, some, held.modules) for disk, some in able)
    if found := tuple(filter(None, within)) if all(within) else ():
        return replace(plan, stand_ins=found, warnings=(*plan.warnings, *map(sentence, found)))
    added = tuple(_first(disk, some, held.modules | held.loadable) for disk, some in able)
    none = tuple(disk for disk, one in zip(disks, added, strict=True) if one is None)
    if reasons := _why_not_direct(plan.system, held, none):
        raise Refused(reasons, plan.warnings)
    found = tuple(filter(None, added))
    said = (*map(sentence, found), NOT_BY_ITSELF.format(initrd=held.kernel.initrd, by=_names_of(found)))
    return replace(plan, stand_ins=found, direct=True, warnings=(*plan.warnings, *said))


def _first(disk: Disk, able: tuple[Controller, ...], modules: frozenset[str]) -> StandIn | None:
    by = next((one.driver for one in able if modules.issuperset(one.drivers)), "")
    return StandIn(disk=disk.path, driver=disk.driver, by=by) if by else None


def _why_not_direct(system: InstalledSystem, held: Held, none: tuple[Disk, ...]) -> tuple[str, ...]:
    """Sentences on why its kernel could not be started either."""
    lacks = {"initrd": held.kernel.initrd, "version": held.kernel.version}
    if none:
        return tuple(NONE_THERE.format(disk=disk.path, driver=disk.driver, **lacks) for disk in none)
    if system.loader.kind is not LoaderKind.GRUB:
        return (ONLY_GRUB.format(loader=system.loader.name, **lacks),)
    return ()


def _names_of(found: tuple[StandIn, ...]) -> str:
    return " and ".join(dict.fromkeys(one.by for one in found))


BOOT = CheckResult(
    name="boot loader and initrd",
    outcome=Outcome.NOT_TESTED,
    before="NOT rehearsed",
    after="NOT rehearsed",
    why="The twin's kernel was started without its boot loader, with the command line that one would have"
    " given it, and with drivers added to its initrd. That the boot loader starts it, and that the initrd as"
    " it is finds this machine's disk, is tried on the metal.",
)


def sentence(one: StandIn) -> str:
    return SAID.format(disk=one.disk, driver=one.driver, by=one.by)


def stood_in(plan: Plan) -> tuple[str, ...]:
    """What is said of it before a promotion of what was rehearsed so."""
    words = ({"disk": one.disk, "driver": one.driver, "by": one.by} for one in plan.stand_ins)
    said = tuple(STOOD.format(**each) for each in words)
    return (*said, BOOT.why) if plan.direct else said


def not_tested(plan: Plan) -> tuple[CheckResult, ...]:
    """What a verdict says of it; nothing where every disk had its own controller."""
    if not plan.stand_ins:
        return ()
    drivers, by = " and ".join(dict.fromkeys(one.driver for one in plan.stand_ins)), _names_of(plan.stand_ins)
    return (
        *((BOOT,) if plan.direct else ()),
        CheckResult(
            name="disk controller",
            outcome=Outcome.NOT_TESTED,
            before=f"{by} for {drivers}",
            after=f"{by} for {drivers}",
            why=f"This machine's disk hangs on {drivers}, which no twin has: in it {by} stood in. Whether the"
            f" new initrd holds {drivers} is read before a promotion; that the new system starts from it is"
            " tried on the metal.",
        ),
    )
