"""The driver of the adapter a disk hangs on, out of sysfs as Linux showed it for eleven kinds of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.probe.adapter import adapter_driver

RECORDED = Path(__file__).parents[2] / "fixtures/recorded/adapters.txt"


def chains() -> list[tuple[str, str, list[list[str]]]]:
    """(name, path, rows above it) of every recorded disk."""
    found: list[tuple[str, str, list[list[str]]]] = []
    for line in RECORDED.read_text().splitlines():
        words = line.split()
        if line.startswith("disk "):
            found.append((words[1], words[2], []))
        elif line.startswith("  "):
            found[-1][2].append(words)
    return found


def lay(root: Path, chain: tuple[str, str, list[list[str]]]) -> None:
    name, path, above = chain
    inside = {each: root / each.lstrip("/") for row in above for each in row if each != "-"}
    for each in (root / path.lstrip("/"), *inside.values()):
        each.mkdir(parents=True, exist_ok=True)
    for at, subsystem, driver in above:
        for link, target in (("subsystem", subsystem), ("driver", driver)):
            if target != "-":
                (inside[at] / link).symlink_to(inside[target])
    (root / path.lstrip("/") / "device").symlink_to(inside[above[0][0]])
    (root / "sys/class/block").mkdir(parents=True)
    (root / "sys/class/block" / name).symlink_to(root / path.lstrip("/"))


KINDS = (
    "virtio_blk", "nvme", "ahci", "ata_piix", "virtio_scsi", "megaraid_sas", "mptsas", "sym53c8xx",
    "vmw_pvscsi", "am53c974", "usb-storage",
)  # fmt: skip


@pytest.mark.parametrize(("chain", "driver"), list(zip(chains(), KINDS, strict=True)), ids=KINDS)
def test_each_adapter(chain: tuple[str, str, list[list[str]]], driver: str, tmp_path: Path) -> None:
    lay(tmp_path, chain)
    assert adapter_driver(tmp_path, f"/dev/{chain[0]}") == driver


def test_a_kernel_that_does_not_say(tmp_path: Path) -> None:
    assert adapter_driver(tmp_path, "/dev/sda") == ""
    (tmp_path / "sys/class/block/sda").mkdir(parents=True)
    assert adapter_driver(tmp_path, "/dev/sda") == ""


def test_a_chain_that_leads_out_of_sysfs_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside/host0"
    (outside / "driver").mkdir(parents=True)
    (tmp_path / "sys/class/block/sda").mkdir(parents=True)
    (tmp_path / "sys/class/block/sda/device").symlink_to(outside)
    assert adapter_driver(tmp_path, "/dev/sda") == ""
