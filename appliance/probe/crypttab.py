"""crypttab(5): how the installed system itself opens its encrypted devices."""

from __future__ import annotations

import re

import msgspec

BY_ITSELF = {
    "fido2-device": "a FIDO2 key",
    "pkcs11-uri": "a smart card",
    "keyscript": "a program (keyscript)",
}
"""Options that open a device without anybody typing, and what does it then. `tpm2-device` is none of them:
what the TPM opens says a token in the device's header, and where it does not, the passphrase is asked for."""


class CryptLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line; `key` is empty where a passphrase is asked for."""

    name: str
    source: str
    key: str = ""
    options: tuple[str, ...] = ()

    @property
    def opened_by(self) -> tuple[str, ...]:
        """In words, what opens it by itself: none where somebody types a passphrase."""
        named = (option.partition("=") for option in self.options)
        own = tuple(BY_ITSELF[key] for key, _, value in named if key in BY_ITSELF and value)
        return (*own, *((f"the key file {self.key}",) if self.key and not own else ()))

    def means(self, uuid: str, paths: frozenset[str]) -> bool:
        """Whether this line opens the device with this UUID, or at one of these paths."""
        tag = re.fullmatch(r"UUID=\"?([^\"]+)\"?|/dev/disk/by-uuid/(.+)", self.source)
        return (tag[1] or tag[2]).lower() == uuid if tag else self.source in paths


def parse_crypttab(text: str) -> tuple[CryptLine, ...]:
    """Every line that names a device and its source; what is no such line is passed over, as systemd does."""
    fields = (line.split() for line in text.splitlines() if not line.lstrip().startswith("#"))
    return tuple(_line(words) for words in fields if len(words) >= 2)


def _line(words: list[str]) -> CryptLine:
    key = words[2] if len(words) > 2 else ""
    return CryptLine(
        name=words[0],
        source=words[1],
        key="" if key in ("none", "-") else key,
        options=tuple(words[3].split(",")) if len(words) > 3 else (),
    )
