"""Sticks that carry patches: a FAT file system made from a folder."""

from __future__ import annotations

from pathlib import Path

from tests.lab.native import run

MIB = 1 << 20


def fat_image(target: Path, folder: Path, label: str = "PATCHES", size: int | None = None) -> Path:
    """Make `target`, a FAT file system (no partition table) of `size` MiB holding what is in `folder`."""
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) // MIB
    run("mkfs.vfat", "-C", "-n", label, target, str((size or used + used // 8 + 16) * 1024))
    entries = sorted(folder.iterdir())
    if entries:
        run("mcopy", "-s", "-i", target, *entries, "::")
    return target
