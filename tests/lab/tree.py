"""The root tree all lab systems are made from: a small Debian, as its installer would have left it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.lab import cache
from tests.lab.archive import Mirror, host_mirror
from tests.lab.native import chroot_mounts, run, stage
from tests.lab.packages import unpack
from tests.lab.suite import BOOKWORM, Suite

HERE = Path(__file__).parent
SYSTEM = HERE / "system/etc"
PASSWORD = "lab"
MACHINE_ID = "7f1b3c5d9e2a4b6c8d0e1f2a3b4c5d6e"

_WANTED = """
systemd systemd-sysv init udev dbus libpam-systemd kmod linux-base initramfs-tools busybox zstd
lvm2 thin-provisioning-tools e2fsprogs dosfstools nginx-light openssh-server cron at ifupdown
iproute2 iputils-ping python3-minimal curl ca-certificates
debian-archive-keyring nullmailer logrotate less nano procps fdisk netbase tzdata apt-utils
debconf-utils
"""


def packages_of(suite: Suite) -> tuple[str, ...]:
    """What an installed system has besides the essential packages, kernel, boot loader and ledger."""
    return (*_WANTED.split(), *suite.packages)


def base_tree(suite: Suite = BOOKWORM) -> Path:
    """The cached tree: Debian without kernel, boot loader and ledger. Never write into it: use `layered`."""
    mirror = host_mirror()
    sources = (Path(__file__), HERE / "packages.py", HERE / "archive.py", SYSTEM, suite.etc)
    key = cache.key_of(*sources, mirror.debian, *suite.packages)
    name = "tree" + suite.unusual
    return cache.cached(name, key, lambda folder: _build(folder, mirror, suite)) / "root"


def _build(folder: Path, mirror: Mirror, suite: Suite) -> None:
    root = folder / "root"
    with stage(f"{suite} root tree (mmdebstrap)"):
        unpack(root, "minbase", suite.name, mirror.debian, packages_of(suite))
    with stage(f"{suite} root tree (configuration)"):
        (root / "etc/apt/sources.list").unlink()
        for etc in (SYSTEM, suite.etc):
            shutil.copytree(etc, root / "etc", dirs_exist_ok=True)
        # Set, as on any installed system: an empty one would make the first boot apply all presets.
        (root / "etc/machine-id").write_text(MACHINE_ID + "\n")
        (root / "etc/apt/apt.conf.d/99mmdebstrap").unlink()
        (root / "boot/efi").mkdir()
        (root / "srv").mkdir(exist_ok=True)
        with chroot_mounts(root):
            run("chroot", root, "chpasswd", stdin=f"root:{PASSWORD}\n".encode())
            run("chroot", root, "systemctl", "enable", "serial-getty@ttyS0.service")
            # Shell scripts that fork a lot at every boot and have nothing to do here.
            run("chroot", root, "systemctl", "disable", "e2scrub_reap.service", "e2scrub_all.timer")


@contextlib.contextmanager
def layered(lower: Path) -> Iterator[Path]:
    """A writable view of `lower`; what is written to it is gone at the end."""
    scratch = Path(tempfile.mkdtemp(prefix="twinboot-lab-", dir="/var/tmp"))
    merged = scratch / "merged"
    for name in ("upper", "work", "merged"):
        (scratch / name).mkdir()
    try:
        options = f"lowerdir={lower},upperdir={scratch}/upper,workdir={scratch}/work"
        run("mount", "-t", "overlay", "overlay", "-o", options, merged)
        try:
            yield merged
        finally:
            run("umount", "--lazy", merged)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
