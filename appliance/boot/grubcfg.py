"""Reading GRUB's configuration: the entries of a generated grub.cfg, and which of them is the default.

A reader of what grub-mkconfig writes (10_linux, 00_header of GRUB 2.06 and 2.12) and of our own entries; a
hand-made grub.cfg that does more than they do yields no default entry, which refuses the machine. Where it
has the command blscfg, the entries of loader/entries that the caller gives stand in its place.
"""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass, field

from appliance.boot.rootname import root_of, turned
from appliance.boot.shapes import Entry
from appliance.probe.bls import BlsEntry
from appliance.probe.grub import default_choice

_BLOCK = re.compile(r"\s*(menuentry|submenu|function)\s(.*)\{\s*\Z")
# "if linux …; then" is how our own trial entry tries it.
_LINUX = re.compile(r"\s*(?:if )?linux(?:16|efi)?\s+(\S+)\s*(.*?)\s*(?:; then)?\Z")
_INITRD = re.compile(r"\s*(?:if )?initrd(?:16|efi)?\s+(.*?)\s*(?:; then)?\Z")
_PRELUDE = re.compile(
    r"load_video|gfxmode \S+|insmod [a-z0-9_]+|set gfxpayload=\S+"
    r"|if \[ x\$grub_platform = xxen \]; then (?:insmod [a-z0-9_]+; )+fi"
)


@dataclass(slots=True)
class _Node:
    kind: str
    title: str = ""
    id: str = ""
    lines: list[str] = field(default_factory=list)
    inner: list[_Node] = field(default_factory=list)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _node(kind: str, head: str) -> _Node:
    words = _words(head)
    node = _Node(kind, title=words[0] if words else "")
    for mark, value in itertools.pairwise(words):
        if mark in ("$menuentry_id_option", "--id", "${menuentry_id_option}"):
            node.id = value
    return node


def _of_bls(found: BlsEntry) -> _Node:
    """A file of loader/entries as the menu entry that blscfg makes of it."""
    lines = [f"linux {found.linux} {found.options}"]
    lines += [f"initrd {' '.join(found.initrds)}"] if found.initrds else []
    return _Node("menuentry", found.shown, found.name.stem, lines)


def _tree(text: str, bls: tuple[BlsEntry, ...] = ()) -> _Node:
    top = _Node("top")
    stack = [top]
    for line in text.splitlines():
        block = _BLOCK.match(line)
        if block:
            node = _node(block[1], block[2])
            if node.kind != "function":
                stack[-1].inner.append(node)
            stack.append(node)
        elif line.strip() == "}" and len(stack) > 1:
            stack.pop()
        elif line.strip() == "blscfg" and len(stack) == 1:
            top.inner += map(_of_bls, bls)
        else:
            stack[-1].lines.append(line)
    return top


def _path(word: str, prefix: str) -> str:
    """A path as the loader writes it, made relative to /boot."""
    plain = word.strip("\"'").replace("${tb_folder}", f"{prefix}/twinboot").replace("($root)", "")
    if prefix and plain.startswith(prefix + "/"):
        plain = plain[len(prefix) :]
    return plain.lstrip("/")


def _entry(node: _Node, prefix: str) -> Entry | None:
    linux = next((m for m in map(_LINUX.match, node.lines) if m), None)
    if linux is None:
        return None
    initrd = next((m for m in map(_INITRD.match, node.lines) if m), None)
    return Entry(
        id=node.id or node.title,
        title=node.title,
        kernel=_path(linux[1], prefix),
        initrds=tuple(_path(word, prefix) for word in initrd[1].split()) if initrd else (),
        options=linux[2],
        root=root_of(linux[2]),
        prelude=tuple(line.strip() for line in node.lines if _PRELUDE.fullmatch(line.strip())),
    )


def _find(nodes: list[_Node], choice: str) -> _Node | None:
    """The node `choice` names, by number, id or title; "a>b" goes into a submenu (GRUB manual, default)."""
    head, _, rest = choice.partition(">")
    found = nodes[int(head)] if head.isdigit() and int(head) < len(nodes) else None
    if found is None and not head.isdigit():
        found = next((n for n in nodes if head in (n.id, n.title)), None)
    if found is None or found.kind == "menuentry":
        return found
    return _find(found.inner, rest or "0")


def read_entries(text: str, prefix: str = "", bls: tuple[BlsEntry, ...] = ()) -> tuple[Entry, ...]:
    """Every Linux entry, submenus included, in the order they stand."""

    def walk(nodes: list[_Node]) -> list[Entry]:
        out: list[Entry] = []
        for node in nodes:
            entry = _entry(node, prefix) if node.kind == "menuentry" else None
            out += [entry] if entry else walk(node.inner)
        return out

    return tuple(walk(_tree(text, bls).inner))


def choices(text: str, prefix: str = "") -> tuple[tuple[str, Entry], ...]:
    """Every Linux entry with the words that choose it by its ids, "submenu>entry" for one inside another."""

    def walk(nodes: list[_Node], above: str) -> list[tuple[str, Entry]]:
        out: list[tuple[str, Entry]] = []
        for node in nodes:
            name = f"{above}{node.id or node.title}"
            entry = _entry(node, prefix) if node.kind == "menuentry" else None
            out += [(name, entry)] if entry else walk(node.inner, f"{name}>")
        return out

    return tuple(walk(_tree(text).inner, ""))


def default_entry(
    text: str, prefix: str = "", saved: str = "", bls: tuple[BlsEntry, ...] = (), *, numbers: bool = False
) -> Entry | None:
    """The entry an unattended start takes; `saved` is grubenv's saved_entry. None: not to be said.

    With entries of loader/entries a name that none has is that of the first, as for GRUB: who removes a
    kernel there seldom thinks of what was saved. `numbers`: a name that begins with digits is a number, as
    GRUB's own menu.c reads it; Fedora's looks for the name first.
    """
    nodes, choice = _tree(text, bls).inner, default_choice(text, {"saved_entry": saved})
    node = _find(nodes, number(choice) if numbers else choice)
    if node is None and bls and nodes:
        node = nodes[0]
    return _entry(node, prefix) if node else None


def number(choice: str) -> str:
    """What strtoul makes of a choice, where it makes something; else the choice."""
    found = re.match(r"0x([0-9a-fA-F]+)|0([0-7]+)|([0-9]+)", choice)
    if found is None:
        return choice
    base = 16 if found[1] else 8 if found[2] else 10
    return str(int(found[1] or found[2] or found[3], base))


def sources_custom(text: str) -> bool:
    """Whether grub.cfg has 41_custom's lines, which read custom.cfg beside it."""
    return bool(re.search(r"^\s*source\s+\$\{?(?:config_directory|prefix)\}?/custom\.cfg", text, re.M))


def with_root(text: str, old: str, new: str) -> str:
    """grub.cfg with every linux line that names the root `old` naming `new`; all else byte for byte."""
    lines = text.split("\n")
    return "\n".join(turned(line, old, new) if _LINUX.match(line) else line for line in lines)
