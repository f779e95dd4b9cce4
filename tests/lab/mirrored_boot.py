"""What Debian's installer adds where /boot, too, lies on MD RAID 1: an array of its own, beside the first."""

from __future__ import annotations

from pathlib import Path

ARRAY = "/dev/md/1"
UUID = "0b6d2f84:7c1e59a3:e4d0f726:95a8b13c"
NAME = "ledger:1"


def name_boot(tree: Path) -> None:
    """The array in mdadm.conf, as /usr/share/mdadm/mkconf writes it. fstab names its file system by UUID."""
    with (tree / "etc/mdadm/mdadm.conf").open("a") as conf:
        conf.write(f"ARRAY {ARRAY}  metadata=1.2 UUID={UUID} name={NAME}\n")
