"""PCI and USB devices of the machine and its network cards, from sysfs; their names from lspci(8)."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from appliance.errors import CommandFailed
from appliance.host.run import Host, read
from appliance.model.metal import Card, Device
from appliance.model.plain import plain
from appliance.probe.hardware import sys_text

SYS = Path("/sys")
LSPCI = read("lspci", "-D", "-mm", "-nn", timeout=60)
MOST = 1024
"""Devices. No machine has as many; what is said of each must end."""

_PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_USB = re.compile(r"[0-9]+-[0-9]+(\.[0-9]+)*")
_HUB = "09"
# include/uapi/linux/netdevice.h: the name was given by user space, or changed by it.
_NAMED_BY_USER = frozenset({"3", "4"})


def read_devices(host: Host, sys: Path = SYS) -> tuple[Device, ...]:
    """Every device that a driver could be for, hubs left out, in the order of their places."""
    names = _pci_names(host)
    found = [*_pci(sys, names), *_usb(sys)]
    return tuple(found[:MOST])


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _pci(sys: Path, names: dict[str, str]) -> Iterator[Device]:
    for each in _folders(sys / "bus/pci/devices"):
        own = sys_text(each / "modalias")
        children = (sys_text(at / "modalias") for at in _folders(each) if at.name.startswith("virtio"))
        ids = f"[{_id(each / 'vendor')}:{_id(each / 'device')}]"
        if own:
            name = names.get(each.name) or f"PCI class {sys_text(each / 'class')[2:6] or 'unknown'} {ids}"
            yield Device(place=each.name, name=name, modaliases=(own, *filter(None, children)))


def _id(path: Path) -> str:
    return sys_text(path).removeprefix("0x")


def _pci_names(host: Host) -> dict[str, str]:
    """By address. Devices have their numbers where the program is missing or says nothing."""
    try:
        said = host.run(LSPCI).stdout
    except CommandFailed:
        return {}
    return dict(filter(None, map(_pci_name, said.splitlines())))


def _pci_name(line: str) -> tuple[str, str] | None:
    """(address, name) of a line of `lspci -mm -nn`: class, vendor and device are its first quoted words."""
    try:
        address, kind, vendor, device = shlex.split(line)[:4]
    except ValueError:
        return None
    kind = re.sub(r" \[[0-9a-f]{4}\]\Z", "", kind)
    vendor = re.sub(r" \[[0-9a-f]{4}\]\Z", "", vendor)
    return address, plain(f"{kind}: {vendor} {device}")


def _usb(sys: Path) -> Iterator[Device]:
    """A device with the modaliases of its interfaces, which is what USB drivers are for."""
    folder = sys / "bus/usb/devices"
    for each in _folders(folder):
        if not _USB.fullmatch(each.name) or sys_text(each / "bDeviceClass") == _HUB:
            continue
        aliases = (sys_text(at / "modalias") for at in _folders(each) if at.name.startswith(f"{each.name}:"))
        found = tuple(dict.fromkeys(filter(None, aliases)))
        words = (sys_text(each / "manufacturer"), sys_text(each / "product"))
        ids = f"[{sys_text(each / 'idVendor')}:{sys_text(each / 'idProduct')}]"
        name = plain(" ".join(("USB:", *filter(None, words), ids)))
        if found:
            yield Device(place=each.name, name=name, modaliases=found)


def read_cards(sys: Path = SYS) -> tuple[Card, ...]:
    """Network cards that sit on a bus, in the order of their places."""
    found = [card for link in _folders(sys / "class/net") if (card := _card(link)) is not None]
    return tuple(sorted(found, key=lambda card: (card.place, card.link)))


def _card(link: Path) -> Card | None:
    mac = sys_text(link / "address").lower()
    if not (link / "device").exists() or not re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", mac):
        return None
    way = os.path.realpath(link / "device").split("/")
    pci = next((part for part in reversed(way) if _PCI.fullmatch(part)), "")
    usb = next((part for part in reversed(way) if _USB.fullmatch(part)), "")
    driver = os.path.realpath(link / "device/driver")
    return Card(
        link=link.name,
        mac=mac,
        place=usb or pci,
        driver=os.path.basename(driver) if (link / "device/driver").exists() else "",
        path=f"pci-{pci}" if pci and not usb else "",
        renamed=sys_text(link / "name_assign_type") in _NAMED_BY_USER,
    )
