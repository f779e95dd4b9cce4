"""Builds everything the lab's repository can offer, once, into the cache."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache, kernels, ledger
from tests.lab.archive import PrivateApt, host_mirror
from tests.lab.encrypted import encrypted_tree
from tests.lab.mirrored import mirrored_tree
from tests.lab.native import chroot_mounts, run, stage
from tests.lab.repository import Pool, describe, make_key
from tests.lab.suite import BOOKWORM, Suite
from tests.lab.tree import SYSTEM, base_tree, layered, packages_of

HERE = Path(__file__).parent
SOURCES = ("pool.py", "kernels.py", "ledger.py", "system/ledger.py.in", "system/ledger.service")


@dataclass(frozen=True, slots=True)
class Offers:
    """The pool with the kernels in it: the installed one, an update, and the one after that."""

    pool: Pool
    installed: kernels.Kernel
    update: kernels.Kernel
    following: kernels.Kernel

    def kernel_debs(self, kernel: kernels.Kernel) -> tuple[Path, Path]:
        """The kernel's own package and the `linux-image-amd64` that depends on it."""
        image = self.pool.deb(f"linux-image-{kernel.release}", kernel.lab_version)
        return image, self.pool.deb("linux-image-amd64", kernel.lab_version)

    def select(self, ledger_version: str | None = None, *kernel: kernels.Kernel) -> list[Path]:
        """The packages of one published repository: a ledger update, kernel updates, both or neither."""
        debs = [self.pool.deb("ledger", ledger_version)] if ledger_version else []
        for one in kernel:
            debs.extend(self.kernel_debs(one))
        return debs


# What of the root tree shapes an initrd: the rest of its configuration may change without new kernels.
SHAPING = ("fstab", "initramfs-tools", "lvm")


LUKS, MIRROR = "encrypted", "mirrored"
"""What may lie beneath the volume group, which the kernels' initrds then bring up."""


def tree_of(suite: Suite, beneath: str = "") -> Path:
    """The root tree of systems whose volume group lies on that."""
    if not beneath:
        return base_tree(suite)
    return encrypted_tree() if beneath == LUKS else mirrored_tree()


def offers(suite: Suite = BOOKWORM, beneath: str = "") -> Offers:
    """The pool, built when the cache does not hold it."""
    shaping = [SYSTEM / name for name in SHAPING]
    sources = [HERE / name for name in SOURCES]
    parts: list[str | Path] = [*packages_of(suite), host_mirror().debian, *shaping, *sources]
    parts += [tree_of(suite, beneath).parent.name] if beneath else []
    name = (f"pool-{beneath}" if beneath else "pool") + suite.unusual
    key = cache.key_of(*parts)
    folder = cache.cached(name, key, lambda place: _build(place, suite, beneath))
    lines = (folder / "kernels").read_text().split()
    chosen = [kernels.Kernel(*line.split("=")) for line in lines]
    return Offers(Pool(folder, suite.name), chosen[0], chosen[1], chosen[2])


def _build(folder: Path, suite: Suite, beneath: str) -> None:
    with tempfile.TemporaryDirectory(prefix="twinboot-pool-", dir="/var/tmp") as name:
        scratch = Path(name)
        make_key(folder)
        with stage("ledger packages"):
            for version in ledger.VERSIONS:
                ledger.build(version, scratch, folder)
        with stage("kernel packages (choosing)"):
            apt = PrivateApt(scratch / "apt", host_mirror(), suite.name)
            apt.update()
            chosen = kernels.choose(apt, suite)
        for kernel in chosen:
            with stage(f"kernel {kernel.release} {kernel.version}"):
                _kernel(apt, kernel, scratch, folder, tree_of(suite, beneath))
        (folder / "kernels").write_text("".join(f"{k.release}={k.version}\n" for k in chosen))
        for deb in folder.glob("*.deb"):
            describe(deb)


def _kernel(apt: PrivateApt, kernel: kernels.Kernel, scratch: Path, pool: Path, tree: Path) -> None:
    deb = apt.download(f"linux-image-{kernel.release}", kernel.version, scratch / "debs")
    folder = scratch / kernel.release
    with layered(tree) as chroot, chroot_mounts(chroot):
        kernels.unpack_trimmed(deb, folder, chroot, kernel.release)
        config = folder / f"boot/config-{kernel.release}"
        image = folder / f"usr/lib/linux-lab/initrd.img-{kernel.release}"
        kernels.initrd(chroot, kernel.release, config, image)
    kernels.repack(folder, kernel, pool)
    kernels.meta(kernel, scratch, pool)
    deb.unlink()
    run("rm", "-rf", folder)
