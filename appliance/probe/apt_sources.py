"""A system's package sources as its files name them (sources.list(5)), read without running its apt. Pure.

Names and passwords in addresses are left out and said; auth.conf is never read.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from appliance.model.wanted import ELSEWHERE, Key, Source, is_word, leads_inside, without_secrets
from appliance.probe.tree import Tree

LIST, PARTS = "/etc/apt/sources.list", "/etc/apt/sources.list.d"
MOST = 1000
"""Entries of one system; with more it is no list of sources."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+\.(list|sources)")
_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>.*)")
_OPTION = re.compile(r"([A-Za-z-]+)\+?=(\S+)")


@dataclass
class SourceFiles:
    """`inline` are keys that stand in a source itself; `unknown` are sentences on what is left out."""

    sources: list[Source] = field(default_factory=list)
    inline: list[Key] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def read_sources(tree: Tree) -> SourceFiles:
    """Every enabled binary source. Raises DamagedData for a file larger than any is."""
    found = SourceFiles()
    names = [f"{PARTS}/{n}" for n in tree.names(PARTS) if _NAME.fullmatch(n)]
    for path in (LIST, *names):
        text = tree.text(path, 1 << 20)
        if text is not None:
            entries = _deb822(path, text, found) if path.endswith(".sources") else _one_line(text)
            for entry in entries:
                _take(path, entry, found)
    return found


@dataclass(frozen=True)
class _Entry:
    uri: str
    suite: str
    components: tuple[str, ...]
    options: dict[str, str]


def _one_line(text: str) -> Iterator[_Entry]:
    for line in text.splitlines():
        if (match := _LINE.match(line.strip())) is not None:
            options = {key.lower(): value for key, value in _OPTION.findall(match["options"] or "")}
            components = tuple(match["rest"].partition("#")[0].split())
            yield _Entry(match["uri"], match["suite"], components, options)


def _deb822(path: str, text: str, found: SourceFiles) -> Iterator[_Entry]:
    for paragraph in re.split(r"\n[ \t]*\n", text):
        fields = fields_of(paragraph)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") in ("no", "false"):
            continue
        signed = fields.get("signed-by", "")
        if "BEGIN PGP PUBLIC KEY" in signed:
            name = f"{path}#{len(found.inline) + 1}"
            armour = "\n".join(line.strip() if line.strip() != "." else "" for line in signed.splitlines())
            found.inline.append(Key(name=name, data=armour.strip().encode() + b"\n"))
            signed = name
        options = {"signed-by": signed, "trusted": fields.get("trusted", "")}
        options["arch"] = ",".join(fields.get("architectures", "").split())
        pairs = itertools.product(fields.get("uris", "").split(), fields.get("suites", "").split())
        for uri, suite in itertools.islice(pairs, MOST):
            yield _Entry(uri, suite, tuple(fields.get("components", "").split()), options)


def fields_of(paragraph: str) -> dict[str, str]:
    """A paragraph of deb822(5): names in lower case, comments left out, continued lines kept as lines."""
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t"):
            if name:
                fields[name] += "\n" + line
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _take(path: str, entry: _Entry, found: SourceFiles) -> None:
    """Into `sources` what an office can fetch from, into `unknown` why not."""
    uri, secret = without_secrets(entry.uri)
    shown = f"The source {uri} {entry.suite} ({path})"
    signed = tuple(word for word in re.split(r"[,\s]+", entry.options.get("signed-by", "")) if word)
    architectures = tuple(word for word in entry.options.get("arch", "").split(",") if word)
    words = (uri, entry.suite, *entry.components, *architectures, *signed)
    paths = (entry.suite.strip("/") or ".", *entry.components)
    able = ELSEWHERE.match(uri) and all(map(is_word, words)) and all(map(leads_inside, paths))
    if not able or len(found.sources) >= MOST:
        found.unknown.append(f"{shown} cannot be fetched from elsewhere.")
        return
    if secret:
        found.unknown.append(f"{shown} wants a name and password, which are not written down.")
    found.sources.append(
        Source(
            file=path,
            uri=uri,
            suite=entry.suite,
            components=entry.components,
            architectures=architectures,
            signed_by=signed,
            trusted=entry.options.get("trusted", "") in ("yes", "true", "1"),
        )
    )
