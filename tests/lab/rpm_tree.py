"""A root that is patched by dnf and by zypper. Both are Debian's; what they install is the laboratory's.

Its rpm database holds packages made here; its os-release is what a test writes.
"""

from __future__ import annotations

from pathlib import Path

from tests.lab import cache
from tests.lab.archive import SUITE, host_mirror
from tests.lab.native import chroot_mounts, run, stage
from tests.lab.packages import unpack

HERE = Path(__file__).parent / "rpm"
WORK = "/lab/work"
NAMED = "name-that-is-longer-than-any-column-of-the-table-could-ever-be-wide"
INSTALLED = tuple(f"{name}-1.0-1" for name in ("ledger", "grub2-lab", "unsigned", "configured", NAMED))
PACKAGES = ("dnf", "zypper", "rpm", "createrepo-c", "gnupg", "ca-certificates", "procps", "iproute2")
REPOSITORY = "[lab]\nname=lab\nenabled=1\nautorefresh=1\nbaseurl=http://repo.example/lab\ngpgcheck=1\n"
# Debian keeps rpm's database in the user's home, which is for looking at foreign packages.
MACROS = "%_dbpath /var/lib/rpm\n"


def rpm_tree() -> Path:
    """The cached tree. Never write into it: use `layered`."""
    mirror = host_mirror()
    key = cache.key_of(Path(__file__), HERE.parent / "packages.py", HERE, mirror.debian)
    return cache.cached("rpm-tree", key, lambda folder: _build(folder / "root", mirror.debian)) / "root"


def _build(root: Path, mirror: str) -> None:
    with stage("rpm tree (mmdebstrap)"):
        unpack(root, "essential", SUITE, mirror, PACKAGES)
    (root / "etc/rpm").mkdir()
    (root / "etc/rpm/macros").write_text(MACROS)
    with stage("rpm tree (packages)"), chroot_mounts(root):
        work = root / WORK[1:]
        work.mkdir(parents=True)
        for script in HERE.glob("*.sh"):
            (root / "lab" / script.name).write_bytes(script.read_bytes())
        run("chroot", root, "sh", "/lab/build.sh", WORK)
        run("chroot", root, "rpm", "--import", f"{WORK}/lab.asc", env={"HOME": "/root"})
        files = [
            f"{WORK}/rpms/{name}.noarch.rpm"
            for name in (*INSTALLED, "lab-release-9-1", "kernel-core-6.1.0-1")
        ]
        run("chroot", root, "rpm", "-i", *files, env={"HOME": "/root"})
    for folder in ("etc/yum.repos.d", "etc/zypp/repos.d"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "lab.repo").write_text(REPOSITORY)
    (root / "etc/zypp/zypp.conf").write_text("[main]\nmultiversion = provides:multiversion(kernel)\n")
