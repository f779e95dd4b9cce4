"""The whole circle by keys alone, at the machine's own screen and at its serial line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab.appliance import REHEARSAL, Appliance
from tests.lab.circle import PENDING, machine_with_stick, trial_kept
from tests.lab.installed import SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.screens import ScreenTerminal, SerialTerminal, Terminal, sees

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(7200)]

SOON = 180.0
"""Seconds in which an emulated machine answers a key, at most."""


def terminal_of(machine: Machine, name: str) -> Terminal:
    appliance = Appliance.boot(machine)
    return ScreenTerminal(machine, appliance.shell) if name == "tty1" else SerialTerminal(machine.console)


def pictures(folder: Path) -> Path:
    """Where screenshots go: the folder named by TWINBOOT_PICTURES, or the test's own."""
    target = Path(os.environ.get("TWINBOOT_PICTURES", folder / "pictures"))
    target.mkdir(parents=True, exist_ok=True)
    return target


@pytest.mark.parametrize("name", ["tty1", "ttyS0"])
def test_from_the_first_screen_to_a_kept_machine(tmp_path: Path, name: str) -> None:
    album = pictures(tmp_path)
    with machine_with_stick(installed_system(SystemSpec()), tmp_path, "1.1") as machine:
        terminal = terminal_of(machine, name)

        def photograph(what: str) -> None:
            machine.screenshot(album / f"{name}-{what}.png")
            (album / f"{name}-{what}.txt").write_text(terminal.text())

        sees(terminal, "WRITES TO THIS MACHINE: 0", "INSTALLED", limit=SOON)
        photograph("1-home")
        terminal.press("n")
        sees(terminal, "Chosen packages", limit=SOON)
        photograph("2-patches")
        terminal.press("down", "down", "down", "enter")
        sees(terminal, "installed; no apt lists here", "> [ ]", limit=SOON)
        terminal.press(*"ledger")
        sees(terminal, "> [ ] ledger", limit=SOON)
        terminal.press("enter")
        sees(terminal, "nothing stands in the way", limit=SOON)
        photograph("3-preflight")
        terminal.press(*"yes", "enter")
        sees(terminal, "Control boot", "elapsed", limit=SOON)
        photograph("4-running")
        sees(terminal, "Finished", limit=REHEARSAL, never="STOPPED")
        photograph("5-finished")
        terminal.press("v")
        sees(terminal, "VERDICT", "PASS", limit=SOON)
        photograph("6-verdict")
        terminal.press("p")
        sees(terminal, "Promote tb1", "last 4 characters", limit=SOON)
        photograph("7-promotion")
        terminal.press(*"0001", "enter")
        sees(terminal, "Restart in", limit=900, never="STOPPED")
        photograph("8-armed")
        # The menu of the stick: what the line says from here on is the metal's, not the twin's, shown live.
        machine.console.wait_for(PENDING, limit=600)
        machine.rebooted()
        proof = trial_kept(machine)
        assert proof.root == "/dev/mapper/vg0-root--tb1"
        assert proof.ledger == "1.1"
        machine.power_off()
