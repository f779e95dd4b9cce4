"""Encrypted devices (LUKS): what their header says, and how they are opened read-only.

A passphrase goes to cryptsetup by its standard input, and nowhere else (cryptsetup-open(8)).
"""

from __future__ import annotations

import re

import msgspec

from appliance.errors import CommandFailed, DamagedData, WrongPassphrase
from appliance.host.run import Command, Effect, Host, read
from appliance.probe.mappings import SECTOR
from appliance.probe.shown import NO_UDEV

LIMIT = 300.0
"""Seconds to make a key of a passphrase: two on the machine it was set on, twenty times that emulated."""

BAD_PASSPHRASE = 2
"""cryptsetup's status where no key slot opens (cryptsetup(8), RETURN CODES)."""

TOKENS = {
    "systemd-tpm2": "the TPM",
    "clevis": "Clevis (a TPM or a server)",
    "systemd-fido2": "a FIDO2 key",
    "systemd-pkcs11": "a smart card",
}
"""What opens a device without anybody typing, by the kind of its token."""


# A cipher as dm-crypt names it: "aes-xts-plain64", "aes-cbc-essiv:sha256" (dm-crypt.rst).
_CIPHER = re.compile(r"(aes|serpent|twofish|camellia)-(xts|cbc)-(plain|plain64|plain64be|essiv:sha256)")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """`offset` is where the content begins, in bytes. `sector` is the unit of encryption in bytes.

    `plain` says that the content is one segment of LUKS 2 that is encrypted and nothing more: no checksums
    (dm-integrity), no change of the key under way.
    """

    uuid: str
    version: int
    cipher: str
    offset: int
    sector: int = SECTOR
    tokens: tuple[str, ...] = ()
    plain: bool = False

    @property
    def opened_by(self) -> tuple[str, ...]:
        """In words, what opens it by itself: none where somebody types a passphrase."""
        return tuple(dict.fromkeys(TOKENS[token] for token in self.tokens if token in TOKENS))


def luks_dump(device: str) -> Command:
    return read("cryptsetup", "luksDump", device, timeout=60)


def parse_dump(text: str) -> Header:
    """`cryptsetup luksDump`, of LUKS 1 and 2. Raises DamagedData naming what is missing."""
    top: dict[str, str] = {}
    tokens: list[str] = []
    section = ""
    segments: dict[str, str] = {}
    kinds: list[str] = []
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if line[:1].strip():
            section = key
            top.setdefault(key, value)
        elif section == "Tokens" and key.isdigit():
            tokens.append(value)
        elif section == "Data segments":
            segments.setdefault(key, value)
            kinds += [value] if key.isdigit() else []
    version = _number(top, "Version")
    if version == 1:
        mode = "-".join(filter(None, (top.get("Cipher name"), top.get("Cipher mode"))))
        return Header(uuid=_uuid(top), version=1, cipher=mode, offset=_number(top, "Payload offset") * SECTOR)
    return Header(
        uuid=_uuid(top),
        version=version,
        cipher=segments.get("cipher", ""),
        offset=_number(segments, "offset"),
        sector=_number(segments, "sector"),
        tokens=tuple(tokens),
        plain=kinds == ["crypt"] and "integrity" not in segments and "Requirements" not in top,
    )


def modules_of(cipher: str) -> tuple[str, ...]:
    """The kernel modules that decrypt what `cipher` encrypts; none where it is not one that is known here."""
    found = _CIPHER.fullmatch(cipher)
    if found is None:
        return ()
    essiv = ("essiv",) if found[3].startswith("essiv") else ()
    return ("dm_crypt", f"{found[1]}_generic", found[2], *essiv)


def _uuid(fields: dict[str, str]) -> str:
    uuid = fields.get("UUID", "").lower()
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid):
        raise DamagedData("cryptsetup's report lacks the device's UUID.")
    return uuid


def _number(fields: dict[str, str], key: str) -> int:
    found = re.match(r"[0-9]{1,15}(?![0-9])", fields.get(key, ""))
    if found is None:
        raise DamagedData(f"cryptsetup's report: {key} is no number.")
    return int(found[0])


def open_readonly(host: Host, device: str, name: str, passphrase: bytes) -> None:
    """Show what `device` holds as `name`, by a device that can not write.

    Raises WrongPassphrase, CommandFailed.
    """
    _open(host, device, name, passphrase, "--readonly")


def open_for_writing(host: Host, device: str, name: str, passphrase: bytes) -> None:
    """The same by a device that can be written. That it is up writes nothing yet.

    Raises WrongPassphrase, CommandFailed.
    """
    _open(host, device, name, passphrase)


def try_passphrase(host: Host, device: str, passphrase: bytes) -> None:
    """Raises WrongPassphrase where it opens none of the key slots, CommandFailed."""
    _open(host, device, "", passphrase, "--test-passphrase")


def _open(host: Host, device: str, name: str, passphrase: bytes, *more: str) -> None:
    words = ("--key-file", "-", *more, "--disable-keyring", device, *((name,) if name else ()))
    ok = frozenset({0, BAD_PASSPHRASE})
    argv = ("cryptsetup", "open", "--type", "luks", *words)
    command = Command(argv, Effect.READ, ok=ok, timeout=LIMIT, stdin=passphrase, env=NO_UDEV)
    if host.run(command).status == BAD_PASSPHRASE:
        raise WrongPassphrase(f"The passphrase does not open {device}.")


def header_of(host: Host, device: str) -> Header | None:
    """None where the header does not read."""
    try:
        return parse_dump(host.run(luks_dump(device)).stdout)
    except (CommandFailed, DamagedData):
        return None
