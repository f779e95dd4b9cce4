"""What Debian's installer adds where the volume group lies inside LUKS ("encrypted LVM")."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lab import cache
from tests.lab.archive import SUITE, host_mirror
from tests.lab.console import Console
from tests.lab.native import chroot_mounts, run, stage
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
        sources, lab = tree / "etc/apt/sources.list", tree / "etc/apt/sources.list.d/lab.list"
        saved, held = sources.read_text(), lab.read_text()
        lab.unlink()
        sources.write_text(f"deb {host_mirror().debian} {SUITE} main\n")
        apt = ("chroot", tree, "apt-get", "-qq", "-y", "--no-install-recommends")
        with chroot_mounts(tree):
            run(*apt, "update", timeout=300)
            run(*apt, "install", "cryptsetup-initramfs", timeout=600)
            run("chroot", tree, "apt-get", "clean")
        for path in (tree / "var/lib/apt/lists").glob("*_*"):
            path.unlink()
        sources.write_text(saved)
        lab.write_text(held)
        (tree / "etc/crypttab").write_text(CRYPTTAB)
        run("cp", "-a", tree, folder / "root", timeout=300)
        shutil.rmtree(folder / "root/tmp", ignore_errors=True)
        (folder / "root/tmp").mkdir(mode=0o1777)
        (folder / "root/tmp").chmod(0o1777)


def unlock(console: Console, passphrase: str = PASSPHRASE, limit: float = 900.0) -> None:
    """Type the passphrase at the initrd's prompt on the serial line."""
    console.wait_for(ASKED, limit=limit)
    console.send(f"{passphrase}\n")
