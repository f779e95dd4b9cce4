"""What lies between partitions and volume groups, shown read-only: nothing is assembled, nothing started."""

from __future__ import annotations

from dataclasses import dataclass, replace

from msgspec.structs import replace as with_field

from appliance.errors import CommandFailed, WrongPassphrase
from appliance.host import mapper
from appliance.host.passphrases import Passphrases
from appliance.host.run import Host
from appliance.model.machine import Layer, LayerKind, Locked, Machine, Trouble
from appliance.probe import luks, raid, trouble_below
from appliance.probe.blkid import Content, blkid, parse_blkid
from appliance.probe.lsblk import BlockDevice, with_parts
from appliance.probe.mappings import BELOW, SECTOR
from appliance.probe.shown import Shown
from appliance.probe.tpm import tpm_of


@dataclass(frozen=True, slots=True)
class Beneath:
    """`layers` that are shown, what stands on another after it; `rows` are the same, as lsblk tells them.

    `unread` are encrypted devices whose header does not read.
    """

    layers: tuple[Layer, ...] = ()
    rows: tuple[BlockDevice, ...] = ()
    trouble: tuple[Trouble, ...] = ()
    locked: tuple[Locked, ...] = ()
    unread: tuple[str, ...] = ()

    def locked_out(self, *, alone: bool) -> tuple[Trouble, ...]:
        """A sentence for each device nobody could look into. `alone`: no system was found elsewhere."""
        shut = (trouble_below.locked(one.name, alone=alone) for one in self.locked)
        return (*shut, *(trouble_below.luks_unread(name, alone=alone) for name in self.unread))


def show(shown: Shown, devices: tuple[BlockDevice, ...], passphrases: Passphrases) -> Beneath:
    """Show what can be shown of the arrays and encrypted devices on `devices`; a sentence for each other.

    A mirror whose legs are known to be the same is read by its first leg, past its super block.
    """
    arrays = _arrays(shown, devices)
    found = arrays
    for row in with_parts((*devices, *arrays.rows)):
        if row.fstype == "crypto_LUKS":
            name = next((layer.name for layer in arrays.layers if layer.path == row.path), row.path)
            found = _with(found, _encrypted(shown, row, name, passphrases))
    return found


def show_again(shown: Shown, layers: tuple[Layer, ...]) -> tuple[BlockDevice, ...]:
    """The rows of what a probe found beneath volume groups, of what can be shown without a passphrase."""
    again = (
        layer
        for layer in layers
        if shown.is_up(layer.path)
        or (layer.kind is LayerKind.RAID1 and shown.show_below(layer.path, leg(layer)))
    )
    return _rows(shown, tuple(again))


def _with(one: Beneath, other: Beneath) -> Beneath:
    return Beneath(
        one.layers + other.layers,
        one.rows + other.rows,
        one.trouble + other.trouble,
        one.locked + other.locked,
        one.unread + other.unread,
    )


def _arrays(shown: Shown, devices: tuple[BlockDevice, ...]) -> Beneath:
    found = raid.arrays(shown.host, devices, shown.is_up)
    layers = tuple(layer for layer in found.layers if shown.show_below(layer.path, leg(layer)))
    refused = (trouble_below.raid(layer.name) for layer in found.layers if layer not in layers)
    return Beneath(layers, _rows(shown, layers), (*found.trouble, *refused))


def lift(host: Host, machine: Machine, passphrases: Passphrases) -> None:
    """Bring up for writing what volume groups lie in, where it is encrypted and its passphrase is known.

    From then on until power-off LVM finds the volume groups, and a probe uses what is up. Nothing is written
    by it: a mirror, which would be written to, waits for an act that writes (`raid_up`). No probe may go on.
    Raises WrongPassphrase, CommandFailed.
    """
    for group in machine.volume_groups:
        layers = machine.layers_under(group)
        if all(layer.kind is LayerKind.LUKS for layer in layers):
            for layer in layers:
                _lift(host, layer, passphrases)


def _lift(host: Host, layer: Layer, passphrases: Passphrases) -> None:
    passphrase, name = passphrases.of(layer.uuid), mapper.name_of(layer.path)
    if passphrase is not None and name not in mapper.names(host):
        luks.open_for_writing(host, layer.below[0], name, passphrase)


def prove(host: Host, locked: Locked, passphrase: bytes) -> None:
    """Whether `passphrase` opens a device that an engine before this one left up: nothing else would ask.

    Raises WrongPassphrase, CommandFailed.
    """
    if mapper.name_of(luks_path(locked.uuid)) in mapper.names(host):
        luks.try_passphrase(host, locked.path, passphrase)


def luks_path(uuid: str) -> str:
    """Where what is in the encrypted device `uuid` is found while it is open."""
    return f"/dev/mapper/{BELOW}luks-{uuid}"


def leg(layer: Layer) -> tuple[str, ...]:
    """The table that shows a mirror by its first leg."""
    return (f"0 {layer.size // SECTOR} linear {layer.below[0]} {layer.offset // SECTOR}",)


def _encrypted(shown: Shown, row: BlockDevice, name: str, passphrases: Passphrases) -> Beneath:
    """One encrypted device, shown where its passphrase is known."""
    header = luks.header_of(shown.host, row.path)
    if header is None:
        return Beneath(unread=(name,))
    locked = Beneath(locked=(Locked(path=row.path, uuid=header.uuid, name=name),))
    passphrase = passphrases.of(header.uuid)
    if passphrase is None:
        return locked
    layer = _layer(header, row, name)
    try:
        if not shown.is_up(layer.path):
            luks.open_readonly(shown.host, row.path, layer.path.rpartition("/")[2], passphrase)
    except WrongPassphrase:
        passphrases.forget(header.uuid)
        return locked
    except CommandFailed:
        return replace(locked, trouble=(trouble_below.luks_not_shown(name),))
    why: tuple[Trouble, ...] = ()
    if header.opened_by:
        layer = with_field(layer, tpm=tpm_of(shown.host, row.path))
        told = trouble_below.opened_by_tpm(layer) if layer.tpm else None
        why = (told or trouble_below.opened_by_itself(layer, header.opened_by),)
    return Beneath((layer,), _rows(shown, (layer,)), why)


def _layer(header: luks.Header, row: BlockDevice, name: str) -> Layer:
    whole = (row.size or 0) - header.offset
    return Layer(
        kind=LayerKind.LUKS,
        path=luks_path(header.uuid),
        uuid=header.uuid,
        name=name,
        below=(row.path,),
        offset=header.offset,
        size=whole - whole % header.sector,
        cipher=header.cipher if header.plain else "",
    )


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
