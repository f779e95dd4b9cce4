"""What lies between the partitions of disks and what is mounted: arrays, and what is encrypted."""

from __future__ import annotations

import enum

import msgspec


class LayerKind(enum.Enum):
    """What may lie between the partitions of disks and a volume group."""

    RAID1 = "MD RAID 1"
    LUKS = "LUKS"


class Tpm(msgspec.Struct, frozen=True, kw_only=True):
    """What binds the key of an encrypted device to the machine's TPM.

    `pcrs` are the registers whose values must be what they were (UAPI.7, Linux TPM PCR Registry), `signed`
    those for whose values a signature will do.
    """

    pcrs: tuple[int, ...] = ()
    signed: tuple[int, ...] = ()


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A device made of those at `below`, which are partitions or whole disks.

    `path` is where it is found while somebody looks at it; `name` is what a person calls it. What it holds
    begins `offset` bytes into each of `below` and is `size` bytes long. `cipher` is what encrypts it, as
    dm-crypt names that ("aes-xts-plain64"); empty where nothing does. `tpm` opens it where that is there.
    """

    kind: LayerKind
    path: str
    uuid: str
    name: str
    below: tuple[str, ...]
    offset: int
    size: int
    cipher: str = ""
    tpm: Tpm | None = None


class Locked(msgspec.Struct, frozen=True, kw_only=True):
    """An encrypted device that nobody has unlocked; `name` is what a person calls it."""

    path: str
    uuid: str
    name: str


def mirror_at(layers: tuple[Layer, ...], path: str) -> Layer | None:
    """The one of `layers` that is an array of several disks and is found at `path`."""
    found = (layer for layer in layers if layer.kind is LayerKind.RAID1)
    return next((layer for layer in found if layer.path == path), None)


def layers_under(layers: tuple[Layer, ...], paths: frozenset[str]) -> tuple[Layer, ...]:
    """Those of `layers` that the devices at `paths` stand on, the uppermost first.

    In `layers`, what stands on another comes after it.
    """
    found: list[Layer] = []
    for layer in reversed(layers):
        if layer.path in paths:
            found.append(layer)
            paths |= set(layer.below)
    return tuple(found)
