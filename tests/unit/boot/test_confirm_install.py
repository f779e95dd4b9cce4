"""The metal's edits in a trial volume."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path

import pytest

from appliance.boot import confirm
from appliance.boot.confirm import limits
from appliance.errors import BootConfigFailed

TRIAL = confirm.Trial(run="tb1", root="/dev/mapper/vg0-root--tb1", old_root="/dev/mapper/vg0-root")


def tree(root: Path) -> set[str]:
    return {str(Path(at, name).relative_to(root)) for at, _, names in os.walk(root) for name in names}


def test_what_is_written_is_what_is_listed(tmp_path: Path) -> None:
    written = confirm.install(tmp_path, TRIAL, b"#!/bin/sh\n", "target multi-user.target\n")
    assert tree(tmp_path) == set(written) == set(confirm.files("tb1"))
    assert written == confirm.install(tmp_path, TRIAL, b"#!/bin/sh\n", "target multi-user.target\n")


def test_the_units_act_only_for_this_trial(tmp_path: Path) -> None:
    confirm.install(tmp_path, TRIAL, b"", "")
    for unit in ("twinboot-confirm.service", "twinboot-deadline.service"):
        text = (tmp_path / "etc/systemd/system" / unit).read_text()
        assert "ConditionKernelCommandLine=twinboot.trial=tb1\n" in text and "@" not in text
        wants = tmp_path / "etc/systemd/system/sysinit.target.wants" / unit
        assert wants.resolve() == tmp_path / "etc/systemd/system" / unit
    deadline = (tmp_path / "etc/systemd/system/twinboot-deadline.service").read_text()
    assert "DefaultDependencies=no" in deadline and "IgnoreOnIsolate=yes" in deadline
    assert "shutdown.target" not in deadline


def test_the_note_names_the_way_back(tmp_path: Path) -> None:
    confirm.install(tmp_path, TRIAL, b"", "")
    note = (tmp_path / confirm.NOTE).read_text()
    assert "dd if=/boot/twinboot/tb1/env.rolledback of=/boot/twinboot/env bs=512 count=1" in note
    assert "Previous system" in note and all(f"/{path}" in note for path in confirm.files("tb1"))
    assert "@" not in note


def test_the_note_says_how_the_default_goes_back_where_one_is_turned(tmp_path: Path) -> None:
    confirm.install(tmp_path, TRIAL, b"", "")
    assert "set-default" not in (tmp_path / confirm.NOTE).read_text()
    confirm.install(tmp_path, dataclasses.replace(TRIAL, default=256), b"", "")
    assert "btrfs subvolume set-default 256 /" in (tmp_path / confirm.NOTE).read_text()
    assert "default 256\n" in (tmp_path / confirm.home("tb1") / "conf").read_text()


def test_remove_takes_out_all_of_it_twice(tmp_path: Path) -> None:
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/systemd/system/ssh.service").write_text("theirs")
    confirm.install(tmp_path, TRIAL, b"", "")
    (tmp_path / confirm.KEEP).unlink()
    confirm.remove(tmp_path, "tb1")
    confirm.remove(tmp_path, "tb1")
    assert tree(tmp_path) == {"etc/systemd/system/ssh.service"}


@pytest.mark.parametrize("folder", ["usr/lib/twinboot", "etc/systemd", "var/lib", "root"])
def test_a_linked_folder_is_not_followed_out_of_the_volume(tmp_path: Path, folder: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (root / folder).parent.mkdir(parents=True, exist_ok=True)
    (root / folder).symlink_to(outside)
    with pytest.raises(BootConfigFailed, match="symbolic link"):
        confirm.install(root, TRIAL, b"", "")
    assert not list(outside.iterdir())


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if not Path("/usr/bin/systemd-analyze").exists():
        pytest.skip("needs systemd-analyze")
    confirm.install(tmp_path, TRIAL, b"#!/bin/sh\n", "")
    units = [
        str(tmp_path / "etc/systemd/system" / u)
        for u in ("twinboot-confirm.service", "twinboot-deadline.service")
    ]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "twinboot" in line]
    assert not ours, ours


def test_a_run_without_limits_of_its_own_gets_those_that_a_person_is_told(tmp_path: Path) -> None:
    (tmp_path / "tb1").mkdir()
    (tmp_path / "tb1/conf").write_text("mode auto\n")
    judge, *_ = confirm.parts()
    asked = f"""{judge}
CONFIRM_HOME={tmp_path}
confirm_mkconfig tb1
confirm_value "$CONFIRM_HOME/tb1/conf" deadline "$CONFIRM_DEADLINE"
"""
    said = subprocess.run(["sh", "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    assert [int(word) for word in said] == [limits.MKCONFIG, limits.DEADLINE]
    assert (TRIAL.mkconfig, TRIAL.deadline) == (limits.MKCONFIG, limits.DEADLINE)


def test_the_shell_has_its_limits_from_nowhere_else() -> None:
    script = "\n".join(confirm.parts())
    for value in (limits.DEADLINE, limits.MKCONFIG):
        assert len(re.findall(rf"\b{value}\b", script)) == 1, f"{value} stands in one place of the script"
