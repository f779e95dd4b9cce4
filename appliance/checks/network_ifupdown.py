"""interfaces(5): the cards that ifupdown gives an address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from appliance.checks.network_setup import Setup
from appliance.probe.tree import Tree

FILE = "/etc/network/interfaces"
NO_ADDRESS = frozenset({"manual", "loopback"})
DEEPEST = 8
"""Files that source files."""

_PORTS = frozenset({"bridge_ports", "bridge-ports", "bond-slaves", "bond_slaves", "slaves"})
_RAW = frozenset({"vlan-raw-device", "vlan_raw_device"})
_MASTER = frozenset({"bond-master", "bond_master"})


@dataclass(slots=True)
class _Interface:
    file: str
    addressed: bool = False
    below: list[str] = field(default_factory=list)


def read_ifupdown(tree: Tree) -> Iterator[Setup]:
    """One for each card with an address. A bridge that takes whatever fits is one for any card."""
    found = _interfaces(tree)
    for name, interface in found.items():
        if interface.addressed:
            for card in sorted(_cards(found, name)):
                yield Setup(file=interface.file, names=(card,) if card != "*" else ())


def _cards(found: dict[str, _Interface], name: str) -> set[str]:
    """What `name` stands on, down to what stands on nothing; each is looked at once."""
    cards, seen, todo = set[str](), set[str](), [name]
    while todo:
        each = todo.pop()
        if each in seen:
            continue
        seen.add(each)
        below = found[each].below if each in found else []
        if not below and "." in each:
            below = [each.rpartition(".")[0]]
        if below:
            todo += below
        else:
            cards.add(each)
    return cards


def _interfaces(tree: Tree) -> dict[str, _Interface]:
    found: dict[str, _Interface] = {}
    current = ""
    for file, words in _lines(tree, FILE, 0):
        if words[0] == "iface" and len(words) > 1:
            current = words[1]
            interface = found.setdefault(current, _Interface(file))
            method = words[3] if len(words) > 3 else "manual"
            interface.addressed |= method not in NO_ADDRESS
        elif words[0] in ("auto", "mapping", "source", "source-directory") or words[0].startswith("allow-"):
            current = ""
        elif current and words[0] in _PORTS | _RAW:
            ports = [word for word in words[1:] if word != "none"]
            found[current].below += ["*"] if {"all", "regex"} & set(ports) else ports
        elif current and words[0] in _MASTER and len(words) > 1:
            found.setdefault(words[1], _Interface(file)).below.append(current)
    return found


def _lines(tree: Tree, path: str, depth: int) -> Iterator[tuple[str, list[str]]]:
    """(file, words) of every line, with those of sourced files where they are sourced."""
    text = tree.text(path) if depth <= DEEPEST else None
    for line in (text or "").replace("\\\n", " ").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        yield path, words
        if words[0] in ("source", "source-directory") and len(words) > 1:
            folder, _, glob = words[1].rpartition("/")
            if words[0] == "source-directory":
                folder, glob = words[1], "*"
            folder = folder if folder.startswith("/") else f"/etc/network/{folder}"
            for name in tree.names(folder):
                if fnmatchcase(name, glob):
                    yield from _lines(tree, f"{folder}/{name}", depth + 1)
