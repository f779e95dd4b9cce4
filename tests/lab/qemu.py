"""The QEMU that plays every machine: the host's own, or Debian 13's where that is too old."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from tests.lab import cache
from tests.lab.archive import host_mirror
from tests.lab.native import LabError, run, stage
from tests.lab.packages import unpack
from tests.lab.suite import BOOKWORM, TRIXIE, Suite

PROGRAM = "qemu-system-x86_64"
OLDEST = (10, 0)
"""Debian 13's. Debian 12's 7.2 takes four seconds for three of this one in a twin's boot, and with a single
emulated processor loses a disk's request now and then (mended in 8.1: c914d46d0a64)."""


@functools.cache
def program() -> tuple[str, ...]:
    """The words that its command line begins with. LabError where it does not say which QEMU it is."""
    return (PROGRAM,) if version(run(PROGRAM, "--version")) >= OLDEST else _unpacked()


def version(said: str) -> tuple[int, int]:
    """Major and minor number of what `--version` said. LabError where they are not in it."""
    found = re.search(r"version (\d+)\.(\d+)", said)
    if found is None:
        raise LabError(f"{PROGRAM} does not say its version: {said!r}.")
    return int(found[1]), int(found[2])


@functools.cache
def uefi_network_rom() -> Path:
    """iPXE for a virtio network card, of Debian 12: later ones are but a driver (NEWS of ipxe-qemu)."""
    return _packages("ipxe", BOOKWORM, "ipxe-qemu") / "lib/ipxe/qemu/efi-virtio.rom"


def _unpacked() -> tuple[str, ...]:
    """It and its libraries are packages that are only unpacked: their own ld.so starts it (ld.so(8))."""
    usr = _packages("qemu", TRIXIE, "qemu-system-x86", "seabios")
    return (
        *(str(usr / "lib64/ld-linux-x86-64.so.2"), "--library-path", str(usr / "lib/x86_64-linux-gnu")),
        *(str(usr / "bin" / PROGRAM), "-L", str(usr / "share/qemu"), "-L", str(usr / "share/seabios")),
    )


def _packages(name: str, suite: Suite, *names: str) -> Path:
    """/usr of a cached tree with those packages of `suite` and what they depend on, none of it set up."""
    mirror = host_mirror().debian

    def build(folder: Path) -> None:
        with stage(f"{name} of Debian {suite}"):
            unpack(folder / "root", "extract", suite.name, mirror, names)

    return cache.cached(name, cache.key_of(mirror, suite.name, *names), build) / "root/usr"
