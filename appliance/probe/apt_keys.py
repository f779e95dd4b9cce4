"""The keyrings a system's apt trusts. Public keys only: a file with a secret key in it is never read out."""

from __future__ import annotations

import re

from appliance.errors import DamagedData
from appliance.model.wanted import Key, Source
from appliance.probe.tree import Tree

TRUSTED, PARTS = "/etc/apt/trusted.gpg", "/etc/apt/trusted.gpg.d"
MOST_BYTES = 1 << 20
_ARMOURED = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_PUBLIC_KEY = 6
"""Packet tag of RFC 9580, 5.5.1.1; a secret key has 5."""


def read_keys(tree: Tree, sources: tuple[Source, ...]) -> tuple[tuple[Key, ...], tuple[str, ...]]:
    """Every keyring in force, and sentences on those that are missing or not for others' eyes."""
    trusted = [
        TRUSTED,
        *(f"{PARTS}/{n}" for n in tree.names(PARTS) if re.fullmatch(r"[\w.+-]+\.(gpg|asc)", n)),
    ]
    named = {path for source in sources for path in source.signed_by if path.startswith("/")}
    keys, unknown = [], []
    for path in dict.fromkeys((*trusted, *sorted(named))):
        try:
            data = tree.data(path, MOST_BYTES) if "#" not in path else None
        except DamagedData as error:
            unknown.append(error.what)
            continue
        if data and not is_public(data):
            unknown.append(f"The key file {path} does not begin with a public key, and is not written down.")
        elif data:
            keys.append(Key(name=path, data=data, trusted=path in trusted))
        elif path in named and "#" not in path:
            unknown.append(f"The key file {path}, which a source names, is not there.")
    return tuple(keys), tuple(unknown)


def is_public(data: bytes) -> bool:
    """Whether a keyring begins with a public key, and no armour in it holds a secret one."""
    if b"PRIVATE KEY" in data:
        return False
    if data.lstrip().startswith(_ARMOURED):
        return True
    first = data[0] if data else 0
    tag = first & 0x3F if first & 0x40 else (first & 0x3F) >> 2
    return bool(first & 0x80) and tag == _PUBLIC_KEY
