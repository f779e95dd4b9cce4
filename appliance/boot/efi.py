"""UEFI boot variables by efibootmgr: read, and BootNext written only where a hand-over needs it.

GRUB's promotion changes no variable: its decision lies in the env block on /boot.
"""

from __future__ import annotations

import re

from appliance.errors import BootConfigFailed
from appliance.host.run import Host, read, write
from appliance.model.machine import BootEntry, BootOrder

_ENTRY = re.compile(r"Boot([0-9A-Fa-f]{4})(\*?) ([^\t]*)(?:\t(.*))?\Z")
_PLAIN_PATH = re.compile(r"(/[A-Za-z0-9._+-]+)+")
_NUMBER = re.compile(r"[0-9A-F]{4}\Z")


def parse(text: str) -> BootOrder:
    """Output of `efibootmgr` or `efibootmgr -v`; lines that are not known are left out."""
    current = following = ""
    order: tuple[str, ...] = ()
    entries: list[BootEntry] = []
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        if name == "BootCurrent":
            current = value.strip().upper()
        elif name == "BootNext":
            following = value.strip().upper()
        elif name == "BootOrder":
            order = tuple(part.strip().upper() for part in value.split(",") if part.strip())
        elif found := _ENTRY.match(line):
            entries.append(
                BootEntry(
                    number=found[1].upper(),
                    label=found[3].strip(),
                    path=found[4] or "",
                    active=bool(found[2]),
                )
            )
    return BootOrder(current=current, next=following, order=order, entries=tuple(entries))


def boot_order(host: Host) -> BootOrder:
    return parse(host.run(read("efibootmgr", "-v", timeout=30)).stdout)


def grub_path(path: str) -> str:
    r"""A firmware's path (\EFI\debian\shimx64.efi) as GRUB writes it, for the stick's hand-over.

    Empty where it has characters that an env block cannot hold: the stick then looks for the usual loaders.
    """
    turned = path.replace("\\", "/")
    return turned if _PLAIN_PATH.fullmatch(turned) else ""


def set_boot_next(host: Host, number: str) -> None:
    """Write BootNext and read it back: some firmware drops or reorders what it is given.

    Raises BootConfigFailed where it did not hold; at most one write of the flash.
    """
    if not _NUMBER.match(number):
        raise ValueError(f"not a boot number: {number!r}")
    before = boot_order(host)
    if before.next == number:
        return
    if number not in {entry.number for entry in before.entries}:
        raise BootConfigFailed(f"The firmware has no boot entry {number}.")
    host.run(write("efibootmgr", "--quiet", "--bootnext", number, timeout=30))
    after = boot_order(host)
    if after.next != number or after.order != before.order:
        raise BootConfigFailed(
            f"The firmware did not keep BootNext {number} as written.",
            safe="The boot order is what the machine used before, unless the text above says otherwise.",
        )
