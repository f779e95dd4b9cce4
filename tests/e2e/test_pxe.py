"""The image by network: iPXE fetches kernel and initrd, the initrd fetches the root and checks its hash."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.lab.circle import IMAGE
from tests.lab.installed import SystemSpec, installed_system
from tests.lab.machine import Machine

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(900)]
PXE = IMAGE.parent / "pxe"


def test_a_machine_boots_from_the_network_to_the_console(tmp_path: Path) -> None:
    with Machine.with_system(installed_system(SystemSpec()), folder=tmp_path / "machine") as machine:
        machine.net_boot(PXE)
        console = machine.power_on()
        console.wait_for(r"ledger: Debian GNU/Linux 12", limit=600)
        assert "GET /pxe/rootfs.squashfs" in machine.site.requests


@pytest.mark.full
@pytest.mark.parametrize("firmware, loader", [("bios", "twinboot.0"), ("uefi", "twinbootx64.efi")])
def test_firmware_that_knows_tftp_only(tmp_path: Path, firmware: str, loader: str) -> None:
    """GRUB fetches everything, the root into memory: slow, and nothing else is needed."""
    system = installed_system(SystemSpec(firmware))
    with Machine.with_system(system, folder=tmp_path / "machine") as machine:
        machine.net_boot(PXE, loader)
        console = machine.power_on()
        console.wait_for(r"ledger: Debian GNU/Linux 12", limit=800)
        assert machine.site.requests == []


def test_a_root_that_is_not_the_announced_one_is_not_started(tmp_path: Path) -> None:
    served = tmp_path / "served"
    shutil.copytree(PXE, served)
    root = served / "rootfs.squashfs"
    with root.open("r+b") as file:
        file.seek(root.stat().st_size // 2)
        file.write(b"not what was built")
    with Machine.with_system(installed_system(SystemSpec()), folder=tmp_path / "machine") as machine:
        machine.net_boot(served)
        console = machine.power_on()
        console.wait_for(r"does not have the expected hash", limit=600)
        assert "Twinboot is starting" not in console.plain
