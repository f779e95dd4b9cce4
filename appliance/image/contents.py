"""What goes on every medium, and the folder that holds it on stick and disc."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from appliance.image.menu import medium_menu

LABEL = "TWINBOOT-SYS"
"""Of the file system that holds the system: the initrd looks for it."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Files of one build.

    `initrd` is the one that finds its root on a medium, `signed` the folder of Debian's signed loaders.
    """

    kernel: Path
    initrd: Path
    rootfs: Path
    signed: Path
    build: str


def system_folder(contents: Contents, work: Path) -> Path:
    """A new folder below `work` that holds `twinboot/` as stick and disc carry it."""
    folder = work / "system" / "twinboot"
    (folder / "grub").mkdir(parents=True)
    sources = (
        ("vmlinuz", contents.kernel),
        ("initrd.img", contents.initrd),
        ("rootfs.squashfs", contents.rootfs),
    )
    for name, source in sources:
        # A hard link saves copying 180 MB; `work` and the sources are both in the cache folder.
        (folder / name).hardlink_to(source)
    (folder / "build").write_text(contents.build + "\n")
    (folder / "grub" / "grub.cfg").write_text(medium_menu(contents.build))
    (folder / "SHA256SUMS").write_text(sums(folder))
    return folder.parent


def sums(folder: Path) -> str:
    """sha256sum's list of every file below `folder`, sorted by name."""
    rows = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "SHA256SUMS":
            with path.open("rb") as file:
                rows.append(
                    f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder)}\n"
                )
    return "".join(rows)
