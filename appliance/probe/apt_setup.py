"""What decides what a system's apt would fetch: packages, sources, keys, pins. Read from its files only."""

from __future__ import annotations

import re
import time

from appliance.model.wanted import RELATIONS, AptSetup, InstalledPackage, Preferences
from appliance.probe import dpkg
from appliance.probe.apt_keys import read_keys
from appliance.probe.apt_lists import Lists, read_releases
from appliance.probe.apt_sources import fields_of, read_sources
from appliance.probe.osinfo import codename
from appliance.probe.tree import Tree

STATES = "/var/lib/apt/extended_states"
CONF, CONF_PARTS = "/etc/apt/apt.conf", "/etc/apt/apt.conf.d"
PREFERENCES, PREFERENCES_PARTS = "/etc/apt/preferences", "/etc/apt/preferences.d"
TEXT = 1 << 20
_OLD = 30 * 86400
_KEPT = frozenset(name.lower() for name in RELATIONS)
_SPELLED = {name.lower(): name for name in RELATIONS}


def read_setup(tree: Tree, lists: Lists, now: float) -> AptSetup:
    """`lists` is what reading the lists told; `now` in seconds since 1970. Raises DamagedData."""
    status = tree.text(dpkg.STATUS) or ""
    packages = dpkg.parse_status(status)
    native = next((p.arch for p in packages if p.name == "dpkg"), "")
    files = read_sources(tree)
    keys, no_keys = read_keys(tree, tuple(files.sources))
    conf = _conf(tree)
    unknown = (*files.unknown, *no_keys, *_age(lists, now), *_unfinished(status))
    return AptSetup(
        architecture=native,
        codename=codename(tree),
        foreign=tuple(a for a in (tree.text("/var/lib/dpkg/arch", TEXT) or "").split() if a != native),
        recommends=conf.get("Install-Recommends", "true").lower() not in ("0", "no", "false", "off"),
        default_release=conf.get("Default-Release", ""),
        installed=_installed(packages, status, _auto(tree, native), native),
        sources=tuple(files.sources),
        keys=(*keys, *files.inline),
        preferences=_preferences(tree),
        releases=read_releases(tree),
        lists_at=lists.at,
        unknown=unknown,
    )


def _installed(
    packages: tuple[dpkg.Installed, ...], status: str, auto: frozenset[tuple[str, str]], native: str
) -> tuple[InstalledPackage, ...]:
    relations = {}
    for paragraph in status.split("\n\n"):
        fields = fields_of(paragraph)
        kept = {_SPELLED[n]: " ".join(v.split()) for n, v in fields.items() if n in _KEPT and v.strip()}
        relations[fields.get("package", ""), fields.get("architecture", "")] = {
            name: value for name, value in kept.items() if value.isprintable()
        }
    return tuple(
        InstalledPackage(
            name=p.name,
            arch=p.arch or native,
            version=p.version,
            held=p.held,
            auto=(p.name, native if p.arch == "all" else p.arch) in auto,
            relations=relations.get((p.name, p.arch), {}),
        )
        for p in packages
    )


def _auto(tree: Tree, native: str) -> frozenset[tuple[str, str]]:
    paragraphs = (fields_of(text) for text in (tree.text(STATES) or "").split("\n\n"))
    return frozenset(
        (fields.get("package", ""), fields.get("architecture", native))
        for fields in paragraphs
        if fields.get("auto-installed") == "1"
    )


def _unfinished(status: str) -> tuple[str, ...]:
    """dpkg(1), PACKAGE STATES: those between unpacked and installed."""
    states = r"half-installed|unpacked|half-configured|triggers-awaited|triggers-pending"
    bad = re.findall(
        rf"^Package: (\S+)\n(?:(?!\n\n)[\s\S]){{0,200}}?^Status: \S+ \S+ (?:{states})$", status, re.M
    )
    return (f"Not fully installed here, taken as if they were: {', '.join(bad[:8])}.",) if bad else ()


def _age(lists: Lists, now: float) -> tuple[str, ...]:
    """How far this system's own knowledge of what is newer goes."""
    if not lists.at:
        return ("This system has no package lists of its own: what is newer is found out by the office.",)
    if now - lists.at < _OLD:
        return ()
    day = time.strftime("%Y-%m-%d", time.gmtime(lists.at))
    return (f"This system read its package lists last on {day}: what is newer is found out by the office.",)


def _conf(tree: Tree) -> dict[str, str]:
    """The settings that change what is fetched, the last one wins (apt.conf(5)); comments left out."""
    names = [f"{CONF_PARTS}/{n}" for n in tree.names(CONF_PARTS) if re.fullmatch(r"[\w.-]+?(\.conf)?", n)]
    found: dict[str, str] = {}
    for path in (*names, CONF):
        text = re.sub(r"^\s*(//|#).*$", "", tree.text(path, TEXT) or "", flags=re.MULTILINE)
        pattern = r'\b(Install-Recommends|Default-Release)\s+"?([A-Za-z0-9./~+-]{1,80})"?\s*;'
        found |= dict(re.findall(pattern, text))
    return found


def _preferences(tree: Tree) -> tuple[Preferences, ...]:
    parts = tree.names(PREFERENCES_PARTS)
    names = [f"{PREFERENCES_PARTS}/{n}" for n in parts if re.fullmatch(r"[A-Za-z0-9_-]+(\.pref)?", n)]
    texts = ((path, tree.text(path, TEXT)) for path in (PREFERENCES, *names))
    return tuple(Preferences(name=path, text=text) for path, text in texts if text and text.strip())
