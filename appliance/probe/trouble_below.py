"""What can be wrong beneath the volume groups: arrays and encrypted devices. Sentences and stable codes."""

from __future__ import annotations

from appliance.model.machine import Layer, LayerKind, Trouble
from appliance.probe.trouble import refusal, warning


def lies_on(vg: str, layer: Layer) -> Trouble:
    what = f"The volume group {vg}" if vg else "A volume of the system"
    return refusal(
        "lies-on", f"{what} lies on {layer.kind.value} ({layer.name}):", "that can not be rehearsed (yet)."
    )


# Arrays.


def degraded_raid(name: str, present: int, wanted: int) -> Trouble:
    return refusal(
        "degraded-raid", f"The RAID array {name} is degraded: {present} of {wanted} members are here."
    )


def raid_not_settled(name: str) -> Trouble:
    return refusal(
        "raid-not-settled",
        f"The RAID array {name} was not stopped cleanly, or is still being put in step: start the machine,",
        "let it finish, and shut it down.",
    )


def raid_bad_blocks(name: str) -> Trouble:
    return refusal(
        "raid-bad-blocks", f"The RAID array {name} has recorded bad blocks: replace that disk first."
    )


def raid(name: str) -> Trouble:
    return warning("raid", f"What lies on the RAID array {name} was not looked at.")


# Encrypted devices.


def locked(device: str, *, alone: bool) -> Trouble:
    return (refusal if alone else warning)(
        "luks",
        f"{device} is encrypted (LUKS) and locked: unlock it to see what is inside.",
        "A system inside can not be rehearsed (yet).",
    )


def luks_unread(device: str, *, alone: bool) -> Trouble:
    return (refusal if alone else warning)(
        "luks-unread",
        f"{device} is encrypted (LUKS), and its header does not read: nothing inside it can be seen.",
    )


def luks_not_shown(device: str) -> Trouble:
    return warning("luks", f"{device} is encrypted (LUKS); it was unlocked, but could not be shown.")


def encrypted(volume: str) -> Trouble:
    return refusal(
        "luks", f"The system mounts {volume}, which is encrypted (LUKS): that can not be rehearsed (yet)."
    )


def opened_by_itself(layer: Layer, by: tuple[str, ...]) -> Trouble:
    """A new kernel changes what a TPM measures, and a key file lies where the twin has none."""
    assert layer.kind is LayerKind.LUKS
    return refusal(
        "luks-key",
        f"{layer.name} is unlocked by {' and '.join(by)} when the machine starts:",
        "only a passphrase that somebody types can be rehearsed (yet).",
    )


def not_in_crypttab(layer: Layer) -> Trouble:
    return refusal(
        "crypttab",
        f"The system's /etc/crypttab has no line for {layer.name}, which it lies on:",
        "how it is unlocked when the machine starts is not known.",
    )
