"""What Debian's installer adds where the volume group lies on MD RAID 1, over partitions of two disks."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lab import cache
from tests.lab.native import chroot_mounts, run, stage
from tests.lab.suite import BOOKWORM, real_archive
from tests.lab.tree import base_tree, layered

UUID = "5f1e0c2b:94a37d68:c1b2e3f4:0a1b2c3d"
NAME = "ledger:0"
ARRAY = f"ARRAY /dev/md/0  metadata=1.2 UUID={UUID} name={NAME}\n"
"""As /usr/share/mdadm/mkconf writes it for the array that stands when mdadm is installed."""


def mirrored_tree() -> Path:
    """The cached root tree with mdadm, its hook for the initrd, and mdadm.conf. Never write into it."""
    lower = base_tree()
    key = cache.key_of(Path(__file__), lower.parent.name)
    return cache.cached("tree-mirrored", key, lambda folder: _build(folder, lower)) / "root"


def _build(folder: Path, lower: Path) -> None:
    with layered(lower) as tree, stage("root tree on a mirror (packages)"):
        with chroot_mounts(tree), real_archive(tree, BOOKWORM) as apt:
            run(*apt, "install", "mdadm", timeout=600)
        conf = tree / "etc/mdadm/mdadm.conf"
        # The host's own arrays, if any, are none of it.
        lines = [line for line in conf.read_text().splitlines() if not line.startswith("ARRAY")]
        conf.write_text("\n".join(lines) + "\n" + ARRAY)
        run("cp", "-a", tree, folder / "root", timeout=300)
        shutil.rmtree(folder / "root/tmp", ignore_errors=True)
        (folder / "root/tmp").mkdir(mode=0o1777)
        (folder / "root/tmp").chmod(0o1777)
