"""Ctrl-C in the middle of a rehearsal: the run is cancelled, and the machine is what it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.appliance import PROGRAM, Appliance
from tests.lab.circle import machine_with_stick
from tests.lab.installed import SystemSpec, installed_system

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(3600)]


def test_ctrl_c_while_the_twin_boots_leaves_nothing_behind(tmp_path: Path) -> None:
    with machine_with_stick(installed_system(SystemSpec()), tmp_path, "1.1") as machine:
        appliance = Appliance.boot(machine)
        before = appliance.volumes()
        appliance.shell.read(f"{PROGRAM} rehearse --nothing >/tmp/said 2>&1 & echo $! >/tmp/pid")
        reached = "until grep -q 'step .* Control boot' /tmp/said; do sleep 1; done; sleep 20"
        appliance.shell.read(reached, limit=600)
        ended = appliance.shell.run("kill -INT $(cat /tmp/pid); wait $(cat /tmp/pid)", limit=600)
        said = appliance.shell.read("cat /tmp/said")
        assert ended.status == 1
        assert "CANCEL-01" in said
        assert "Traceback" not in said
        assert appliance.volumes() == before | {"twinboot-state"}
        assert appliance.shell.read("dmsetup ls | grep -c ^twinboot- || true").strip() == "0"
        assert appliance.shell.read("pgrep -c qemu-system || true").strip() == "0"
        appliance.power_off()
