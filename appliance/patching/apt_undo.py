"""The last package transaction, from apt's own history, and the words that take it back.

The format is that of apt's /var/log/apt/history.log (apt, apt-pkg/deb/dpkgpm.cc, WriteHistoryTag): paragraphs
with Start-Date, and lines such as "Upgrade: ledger:amd64 (1.0, 1.1), nginx:amd64 (1.22, 1.24)".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.errors import Refused
from appliance.patching.apt_text import LOADER
from appliance.patching.base import Guest

ARCHIVES = "/var/cache/apt/archives"
CHANGED = ("Upgrade", "Downgrade")
GONE = ("Remove", "Purge")
COME = ("Install",)
_ITEM = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+):(?P<arch>[a-z0-9-]+) \((?P<inner>[^()]*)\)")
_HISTORY = """
for f in /var/log/apt/history.log.1.gz /var/log/apt/history.log; do [ -f $f ] && zcat -f $f; done
exit 0
"""
# apt-cache ends with 0 and says nothing for a version it does not know of a package it knows.
_KNOWN = """
for word; do [ -z "$(apt-cache show --no-all-versions "$word" 2>/dev/null)" ] || echo "$word"; done
exit 0
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One package of a transaction. `before` is empty where it was not installed, `after` where it went."""

    name: str
    architecture: str
    before: str
    after: str

    @property
    def word(self) -> str:
        """What apt-get install takes to bring the state before back."""
        named = f"{self.name}:{self.architecture}"
        return f"{named}={self.before}" if self.before else f"{named}-"

    @property
    def files(self) -> tuple[str, ...]:
        """Names the old version's .deb may have where it was downloaded: apt says amd64 of "all" as well."""
        version = self.before.replace(":", "%3a")
        return tuple(f"{self.name}_{version}_{arch}.deb" for arch in (self.architecture, "all"))


@dataclass(frozen=True, slots=True)
class Transaction:
    """`at` and `command` as apt wrote them; `changes` without those of the boot loader."""

    at: str
    command: str
    changes: tuple[Change, ...]
    loaders: tuple[str, ...] = ()


def last_transaction(text: str) -> Transaction | None:
    """The newest paragraph of the history that changed packages; None where there is none."""
    for paragraph in reversed(text.split("\n\n")):
        parts = (line.partition(": ") for line in paragraph.strip().splitlines())
        fields = {key: value for key, mark, value in parts if mark}
        changes = _changes(fields)
        if changes:
            kept = tuple(c for c in changes if not LOADER.match(c.name))
            loaders = tuple(c.name for c in changes if LOADER.match(c.name))
            when = " ".join(fields.get("Start-Date", "").split())
            return Transaction(when, fields.get("Commandline", ""), kept, loaders)
    return None


def _changes(fields: dict[str, str]) -> tuple[Change, ...]:
    found = []
    for kinds in (CHANGED, GONE, COME):
        for item in (m for kind in kinds for m in _ITEM.finditer(fields.get(kind, ""))):
            first, _, rest = (part.strip() for part in item["inner"].partition(","))
            before = "" if kinds is COME else first
            after = rest if kinds is CHANGED else first if kinds is COME else ""
            found.append(Change(item["name"], item["arch"], before, after))
    return tuple(found)


def read_last(guest: Guest) -> Transaction:
    """The last transaction of the system. Raises Refused where apt's history tells of none."""
    said = guest.exec(("sh", "-c", _HISTORY), timeout=120)
    found = last_transaction(said.stdout.decode(errors="replace"))
    if found is None or not found.changes:
        raise Refused(("apt's history (/var/log/apt/history.log) tells of no transaction to undo.",))
    return found


def undo_words(guest: Guest, wanted: Transaction, *, network: bool) -> tuple[str, ...]:
    """Arguments of apt-get install: downloaded .debs by their path, else NAME:ARCH=VERSION, else NAME:ARCH-.

    Raises Refused naming every version that is neither downloaded nor, with `network`, offered by the
    system's sources.
    """
    listed = guest.exec(("sh", "-c", f"ls {ARCHIVES}; exit 0"), timeout=60).stdout.decode(errors="replace")
    there = set(listed.split())
    words: list[str] = []
    unsure: list[Change] = []
    for change in wanted.changes:
        local = next((name for name in change.files if change.before and name in there), "")
        if local:
            words.append(f"{ARCHIVES}/{local}")
        elif change.before:
            unsure.append(change)
        else:
            words.append(change.word)
    offered = _offered(guest, tuple(c.word for c in unsure)) if network and unsure else frozenset()
    if missing := [c for c in unsure if c.word not in offered]:
        where = (
            " nor offered by the system's sources" if network else ", and the twin does not boot to fetch it"
        )
        raise Refused(
            tuple(
                f"{c.name} {c.before} is not in {ARCHIVES}{where}: it can not be put back." for c in missing
            )
        )
    return (*words, *(c.word for c in unsure))


def _offered(guest: Guest, words: tuple[str, ...]) -> frozenset[str]:
    said = guest.exec(("sh", "-c", _KNOWN, "twinboot", *words), timeout=600)
    return frozenset(said.stdout.decode(errors="replace").split())


def not_undone(changes: tuple[Change, ...], installed: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Sentences for each package that is not as it was before the transaction."""
    now = {name.partition(":")[0]: version for name, version in installed}
    return tuple(
        f"{c.name} is {now.get(c.name) or 'not installed'}, not {c.before or 'removed'}."
        for c in changes
        if now.get(c.name, "") != c.before
    )
