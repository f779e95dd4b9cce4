"""What makes a Debian 13 whose GRUB takes its entries from /boot/loader/entries, as Fedora's and RHEL's do.

Debian's own GRUB knows that command from 2.14 on, which the release after 13 has: its packages come from
there. What Debian has no package for, `system/bls` brings: how kernels get their entries, and a grub.cfg of
that form.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache
from tests.lab.archive import PrivateApt, host_mirror
from tests.lab.native import run, stage
from tests.lab.suite import SYSTEM, TRIXIE
from tests.lab.tree import MACHINE_ID

NEXT = "forky"
"""The release after Debian 13."""
FROM_NEXT = ("grub-pc", "grub-pc-bin", "grub-common", "grub2-common", "libefiboot1t64", "libefivar1t64")
STANDS_STILL = ("-oAcquire::Check-Valid-Until=false",)
"""A mirror that stands still serves the index of a release in the making for longer than it is valid."""
HERS = SYSTEM / "bls"
DEFAULTS = "GRUB_DEFAULT=saved\nGRUB_ENABLE_BLSCFG=true\n"


@dataclass(frozen=True, slots=True)
class NextApt(PrivateApt):
    """An apt of our own that knows that release."""

    def _options(self) -> tuple[str, ...]:
        # The dataclass that slots make is another class than the one super() would mean.
        return (*PrivateApt._options(self), *STANDS_STILL)


def grub_modules() -> Path:
    """The modules and images of that GRUB for a BIOS, without a system around them."""
    key = cache.key_of(Path(__file__), host_mirror().debian)
    return cache.cached("grub-modules", key, _fetch_modules) / "usr/lib/grub/i386-pc"


def _fetch_modules(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="twinboot-grub-", dir="/var/tmp") as name:
        apt = NextApt(Path(name) / "apt", host_mirror(), NEXT)
        with stage(f"GRUB's modules of {NEXT}"):
            apt.update()
            version = apt.candidates("grub-pc-bin")[0][0]
            run("dpkg-deb", "-x", apt.download("grub-pc-bin", version, Path(name) / "debs"), folder)


def sources() -> tuple[str | Path, ...]:
    """What such a system is made of besides what any is, for a key."""
    return (Path(__file__), HERS, NEXT, host_mirror().debian)


def install_grub(tree: Path, apt: tuple[str | Path, ...]) -> tuple[str | Path, ...]:
    """That GRUB and what is ours of it, so that a kernel's own scripts make its entry. The words to begin a
    further command with."""
    listed = tree / "etc/apt/sources.list"
    listed.write_text(f"{listed.read_text()}deb {host_mirror().debian} {NEXT} main\n")
    apt = (*apt, f"-oAPT::Default-Release={TRIXIE}", *STANDS_STILL)
    run(*apt, "update", timeout=300)
    run(*apt, "install", *(f"{name}/{NEXT}" for name in FROM_NEXT), timeout=600)
    _configure(tree)
    return apt


def save_default(tree: Path, release: str) -> None:
    """The entry of that kernel as the one that GRUB starts."""
    block = f"# GRUB Environment Block\nsaved_entry={MACHINE_ID}-{release}\n"
    (tree / "boot/grub").mkdir(exist_ok=True)
    (tree / "boot/grub/grubenv").write_text(block.ljust(1024, "#"))


def _configure(tree: Path) -> None:
    """Nobody runs update-grub for a kernel here: grub.cfg names none."""
    for place in ("postinst.d", "postrm.d"):
        (tree / f"etc/kernel/{place}/zz-update-grub").unlink()
    for name in ("kernel", "grub.d"):
        shutil.copytree(HERS / name, tree / "etc" / name, dirs_exist_ok=True)
    with (tree / "etc/default/grub").open("a") as said:
        said.write(DEFAULTS)
