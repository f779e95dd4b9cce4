"""grub.cfg as GRUB reads it: what it starts by default, and whether it sources custom.cfg."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator

import msgspec

from appliance.model.machine import LoaderEntry
from appliance.probe.bls import BlsEntry

ENV_SIGNATURE = "# GRUB Environment Block"
MAX_DEPTH = 10


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A menu entry or, with `children`, a submenu. `arguments`: the command line without the kernel."""

    title: str
    id: str = ""
    kernel: str = ""
    initrd: str = ""
    arguments: str = ""
    children: tuple[Entry, ...] = ()


def sources_custom_cfg(grub_cfg: str) -> bool:
    """Whether grub.cfg holds what 41_custom writes: a `source` of custom.cfg beside it."""
    pattern = r"^\s*source\s+[\"']?(\$\{config_directory\}|\$prefix|\$\{prefix\})/custom\.cfg[\"']?\s*$"
    return re.search(pattern, grub_cfg, re.MULTILINE) is not None


def parse_env_block(text: str) -> dict[str, str]:
    """The variables of a GRUB environment block; empty where it is none."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != ENV_SIGNATURE:
        return {}
    pairs = (line.partition("=") for line in lines[1:] if not line.startswith("#"))
    return {key: value for key, equals, value in pairs if equals}


def reads_bls(grub_cfg: str) -> bool:
    """Whether grub.cfg has the command that makes menu entries of the files in loader/entries."""
    return re.search(r"^\s*blscfg(?:\s|$)", grub_cfg, re.MULTILINE) is not None


def variables(grub_cfg: str, environment: dict[str, str]) -> dict[str, str]:
    """What entries of loader/entries are filled from: grubenv first, then what grub.cfg sets where that has
    nothing (10_linux's kernelopts, 00_tuned's tuned_params)."""
    found = re.findall(r"^\s*set ([A-Za-z0-9_]+)=(.*)$", grub_cfg, re.MULTILINE)
    said = {name: " ".join(_words(value)) for name, value in found}
    return said | {name: value for name, value in environment.items() if value}


def from_bls(found: BlsEntry) -> Entry:
    """A file of loader/entries as the menu entry blscfg makes of it."""
    return Entry(
        title=found.shown,
        id=found.name.stem,
        kernel=found.linux,
        initrd=found.initrds[-1] if found.initrds else "",
        arguments=found.options,
    )


def parse_entries(grub_cfg: str, bls: tuple[Entry, ...] = ()) -> tuple[Entry, ...]:
    """Menu entries in their order, submenus nested. Lines that are no entries are passed over.

    `bls` stand where grub.cfg has the command blscfg.
    """
    lines = iter(grub_cfg.splitlines())
    return tuple(_entries(lines, 0, bls, nested=False))


def _entries(lines: Iterator[str], depth: int, bls: tuple[Entry, ...], *, nested: bool) -> Iterator[Entry]:
    """Entries up to the brace that closes the submenu they are in."""
    for line in lines:
        words = _words(line)
        if nested and words[:1] == ["}"]:
            return
        if words[:1] == ["blscfg"]:
            yield from bls
        if not words or words[0] not in ("menuentry", "submenu") or words[-1] != "{" or len(words) < 3:
            continue
        title, id_ = words[1], _id_of(words)
        if words[0] == "submenu" and depth < MAX_DEPTH:
            yield Entry(title=title, id=id_, children=tuple(_entries(lines, depth + 1, bls, nested=True)))
        else:
            yield _entry(lines, title, id_)


def _entry(lines: Iterator[str], title: str, id_: str) -> Entry:
    kernel = initrd = arguments = ""
    depth = 1
    for line in lines:
        words = _words(line)
        if words == ["}"]:
            depth -= 1
            if not depth:
                break
        elif words and words[-1] == "{":
            depth += 1
        elif len(words) > 1 and re.fullmatch(r"linux(16|efi)?", words[0]):
            kernel, arguments = words[1], " ".join(words[2:])
        elif len(words) > 1 and re.fullmatch(r"initrd(16|efi)?", words[0]):
            initrd = words[-1]
    return Entry(title=title, id=id_, kernel=kernel, initrd=initrd, arguments=arguments)


def _words(line: str) -> list[str]:
    """Words of one line; a line that is not well quoted (an echo with an apostrophe) has plain ones."""
    line = line.strip()
    if line.startswith("#"):
        return []
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _id_of(words: list[str]) -> str:
    """The entry's id: after --id, or after $menuentry_id_option as grub-mkconfig writes it."""
    for option, value in itertools.pairwise(words):
        if option in ("--id", "$menuentry_id_option", "${menuentry_id_option}"):
            return value
    return ""


def default_choice(grub_cfg: str, environment: dict[str, str]) -> str:
    """What `default` is set to where nothing is pending for one boot.

    The last assignment that stands under no condition counts, else the first: that is 00_header's, and one
    under another condition is a fallback's (Fedora's 08_fallback_counting).
    """
    always: list[str] = []
    under_condition: list[str] = []
    depth = 0
    for line in grub_cfg.splitlines():
        found = re.match(r"\s*set default=(.*)$", line)
        value = found[1].strip().strip("\"'") if found else ""
        if found and value != "${next_entry}":
            (under_condition if depth else always).append(value)
        depth += len(re.findall(r"(?:^|;|\bthen|\belse)\s*if\s", line))
        depth -= len(re.findall(r"(?:^|;)\s*fi\b", line))
    chosen = always[-1] if always else under_condition[0] if under_condition else "0"
    return environment.get("saved_entry", "0") or "0" if chosen == "${saved_entry}" else chosen


def default_entry(grub_cfg: str, environment: dict[str, str], bls: tuple[Entry, ...] = ()) -> Entry | None:
    """The entry that is started without a hand on the keyboard, None in an empty menu.

    A choice that names no entry falls back to the first one, as GRUB does.
    """
    entries = parse_entries(grub_cfg, bls)
    chosen: Entry | None = None
    level = entries
    for step in default_choice(grub_cfg, environment).split(">"):
        chosen = _pick(level, step)
        if chosen is None:
            break
        level = chosen.children
    while chosen is not None and chosen.children:
        chosen = chosen.children[0]
    return chosen or next(_leaves(entries), None)


def _pick(entries: tuple[Entry, ...], step: str) -> Entry | None:
    if step.isascii() and step.isdigit() and len(step) < 6:
        return entries[int(step)] if int(step) < len(entries) else None
    return next((e for e in entries if step and step in (e.id, e.title)), None)


def _unfolded(entries: tuple[Entry, ...]) -> Iterator[Entry]:
    for entry in entries:
        if entry.children:
            yield from _unfolded(entry.children)
        else:
            yield entry


def _leaves(entries: tuple[Entry, ...]) -> Iterator[Entry]:
    return (entry for entry in _unfolded(entries) if entry.kernel)


def shown(grub_cfg: str, default: Entry | None, bls: tuple[Entry, ...] = ()) -> tuple[LoaderEntry, ...]:
    """The menu's lines, submenus unfolded, for people; the first that is `default` is marked."""
    menu = tuple(_unfolded(parse_entries(grub_cfg, bls)))
    taken = next((entry for entry in menu if entry == default), None)
    return tuple(LoaderEntry(title=e.title, id=e.id, kernel=e.kernel, default=e is taken) for e in menu)


def root_argument(arguments: str) -> str:
    """What root= names on a kernel command line; the last one counts, as for the kernel."""
    values = [word.partition("=")[2] for word in arguments.split() if word.startswith("root=")]
    return values[-1] if values else ""
