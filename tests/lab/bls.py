"""Systems whose GRUB takes its entries from /boot/loader/entries (blscfg), as Fedora's and RHEL's do."""

from __future__ import annotations

from tests.lab.installed import THICK, XFS, SystemSpec
from tests.lab.suite import TRIXIE

THIN_BLS = SystemSpec(suite=TRIXIE, bls=True)
THICK_BLS = SystemSpec(
    suite=TRIXIE, bls=True, storage=THICK, disk=8192, pool=0, root=2048, srv=0, root_fs=XFS
)
"""A linear root of XFS, as RHEL's installer makes it, and room for a snapshot that covers it."""
FULL_BLS = SystemSpec(
    suite=TRIXIE, bls=True, storage=THICK, disk=4096, pool=0, root=2048, srv=0, swap=0, root_fs=XFS
)
"""The commonest machine room: the same in a volume group without one free extent."""
