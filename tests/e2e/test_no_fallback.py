"""A machine that could not give a trial back by itself is refused, and not one sector of it is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.appliance import Appliance
from tests.lab.circle import machine_with_stick
from tests.lab.firmware import BIOS
from tests.lab.installed import BOOT_DEVICE, BOOT_ON_LVM, installed_system

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(1800)]

WRITTEN = "awk '{print $7, $14}' /sys/block/vda/stat"
"""Sectors written to and discarded on the disk (Documentation/block/stat.rst)."""


def test_a_boot_that_grub_only_reads_has_no_fallback_under_bios(tmp_path: Path) -> None:
    system = installed_system(replace(BOOT_ON_LVM, firmware=BIOS))
    with machine_with_stick(system, tmp_path, "1.1") as machine:
        appliance = Appliance.boot(machine)
        refused = appliance.twinboot("rehearse", "--packages", "ledger")
        said = " ".join(refused.text.split())
        assert refused.status != 0 and "no automatic fallback on this machine" in said
        assert f"GRUB can read /boot on {BOOT_DEVICE}, but not write there" in said
        assert "no automatic fallback" in " ".join(appliance.read("inspect").split())
        assert appliance.shell.read(WRITTEN) == "0 0"
        appliance.power_off()
