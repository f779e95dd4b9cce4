"""What Debian's installer adds where the volume group lies inside LUKS ("encrypted LVM")."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lab import cache
from tests.lab.console import Console
from tests.lab.native import chroot_mounts, run, stage
from tests.lab.suite import BOOKWORM, real_archive
from tests.lab.tree import base_tree, layered

UUID = "7c41d0e9-3b58-4f26-8e1d-a95f02c6b738"
NAME = "vda4_crypt"
PASSPHRASE = "Kein+Zutritt-4711"
"""One word that nothing else says, so that it is found wherever it should not be."""

ASKED = rf"Please unlock disk {NAME}"
CRYPTTAB = f"{NAME} UUID={UUID} none luks,discard,initramfs\n"
"""As the installer writes it; `initramfs`, since the kernels' initrds are made where no device is open."""


def encrypted_tree() -> Path:
    """The cached root tree with cryptsetup, its hooks for the initrd, and crypttab. Never write into it."""
    lower = base_tree()
    key = cache.key_of(Path(__file__), lower.parent.name)
    return cache.cached("tree-encrypted", key, lambda folder: _build(folder, lower)) / "root"


def _build(folder: Path, lower: Path) -> None:
    with layered(lower) as tree, stage("encrypted root tree (packages)"):
        with chroot_mounts(tree), real_archive(tree, BOOKWORM) as apt:
            run(*apt, "install", "cryptsetup-initramfs", timeout=600)
        (tree / "etc/crypttab").write_text(CRYPTTAB)
        run("cp", "-a", tree, folder / "root", timeout=300)
        shutil.rmtree(folder / "root/tmp", ignore_errors=True)
        (folder / "root/tmp").mkdir(mode=0o1777)
        (folder / "root/tmp").chmod(0o1777)


def unlock(console: Console, passphrase: str = PASSPHRASE, limit: float = 900.0) -> None:
    """Type the passphrase at the initrd's prompt on the serial line."""
    console.wait_for(ASKED, limit=limit)
    console.send(f"{passphrase}\n")
