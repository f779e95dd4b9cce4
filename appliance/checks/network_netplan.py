"""The cards that netplan gives an address: netplan(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from appliance.checks.network_setup import Setup
from appliance.probe.tree import Tree

FOLDERS = ("/etc/netplan", "/usr/lib/netplan", "/lib/netplan")
MOST_CHARACTERS = 1 << 16

_ANCHOR = re.compile(r"(^|[\s\[{,:-])[&*]\S")

_YES = frozenset({"true", "yes", "on", "y"})

Block = dict[str, Any]


def read_netplan(tree: Tree) -> Iterator[Setup]:
    """One for each entry below `ethernets`. Later files add to what earlier ones say."""
    seen: dict[str, str] = {}
    for folder in FOLDERS:
        for name in tree.names(folder):
            if name.endswith(".yaml"):
                seen.setdefault(name, f"{folder}/{name}")
    for _, path in sorted(seen.items()):
        network = parse(tree.text(path) or "").get("network")
        if isinstance(network, dict):
            yield from _cards(path, network)


def _cards(path: str, network: Block) -> Iterator[Setup]:
    manager = network.get("renderer", "") == "NetworkManager"
    stacked = _stacked(network)
    for name, said in _block(network, "ethernets").items():
        if not isinstance(said, dict) or not (_addressed(said) or name in stacked):
            continue
        match = said.get("match")
        match = match if isinstance(match, dict) else None
        yield Setup(
            file=path,
            names=(str(name),) if match is None else _words(match.get("name")),
            macs=_words(match.get("macaddress")) if match else (),
            drivers=_words(match.get("driver")) if match else (),
            others_too=not manager,
        )


def _stacked(network: Block) -> set[str]:
    """Names of what bridges, bonds and VLANs stand on."""
    found: set[str] = set()
    for kind in ("bridges", "bonds", "vlans"):
        for said in _block(network, kind).values():
            if isinstance(said, dict):
                found |= {*_words(said.get("interfaces")), *_words(said.get("link"))}
    return found


def _block(network: Block, key: str) -> Block:
    found = network.get(key)
    return found if isinstance(found, dict) else {}


def _addressed(said: Block) -> bool:
    dynamic = any(str(said.get(key, "")).lower() in _YES for key in ("dhcp4", "dhcp6"))
    return dynamic or bool(_words(said.get("addresses")))


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(word) for word in value)
    return (value,) if isinstance(value, str) and value else ()


def parse(text: str) -> Block:
    """The mapping of a file, every word a string; empty where it is none, or no YAML.

    Anchors, by which a short text becomes an endless one, are not read; and an address like 52:54:00:12:34:56
    is no number to the base of sixty, as YAML 1.1 would have it.
    """
    if len(text) > MOST_CHARACTERS or _ANCHOR.search(text):
        return {}
    try:
        found = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
