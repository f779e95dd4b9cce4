"""The firmware's boot entries, from `efibootmgr -v`, and the form of a boot loader's own variables."""

from __future__ import annotations

import re

from appliance.errors import DamagedData
from appliance.host.run import Command, read
from appliance.model.machine import BootEntry, BootOrder

LOADER_GUID = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
LOADER_DEFAULT = "LoaderEntryDefault"
LOADER_ATTRIBUTES = 7
"""Non-volatile, boot service access, run-time access. Source of all three: systemd's LOADER_INTERFACE."""

_NUMBER = re.compile(r"[0-9A-F]{4}")
_ENTRY = re.compile(r"Boot([0-9A-F]{4})([* ]) ?(.*)")
_FILE = re.compile(r"(?:/File\(|/)(\\[^)\t]*)\)?")


def efibootmgr() -> Command:
    return read("efibootmgr", "--verbose", timeout=30)


def parse_efibootmgr(text: str) -> BootOrder:
    """What efibootmgr 17 and 18 print. Raises DamagedData for a number that is none."""
    current = following = ""
    order: tuple[str, ...] = ()
    entries = []
    for line in text.splitlines():
        if line.startswith("BootCurrent:"):
            current = _number(line)
        elif line.startswith("BootNext:"):
            following = _number(line)
        elif line.startswith("BootOrder:"):
            order = tuple(_number(f":{part}") for part in line.partition(":")[2].split(",") if part.strip())
        elif found := _ENTRY.fullmatch(line):
            entries.append(_entry(*found.groups()))
    return BootOrder(current=current, next=following, order=order, entries=tuple(entries))


def _number(line: str) -> str:
    number = line.partition(":")[2].strip()
    if not _NUMBER.fullmatch(number):
        raise DamagedData(f"efibootmgr's report: {number!r} is no boot number.")
    return number


def _entry(number: str, star: str, rest: str) -> BootEntry:
    """A tab stands between label and device path; optional data may follow the path's last node."""
    label, _, path = rest.partition("\t")
    return BootEntry(number=number, label=label.strip(), path=path.strip(), active=star == "*")


def loader_data(value: str) -> bytes:
    """A value of a loader's variable: UTF-16 with its closing zero."""
    return value.encode("utf-16-le") + b"\0\0"


def loader_text(data: bytes) -> str:
    """The text of such a value; what is no UTF-16 becomes a name that no entry bears."""
    return data.decode("utf-16-le", "replace").partition("\0")[0]


def partition_of(entry: BootEntry) -> str:
    """PARTUUID of the GPT partition an entry loads from, in lower case; empty where it names none."""
    found = re.search(r"HD\(\d+,GPT,([0-9a-fA-F-]{36})", entry.path)
    return found.group(1).lower() if found else ""


def file_of(entry: BootEntry) -> str:
    r"""The loader file an entry starts, like \EFI\debian\shimx64.efi; empty where it names none."""
    found = _FILE.search(entry.path)
    return found.group(1).strip() if found else ""
