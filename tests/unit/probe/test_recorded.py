"""The parsers on what lab machines themselves printed (their own tools' versions, another disk bus)."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.model.machine import Bus
from appliance.probe import fstab, grub, lsblk, lvm_metadata, osinfo
from appliance.probe.thin_status import pool_usage

RECORDED = Path(__file__).parents[2] / "fixtures/recorded"
MACHINES = {"bios-virtio": Bus.VIRTIO, "uefi-nvme": Bus.NVME}


@pytest.mark.parametrize("name", MACHINES)
def test_the_installed_systems_own_files(name: str) -> None:
    folder = RECORDED / name
    assert osinfo.parse_os_release((folder / "os-release.txt").read_text()).version == "12"
    entries = fstab.parse_fstab((folder / "fstab.txt").read_text())
    assert [e.target for e in entries] == ["/", "/boot", "/boot/efi", "/srv", "none"]
    text = (folder / "grub.cfg").read_text()
    entry = grub.default_entry(text, {})
    assert entry is not None and grub.root_argument(entry.arguments) == "/dev/mapper/vg0-root"
    assert grub.sources_custom_cfg(text)


@pytest.mark.parametrize("name", MACHINES)
def test_disks_and_volumes(name: str) -> None:
    folder = RECORDED / name
    (device,) = lsblk.machine_disks(lsblk.parse_lsblk((folder / "lsblk.json").read_text()))
    assert lsblk.disk(device).bus is MACHINES[name]
    meta = lvm_metadata.parse((folder / "vgcfgbackup.txt").read_text())
    assert {lv.name for lv in meta.lvs if lv.visible} == {"pool", "root", "srv", "swap"}
    lines = (folder / "dmsetup_status.txt").read_text().splitlines()
    usage = [pool_usage(line.partition(": ")[2]) for line in lines if " thin-pool " in line]
    assert len(usage) == 1 and usage[0] is not None and 0 < usage[0].data_percent < 80
