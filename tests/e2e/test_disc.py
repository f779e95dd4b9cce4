"""The disc on a BMC's virtual media, read-only: the console comes, and nothing but memory is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.circle import IMAGE
from tests.lab.hardware import Hardware
from tests.lab.installed import SystemSpec, installed_system
from tests.lab.machine import Machine

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(900)]


def test_a_machine_boots_from_virtual_media_to_the_console(tmp_path: Path) -> None:
    hardware = Hardware(write_log=True)
    with Machine.with_system(
        installed_system(SystemSpec()), hardware, folder=tmp_path / "machine"
    ) as machine:
        machine.insert_disc(IMAGE.with_suffix(".iso"))
        console = machine.power_on()
        console.wait_for(r"Twinboot: medium is /dev/sr0", limit=600)
        console.wait_for(r"ledger: Debian GNU/Linux 12", limit=600)
        assert "WRITES TO THIS MACHINE: 0" in console.plain
        assert machine.written() == []
