"""Naming an older kernel as a system's default, as an administrator would: a file in /etc/default/grub.d.

grub-mkconfig of Debian and Ubuntu reads every *.cfg there after /etc/default/grub, so the choice outlives the
next update-grub, and ends when the file is deleted. Without UUIDs GRUB's names of entries hold the root's
device, which is another one on the metal than in the twin: then grub-mkconfig's own function is asked for it.
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
_WITH_DEVICE = re.compile(r"gnulinux-advanced-(/.+)>gnulinux-(.+)-advanced-\1\Z")
_ASKED = """\
if command -v grub_get_device_id >/dev/null; then
  twinboot_root=$(grub_get_device_id "$GRUB_DEVICE")
  GRUB_DEFAULT="gnulinux-advanced-$twinboot_root>gnulinux-{kernel}-advanced-$twinboot_root"
fi
"""


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
    """Write the choice into the system mounted at `root`.

    Raises BootConfigFailed for a symbolic link, and for a choice that another root device would not have.
    """
    at = root / FILE
    for folder in (at.parent.parent.parent, at.parent.parent, at.parent):
        if folder.is_symlink():
            raise BootConfigFailed(f"/{folder.relative_to(root)} is a symbolic link; nothing is put there.")
    at.parent.mkdir(parents=True, exist_ok=True)
    text = (
        "# Twinboot: a newer kernel of this system did not boot. Delete this file and run update-grub\n"
        "# to boot the newest kernel again.\n"
        f"# kernel: {version}\n{_default(choice)}"
    )
    write_atomic(at, text.encode())


def _default(choice: str) -> str:
    """Lines of shell that set GRUB_DEFAULT (grub-mkconfig_lib of GRUB 2.06 and 2.12: grub_get_device_id)."""
    if found := _WITH_DEVICE.match(choice):
        return _ASKED.format(kernel=found[2])
    if "/" in choice:
        raise BootConfigFailed(f"GRUB calls the entry {choice}: promoted, its root has another name.")
    return f'GRUB_DEFAULT="{choice}"\n'


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
