"""What lies between partitions and volume groups, shown read-only: nothing is assembled, nothing started."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.model.machine import Layer, Trouble
from appliance.probe import raid, trouble
from appliance.probe.blkid import Content, blkid, parse_blkid
from appliance.probe.lsblk import BlockDevice
from appliance.probe.mappings import SECTOR
from appliance.probe.shown import Shown


@dataclass(frozen=True, slots=True)
class Beneath:
    """`layers` that are shown, what stands on another after it; `rows` are the same, as lsblk tells them."""

    layers: tuple[Layer, ...] = ()
    rows: tuple[BlockDevice, ...] = ()
    trouble: tuple[Trouble, ...] = ()


def show(shown: Shown, devices: tuple[BlockDevice, ...]) -> Beneath:
    """Show what can be shown of the arrays on `devices`; a sentence for each that can not.

    A mirror whose legs are known to be the same is read by its first leg, past its super block.
    """
    found = raid.arrays(shown.host, devices)
    layers = tuple(layer for layer in found.layers if shown.show_below(layer.path, leg(layer)))
    return Beneath(layers, _rows(shown, layers), found.trouble + _refused(shown, found.layers))


def leg(layer: Layer) -> tuple[str, ...]:
    """The table that shows a mirror by its first leg."""
    return (f"0 {layer.size // SECTOR} linear {layer.below[0]} {layer.offset // SECTOR}",)


def _refused(shown: Shown, layers: tuple[Layer, ...]) -> tuple[Trouble, ...]:
    return tuple(trouble.raid(layer.name) for layer in layers if layer.path in shown.failed)


def _rows(shown: Shown, layers: tuple[Layer, ...]) -> tuple[BlockDevice, ...]:
    """What the layers hold, by their own bytes."""
    if not layers:
        return ()
    contents = parse_blkid(shown.host.run(blkid(tuple(layer.path for layer in layers))).stdout)
    return tuple(_row(layer, contents.get(layer.path, Content())) for layer in layers)


def _row(layer: Layer, content: Content) -> BlockDevice:
    return BlockDevice(
        name=layer.path.rpartition("/")[2],
        path=layer.path,
        kind="disk",
        size=layer.size,
        fstype=content.fstype or None,
        uuid=content.uuid or None,
        label=content.label or None,
    )
