"""What the machine's own devices and network cards have in the patched system, against the installed one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.boot.artifacts import modules_folder
from appliance.checks.devices import Side, compare_devices, judge_devices, not_compared
from appliance.checks.module_info import firmware_of
from appliance.checks.modules import Modules, read_modules
from appliance.checks.network_names import Network, judge_names, read_setups, why_unreachable
from appliance.checks.network_setup import Named
from appliance.errors import DamagedData
from appliance.host.files import mounted_readonly
from appliance.host.run import Host
from appliance.model.metal import Card, Device, DeviceFate
from appliance.model.verdict import CheckResult, Facts
from appliance.probe.bus_devices import read_cards, read_devices
from appliance.probe.tree import Tree
from appliance.twin.udev_names import names_in
from appliance.workflow.steps.ground import Ground
from appliance.workflow.steps.volume_set import installed_beneath


@dataclass(frozen=True, slots=True)
class Booted:
    """One of the two systems, mounted at `root`: the kernel it boots and what that is told."""

    root: Path
    version: str
    command_line: str


@dataclass(frozen=True, slots=True)
class Hardware:
    """`unreachable` are sentences: the machine's address is on a card that has none in the patched system."""

    devices: tuple[DeviceFate, ...]
    checks: tuple[CheckResult, ...]
    unreachable: tuple[str, ...]


def look_at_both(host: Host, ground: Ground, before: Path, after: Path, version: str = "") -> Hardware:
    """The installed system mounted at `before` and the patched one at `after`, as the twin booted them;
    `version` is the kernel that the machine will boot, where that is known better."""
    control: Facts | None = ground.work.load_or("control", Facts, None)
    patched: Facts = ground.work.load("patched", Facts)
    now = Booted(after, version or patched.kernel, patched.command_line)
    return look_at_hardware(host, _before(ground, before, control), now)


def look_before_trial(host: Host, ground: Ground, trial: Path, version: str) -> Hardware:
    """The trial volume mounted at `trial`, once more: cards may have been moved since the rehearsal."""
    with _installed_root(host, ground) as before:
        return look_at_both(host, ground, before, trial, version)


@contextlib.contextmanager
def _installed_root(host: Host, ground: Ground) -> Iterator[Path]:
    """The installed system, mounted to read from: not one sector of it is written."""
    store, root = ground.store(host), ground.system.root
    device, here = store.activate_installed(root.member), ground.work.scratch / "installed"
    try:
        with (
            mounted_readonly(host, device, root.fstype, here, store.options_installed(root.member)) as at,
            installed_beneath(host, ground, at),
        ):
            yield at
    finally:
        store.deactivate_installed(root.member)


def _before(ground: Ground, root: Path, control: Facts | None) -> Booted:
    """As the control boot was; without one, by the newest kernel that has its modules."""
    if control is not None:
        return Booted(root, control.kernel, control.command_line)
    versions = (kernel.version for kernel in ground.system.kernels)
    there = (version for version in versions if modules_folder(root, version) is not None)
    return Booted(root, next(there, ""), "")


def look_at_hardware(host: Host, before: Booted, after: Booted) -> Hardware:
    """Both systems are read, and their udevadm is asked; nothing of them or of the machine is changed.

    What can not be read is NOT TESTED with the reason. Raises Cancelled.
    """
    fates, devices = _devices(host, read_devices(host), before, after)
    cards = read_cards()
    was, now = (_network(host, booted, cards) for booted in (before, after))
    unreachable = why_unreachable(cards, was, now, fates)
    return Hardware(fates, (devices, judge_names(cards, was, now, unreachable)), unreachable)


def _devices(
    host: Host, devices: tuple[Device, ...], before: Booted, after: Booted
) -> tuple[tuple[DeviceFate, ...], CheckResult]:
    try:
        was, now = (_side(host, booted, devices) for booted in (before, after))
    except DamagedData as error:
        return (), not_compared(error.what)
    except OSError as error:
        return (), not_compared(f"The systems' modules do not read: {error}.")
    fates = compare_devices(devices, was, now)
    return fates, judge_devices(fates)


def _side(host: Host, booted: Booted, devices: tuple[Device, ...]) -> Side:
    modules = _modules(booted)
    wanted = {module for device in devices for module in modules.drivers(device.modaliases)}
    firmware = firmware_of(host, booted.root, booted.version, sorted(wanted))
    return Side(booted.version, Tree(booted.root), modules, firmware)


def _modules(booted: Booted) -> Modules:
    folder = modules_folder(booted.root, booted.version) if booted.version else None
    if folder is None:
        raise DamagedData(f"There are no modules of the kernel {booted.version or 'that boots'}.")
    return read_modules(booted.root, folder, booted.command_line)


def _network(host: Host, booted: Booted, cards: tuple[Card, ...]) -> Network:
    names = names_in(host, booted.root, booted.command_line, cards)
    named = {card.link: Named(card, n.name, n.others) for card in cards if (n := names.get(card.link))}
    try:
        return Network(named, read_setups(Tree(booted.root)))
    except (DamagedData, OSError):
        return Network({}, ())
