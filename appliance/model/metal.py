"""What sits on the real machine's buses, and what the patched system makes of it."""

from __future__ import annotations

import enum

import msgspec


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A PCI or USB device. `place` is its address there ("0000:03:00.0", "1-4"), `name` what it is in words.

    `modaliases` are its own and those of what hangs on it in a bus of its driver's (virtio), by which a
    kernel finds their drivers.
    """

    place: str
    name: str
    modaliases: tuple[str, ...]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A network card as the appliance's kernel shows it; `link` is the name it has here ("eth0").

    `place` is that of its device, `path` the same as systemd.link(5) has it ("pci-0000:03:00.0") and empty
    where it sits on another bus. `renamed`: the appliance named it, so that its first name is not known.
    """

    link: str
    mac: str
    place: str
    driver: str = ""
    path: str = ""
    renamed: bool = False


class Fate(enum.Enum):
    """What becomes of a device: the same driver with its firmware, something else, or no driver any more."""

    SAME = "SAME"
    OTHER = "OTHER"
    NONE = "NONE"


class DeviceFate(msgspec.Struct, frozen=True, kw_only=True):
    """`before` and `after` name the drivers in the installed and in the patched system; `why` is a sentence
    where it is not the same."""

    place: str
    name: str
    fate: Fate
    before: str
    after: str
    why: str = ""
