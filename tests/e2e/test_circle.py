"""The circle: a real machine is rehearsed, promoted, boots from its twin and keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.circle import go_round

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full]


@pytest.mark.timeout(4800)
def test_a_bios_machine_goes_once_round_with_the_stick_left_in(tmp_path: Path) -> None:
    came = go_round(tmp_path, "bios", kernel=False)
    assert came.proof.root == "/dev/mapper/vg0-root--tb1"
    assert came.proof.ledger == "1.1"
    assert came.proof.ledger_answer.startswith("ledger 1.1 ")
    assert came.proof.failed_units == ()
    assert "PASS" in came.report
    assert "ledger" in came.report
