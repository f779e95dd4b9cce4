"""The stick's menu on a machine with a disk of its own: who starts, with and without a pending trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.hello import Medium, what_starts
from tests.lab.circle import IMAGE

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]
STICK = Medium(IMAGE)


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_with_a_trial_pending_the_machine_starts_from_its_own_disk_and_is_told_why(
    tmp_path: Path, firmware: str
) -> None:
    assert what_starts(tmp_path, firmware, {"tb_pending": "1"}, STICK) == "machine"
    text = (tmp_path / "serial").read_text(errors="replace")
    assert "a trial or its fallback is pending" in text


ENVS = [None, {"tb_pending": "0"}, pytest.param({"other": "1"}, marks=pytest.mark.full)]


@pytest.mark.parametrize("env", ENVS, ids=["no-env", "zero", "other"])
def test_without_one_the_stick_starts(tmp_path: Path, env: dict[str, str] | None) -> None:
    assert what_starts(tmp_path, "bios", env, STICK) == "twinboot"


@pytest.mark.full
def test_a_uefi_machine_without_a_trial_starts_the_stick(tmp_path: Path) -> None:
    assert what_starts(tmp_path, "uefi", None, STICK) == "twinboot"
