"""Naming an older kernel as a system's default, as an administrator would: a file in /etc/default/grub.d.

grub-mkconfig of Debian and Ubuntu reads every *.cfg there after /etc/default/grub, so the choice outlives the
next update-grub, and ends when the file is deleted.
"""

from __future__ import annotations

import re
from pathlib import Path

from appliance.boot.grubcfg import choices
from appliance.errors import BootConfigFailed
from appliance.host.files import write_atomic

FILE = "etc/default/grub.d/twinboot-kernel.cfg"
_VERSION = re.compile(r"^# kernel: (\S+)$", re.M)
_CHOICE = re.compile(r"[A-Za-z0-9_.:/>+~-]+\Z")


def choice_of(config: str, prefix: str, version: str) -> str:
    """GRUB's name for the ordinary entry of kernel `version` in the text of grub.cfg: "submenu>entry".

    Raises BootConfigFailed where there is none, or where grub.cfg does not honour a one-shot choice.
    """
    if "next_entry" not in config:
        raise BootConfigFailed("grub.cfg is not one that update-grub made: it takes no choice for one boot.")
    for choice, entry in choices(config, prefix):
        plain = not {"single", "recovery"} & set(entry.options.split())
        if plain and entry.kernel == f"vmlinuz-{version}" and _CHOICE.match(choice):
            return choice
    raise BootConfigFailed(f"GRUB's menu has no entry for the kernel {version}.")


def place(root: Path, version: str, choice: str) -> None:
    """Write the choice into the system mounted at `root`. Raises BootConfigFailed for a symbolic link."""
    at = root / FILE
    for folder in (at.parent.parent.parent, at.parent.parent, at.parent):
        if folder.is_symlink():
            raise BootConfigFailed(f"/{folder.relative_to(root)} is a symbolic link; nothing is put there.")
    at.parent.mkdir(parents=True, exist_ok=True)
    text = (
        "# Twinboot: a newer kernel of this system did not boot. Delete this file and run update-grub\n"
        "# to boot the newest kernel again.\n"
        f'# kernel: {version}\nGRUB_DEFAULT="{choice}"\n'
    )
    write_atomic(at, text.encode())


def pinned(root: Path) -> str:
    """The kernel version that the system mounted at `root` is held at; empty where it is held at none."""
    at = root / FILE
    if at.is_symlink() or not at.is_file():
        return ""
    found = _VERSION.search(at.read_text(errors="replace"))
    return found[1] if found else ""


def sentence(version: str) -> str:
    """What holding a kernel leaves out, for the verdict."""
    return f"newer kernels: the copy stays at {version} until /{FILE} is deleted there"
