"""What dnf 4 prints, as values: it has no output for machines, so its columns are read. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEAD = re.compile(r"^(?P<word>[A-Z][A-Za-z ]+):\s*$")
_COMES = ("Installing", "Upgrading", "Downgrading", "Reinstalling")
_LEFT = ("Skipping",)
_GOES = ("Removing",)
_UNITS = {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_DOWNLOAD = re.compile(r"^Total download size: (?P<number>[\d.]+) ?(?P<unit>[kMGT]?)", re.MULTILINE)
_ADVISORY = re.compile(r"^\S+\s+(?:\S+/)?Sec\.\s+(?P<name>\S+)-(?:\d+:)?[^-\s]+-[^-\s]+$")
_UNREAD = re.compile(r"^(?:Error: )?Failed to download metadata for repo '(?P<repo>[^']+)': (?P<why>.+)$")
_NO_KEYS = "you do not have any GPG public keys installed"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of dnf's table. `act` is the word above it: Installing, Upgrading, Removing unused …"""

    act: str
    name: str
    architecture: str
    version: str

    @property
    def comes(self) -> bool:
        return self.act.startswith(_COMES)

    @property
    def goes(self) -> bool:
        return self.act.startswith(_GOES)

    @property
    def left(self) -> bool:
        return self.act.startswith(_LEFT)


def parse_table(text: str) -> tuple[Row, ...]:
    """The rows between "Dependencies resolved." and "Transaction Summary".

    A row that does not fit is broken after any column; the next line is then indented further.
    """
    rows: list[Row] = []
    act, inside = "", False
    begun: list[str] = []
    for line in text.splitlines():
        if line.startswith("Transaction Summary"):
            break
        if line.startswith("====="):
            inside = True
        elif inside and (head := _HEAD.match(line)):
            act, begun = head["word"], []
        elif inside and act and line.startswith(" "):
            words = line.split()
            begun = words if not line.startswith("  ") else [*begun, *words]
            if words[:1] == ["replacing"]:
                begun = []
            elif len(begun) >= 4:  # name, architecture, version, repository; the size is of no use here
                rows.append(Row(act, *begun[:3]))
                begun = []
    return tuple(rows)


def parse_download(text: str) -> int:
    """Bytes of "Total download size: 31 k", to the three digits dnf prints; 0 where all is here."""
    match = _DOWNLOAD.search(text)
    return int(float(match["number"]) * _UNITS[match["unit"]]) if match else 0


def parse_security(text: str) -> frozenset[str]:
    """Names of `dnf updateinfo list --security`: "LAB-2026:1 Important/Sec. ledger-1.1-1.noarch"."""
    return frozenset(m["name"] for line in text.splitlines() if (m := _ADVISORY.match(line.strip())))


def parse_list(text: str) -> dict[str, str]:
    """Name → version of `dnf list --upgrades`: three columns, the name with its architecture."""
    rows = (line.split() for line in text.splitlines())
    return {r[0].rpartition(".")[0]: r[1] for r in rows if len(r) == 3 and "." in r[0] and r[1][:1].isalnum()}


def parse_repolist(text: str) -> tuple[str, ...]:
    """The first column of `dnf -q repolist`, below its head."""
    lines = text.splitlines()
    at = next((n for n, line in enumerate(lines) if line.startswith("repo id")), len(lines))
    return tuple(line.split()[0] for line in lines[at + 1 :] if line.strip())


def unread(lines: list[str]) -> dict[str, str]:
    """Repository → why it could not be read."""
    return {m["repo"]: m["why"] for line in lines if (m := _UNREAD.match(line))}


def cause(text: str) -> str:
    """Why dnf did not do it: what stands after "Error:", with the first line of the details."""
    if _NO_KEYS in text:  # then all settings of a repository follow, its password among them
        return "no key is installed that a package could be checked with"
    lines = [line.strip() for line in text.splitlines()]
    for at, line in enumerate(lines):
        _, error, after = line.partition("Error:")  # may end another line: two streams in one
        if error:
            rest = [after.strip(), *lines[at + 1 : at + 3]]
            said = " ".join(part.removeprefix("Problem:").strip() for part in rest if part)
            return _before_it(lines[:at]) or said or "no message"
    return next((line for line in reversed(lines) if line), "no message")


def _before_it(lines: list[str]) -> str:
    """The line before "Error:" where that says more: which package has no match, or no signature."""
    last = next((line for line in reversed(lines) if line), "")
    signs = ("No match for argument", "is not signed", "is not installed", "scriptlet failed", "Error in ")
    found = [line for line in lines if any(sign in line for sign in signs)]
    return found[-1] if found else last if last.startswith("No ") else ""


def is_dnf4(version: str) -> bool:
    """`dnf --version` of dnf 4 begins with "4."; dnf5 says "dnf5 version 5.1.2"."""
    return bool(re.match(r"\s*4\.\d", version))
