"""What `zypper --xmlout` prints, as values. Pure; hostile text gives less, never an error.

Read by its tags and not by an XML parser: a killed zypper leaves half a document, and rpm's own output stands
in it as text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

_ATTRIBUTE = re.compile(r'([a-z][a-z-]*)="([^"]*)"')
_SECTION = re.compile(r"<to-(?P<act>[a-z-]+)>(?P<body>.*?)</to-(?P=act)>", re.DOTALL)
_SOLVABLE = re.compile(r"<solvable (?P<attributes>[^<>]*)>")
_SUMMARY = re.compile(r"<install-summary (?P<attributes>[^<>]*)>")
_MESSAGE = re.compile(r'<message type="(?P<kind>[a-z]+)">(?P<text>.*?)</message>', re.DOTALL)
_PROBLEM = re.compile(r"<prompt [^>]*>\s*<description>(?P<text>.*?)</description>", re.DOTALL)
_REPOSITORY = re.compile(r"<repo (?P<attributes>[^<>]*)>(?P<body>.*?)</repo>", re.DOTALL)
_URL = re.compile(r"<url>(.*?)</url>", re.DOTALL)
_UNREAD = re.compile(r"^Repository '(?P<repo>.+?)' is invalid\.$", re.MULTILINE)

MORE_TO_DO = 103
"""zypper has renewed itself first and wants to be called again for the rest."""

_ENDED = {
    1: "it met a fault of its own",
    2: "it did not understand the call",
    3: "it did not understand an argument",
    4: "the dependencies could not be resolved or a source not be read",
    5: "it was not allowed to",
    6: "no repository is defined",
    7: "another program holds the package database",
    8: "the packages could not be fetched or installed",
    104: "a package was not found",
    105: "it was stopped by a signal",
    106: "a repository was left out because it could not be read",
    107: "the script of a package failed",
}
_WELL = frozenset({0, 100, 101, 102, MORE_TO_DO})
"""zypper(8), EXIT CODES: done; updates, security updates are there; a reboot, another call is wanted."""


def attributes(text: str) -> dict[str, str]:
    """name="value" pairs of a tag."""
    return {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(text)}


def ended_well(status: int) -> bool:
    return status in _WELL


def ended(status: int) -> str:
    """What an exit status means, in words."""
    return _ENDED.get(status, f"status {status} is not one it documents")


@dataclass(frozen=True, slots=True)
class Solvable:
    """A package of the summary. `act` is upgrade, install, remove, downgrade, upgrade-change-arch…"""

    act: str
    name: str
    version: str
    old: str

    @property
    def goes(self) -> bool:
        return self.act.startswith("remove")


def parse_summary(text: str) -> tuple[Solvable, ...]:
    """The packages of <install-summary>; patches and products of it are not packages."""
    found: list[Solvable] = []
    for section in _SECTION.finditer(text):
        for match in _SOLVABLE.finditer(section["body"]):
            one = attributes(match["attributes"])
            if one.get("type") == "package" and one.get("name") and one.get("edition"):
                found.append(
                    Solvable(section["act"], one["name"], one["edition"], one.get("edition-old", ""))
                )
    return tuple(found)


def has_summary(text: str) -> bool:
    return _SUMMARY.search(text) is not None


def parse_download(text: str) -> int:
    """Bytes that would be fetched."""
    match = _SUMMARY.search(text)
    size = attributes(match["attributes"]).get("download-size", "0") if match else "0"
    return int(size) if size.isascii() and size.isdigit() and len(size) < 18 else 0


def messages(text: str) -> Iterator[tuple[str, str]]:
    """(type, text) of each message: info, warning, error."""
    for match in _MESSAGE.finditer(text):
        yield match["kind"], html.unescape(match["text"]).strip()


def cause(text: str) -> str:
    """Why zypper did not do it: the problem it asked about, or its first error, on one line."""
    if problem := _PROBLEM.search(text):
        return _one_line(html.unescape(problem["text"]).strip().splitlines()[:1])
    errors = [said for kind, said in messages(text) if kind == "error"]
    return _one_line(errors[0].splitlines()) if errors else "no message"


def _one_line(lines: list[str]) -> str:
    noise = ("History:", "Please ", "rpm: ")
    return " ".join(line.strip() for line in lines if line.strip() and not line.strip().startswith(noise))


def unread(text: str) -> dict[str, str]:
    """Repository → why it could not be read."""
    found: dict[str, str] = {}
    for kind, said in messages(text):
        if kind == "error" and (match := _UNREAD.search(said)):
            found[match["repo"]] = _one_line(said[match.end() :].splitlines())
    return found


def parse_repositories(text: str) -> tuple[tuple[str, str], ...]:
    """(alias, address) of each enabled repository of `zypper --xmlout repos`."""
    found = []
    for match in _REPOSITORY.finditer(text):
        one = attributes(match["attributes"])
        if one.get("enabled") == "1":
            found += [(one.get("alias", ""), html.unescape(u).strip()) for u in _URL.findall(match["body"])]
    return tuple(found)
