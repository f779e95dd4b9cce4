"""What can be wrong beneath the volume groups: arrays and encrypted devices. Sentences and stable codes."""

from __future__ import annotations

from appliance.model.machine import Layer, LayerKind, Storage, Trouble, Volume
from appliance.model.pcr import registers
from appliance.model.seen import ENCRYPTED, MIRRORED
from appliance.probe.trouble import refusal, warning


def lies_on(vg: str, layer: Layer) -> Trouble:
    what = f"The volume group {vg}" if vg else "A volume of the system"
    return refusal(
        "lies-on", f"{what} lies on {layer.kind.value} ({layer.name}):", "that can not be rehearsed (yet)."
    )


def _only_some_roots(code: str, root: Volume, where: str, seen: frozenset[Storage]) -> Trouble:
    """For a root that lies `where`, but is not kept as one of `seen`."""
    kept = " or ".join(sorted(storage.value for storage in seen))
    return refusal(
        code,
        f"The root volume {root.place} is kept as {root.storage.value} {where}:",
        f"only {kept} can be rehearsed there (yet).",
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


def mirrored_root(root: Volume) -> Trouble:
    return _only_some_roots("raid-root", root, "on MD RAID 1", MIRRORED)


def several_beneath(layers: tuple[Layer, ...]) -> Trouble:
    return refusal(
        "raid-several",
        f"The system lies on {', '.join(f'{la.kind.value} ({la.name})' for la in layers)}:",
        "only one array, with nothing else beneath the volume group, can be rehearsed (yet).",
    )


def raid_kind(layer: Layer) -> Trouble:
    return refusal(
        "raid-kind",
        f"The RAID array {layer.name} keeps its super blocks behind its content (metadata 1.0):",
        "that can not be rehearsed (yet).",
    )


def raid(name: str) -> Trouble:
    return warning("raid", f"What lies on the RAID array {name} was not looked at.")


# Encrypted devices.


def locked(device: str, *, alone: bool) -> Trouble:
    return (refusal if alone else warning)(
        "luks",
        f"{device} is encrypted (LUKS) and locked: unlock it to see what is inside.",
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
    """A key file lies where the twin has none, and neither is there a server or a card."""
    assert layer.kind is LayerKind.LUKS
    return refusal(
        "luks-key",
        f"{layer.name} is unlocked by {' and '.join(by)} when the machine starts:",
        "only a passphrase that somebody types can be rehearsed (yet).",
    )


def opened_by_tpm(layer: Layer) -> Trouble:
    """The twin has no TPM: there its passphrase is typed. What a promotion changes is said before it."""
    assert layer.tpm is not None
    by = registers((*layer.tpm.pcrs, *layer.tpm.signed))
    return warning(
        "luks-tpm",
        f"{layer.name} is unlocked by the TPM ({by}) when the machine starts: the twin has none, and what a",
        "promotion changes of that is said before it. Have the passphrase at hand.",
    )


def luks_kind(layer: Layer) -> Trouble:
    how = f"by {layer.cipher}" if layer.cipher else "in a way other than plain LUKS 2"
    return refusal("luks-kind", f"{layer.name} is encrypted {how}: that can not be rehearsed (yet).")


def encrypted_root(root: Volume) -> Trouble:
    return _only_some_roots("luks-root", root, "inside LUKS", ENCRYPTED)


def several_encrypted(names: tuple[str, ...]) -> Trouble:
    return refusal(
        "luks-several",
        f"The system lies on {len(names)} encrypted devices ({', '.join(names)}):",
        "only one can be rehearsed (yet).",
    )


def asks_elsewhere(layer: Layer, console: str) -> Trouble:
    return refusal(
        "luks-console",
        f"The system asks for the passphrase of {layer.name} on {console}; a twin can be told it only on its",
        "screen or its first serial line, ttyS0 (yet).",
    )


def not_in_crypttab(layer: Layer) -> Trouble:
    return refusal(
        "crypttab",
        f"The system's /etc/crypttab has no line for {layer.name}, which it lies on:",
        "how it is unlocked when the machine starts is not known.",
    )
