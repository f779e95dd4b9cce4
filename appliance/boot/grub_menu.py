"""GRUB's own menu, as grub.cfg and the entries it may make of loader/entries (BLS) have it; none of ours.

Two GRUBs know blscfg: Fedora's, and since 2.14 GRUB's own. They list the files in two orders, and a saved
name that begins with a digit, as most machine ids do, is a number for the second one. Which of them will read
these files is not asked: what matters must be the same for both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from appliance.boot import env, grubcfg
from appliance.boot.laid import text_of
from appliance.boot.place import Boot
from appliance.boot.rootname import root_of
from appliance.boot.shapes import Entry
from appliance.probe import bls
from appliance.probe.bls import ENTRIES, BlsEntry
from appliance.probe.grub import reads_bls, variables

_ODDLY = re.compile(r"^(?:[ \t]+blscfg\b|blscfg[ \t]+\S)", re.M)


@dataclass(frozen=True, slots=True)
class Menu:
    """`own` is what an unattended start takes, None where that is not to be said. `bls` are the files of
    loader/entries that GRUB makes its entries of, none where they stand in grub.cfg; of those `rootless` name
    no root in their own words. `oddly`: it is told to in a way that is not known here."""

    entries: tuple[Entry, ...]
    own: Entry | None
    bls: tuple[str, ...] = ()
    rootless: tuple[str, ...] = ()
    oddly: bool = False


def read_menu(boot: Boot, config: str) -> Menu:
    """The menu of the text `config` of grub.cfg, with all else as it lies on the raw device."""
    saved, place = environment(boot), boot.place
    reads = reads_bls(config)
    texts = texts_of(boot) if reads else {}
    found = _listed(texts, variables(config, saved))
    menu = grubcfg.read_entries(config, place.prefix, found)
    own = _own(config, place.prefix, saved.get("saved_entry", ""), found)
    # One may leave a part of its root to the file system.
    means = {root: boot.roots.whole(root) for root in {e.root for e in (*menu, *((own,) if own else ()))}}
    return Menu(
        entries=tuple(msgspec.structs.replace(entry, root=means[entry.root]) for entry in menu),
        own=own and msgspec.structs.replace(own, root=means[own.root]),
        bls=tuple(entry.file for entry in found),
        rootless=tuple(e.file for e in _listed(texts, {}) if not root_of(e.options)),
        oddly=reads and bool(_ODDLY.search(config)),
    )


def environment(boot: Boot) -> dict[str, str]:
    """What grubenv says, as GRUB reads it; nothing where it is damaged."""
    return env.values_of(boot.raw.read(f"{boot.place.folder}/grubenv"))


def texts_of(boot: Boot) -> dict[str, str]:
    """The files of loader/entries by name."""
    names = (name for name in boot.raw.names(ENTRIES) if name.endswith(".conf"))
    return {name: text_of(boot.raw.read(f"{ENTRIES}/{name}")) for name in names}


def root_in(text: str) -> str:
    """The root that a file of loader/entries names in its own words."""
    found = bls.for_grub("any.conf", text, {})
    return root_of(found.options) if found else ""


def kernel_in(text: str) -> str:
    """The kernel it names, relative to /boot."""
    found = bls.for_grub("any.conf", text, {})
    return found.linux.lstrip("/") if found else ""


def _listed(texts: dict[str, str], known: dict[str, str]) -> tuple[BlsEntry, ...]:
    found = (bls.for_grub(name, text, known) for name, text in texts.items())
    return bls.in_grub_order(entry for entry in found if entry is not None)


def _own(config: str, prefix: str, saved: str, found: tuple[BlsEntry, ...]) -> Entry | None:
    one = grubcfg.default_entry(config, prefix, saved, found)
    if not found:
        return one
    other = grubcfg.default_entry(config, prefix, saved, bls.in_upstream_order(found), numbers=True)
    return one if one == other else None


def is_default(tested: str, files: tuple[str, ...], others: int, *, saved: bool) -> bool:
    """Whether GRUB takes the file `tested` of `files` by default, its name without .conf being what is saved,
    where anything is `saved`. `others` entries may be beside them."""
    if saved and not (number := grubcfg.number(tested)).isdigit():
        return True
    if saved and 0 < int(number) < len(files) + others:
        return False
    listed = [BlsEntry(file=name, name=bls.parse_name(name)) for name in files]
    return all(order(listed)[0].file == tested for order in (bls.in_grub_order, bls.in_upstream_order))
