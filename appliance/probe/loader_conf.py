"""loader.conf(5), and which entry systemd-boot starts without a hand on the keyboard. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

import msgspec

from appliance.probe.bls import BlsEntry, in_systemd_boot_order, parse_lines

LOADER_CONF = "loader/loader.conf"
SAVED = "@saved"


class LoaderConf(msgspec.Struct, frozen=True, kw_only=True):
    """`default` is a glob over entry ids in lower case or "@saved"; `timeout` in its own words (seconds, or
    menu-force, menu-hidden, menu-disabled), empty where the file does not say."""

    default: str = ""
    timeout: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What EFI variables ask for: LoaderEntryOneShot, LoaderEntryDefault, LoaderEntryLastBooted."""

    once: str = ""
    default: str = ""
    last: str = ""


def parse_loader_conf(text: str) -> LoaderConf:
    """The last line of each key counts; what is not known is passed over, as systemd-boot does."""
    said = {line.key: line.value.strip('"') for line in parse_lines(text) if line.key}
    return LoaderConf(default=said.get("default", "").lower(), timeout=said.get("timeout", ""))


def choose(entries: Iterable[BlsEntry], conf: LoaderConf, asked: Asked | None = None) -> BlsEntry | None:
    """The entry the next unattended start takes; None where there is none.

    One-shot first, then the variable, then loader.conf, then the first of the menu's order. An entry without
    tries left is taken only where nothing else is there or where it is named.
    """
    order = in_systemd_boot_order(entries)
    asked = asked or Asked()
    named = (asked.once, _meant(asked.default, asked.last), _meant(conf.default, asked.last))
    for pattern in filter(None, named):
        found = next((entry for entry in order if fnmatch.fnmatchcase(entry.id, pattern.lower())), None)
        if found is not None:
            return found
    return order[0] if order else None


def _meant(pattern: str, last: str) -> str:
    return last if pattern.lower() == SAVED else pattern
