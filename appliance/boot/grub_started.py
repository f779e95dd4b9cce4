"""What GRUB does at a start, done for it where a virtual machine starts its kernel without a loader.

A trial is taken once: GRUB writes that into the sector before it starts the trial, and what then runs keeps
itself only where it finds that written.
"""

from __future__ import annotations

import re
import shlex

from appliance.boot.flip import flip
from appliance.boot.grub_view import look
from appliance.boot.laid import sector
from appliance.boot.place import Boot
from appliance.boot.shapes import BootState, Entry
from appliance.errors import BootConfigFailed


def upcoming(boot: Boot) -> tuple[Entry, bool]:
    """The entry an unattended start takes, and whether it is taken once. Raises BootConfigFailed where that
    can not be said."""
    found = look(boot)
    if found.next_boot is None:
        raise BootConfigFailed("Which entry the boot loader takes by default can not be said.")
    return found.next_boot, found.state is BootState.ARMED


def take(boot: Boot) -> None:
    """Write that the armed trial is taken; /boot is mounted for writing."""
    flip(boot, sector(boot, look(boot).run, BootState.TRIAL))


def command_line(entry: Entry) -> str:
    """What GRUB tells the kernel of `entry`, but for BOOT_IMAGE, which it puts before it (GRUB's
    lib/cmdline.c): a word that holds a space is quoted as a whole."""
    return " ".join(map(_word, shlex.split(entry.options)))


def _word(word: str) -> str:
    escaped = re.sub(r"[\\'\"]", r"\\\g<0>", word)
    return f'"{escaped}"' if " " in word else escaped
