"""/var on a volume of its own: what lies there is read there, and what keeps it from being rehearsed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance.model.machine import Role
from appliance.probe import hardware, obstacles
from appliance.probe.packages import read_packages
from tests.unit.probe.recorded import RecordedMachine
from tests.unit.probe.test_machine import ROOT, look, only, play

SRV = ROOT + 1
"""The number of the shown device of what is /srv on the recorded machine, and /var here."""


def with_var(machine: RecordedMachine, spec: str = "/dev/mapper/vg0-srv", target: str = "/var") -> None:
    root, other = (machine.trees / f"twinboot-probe-{number}" for number in (ROOT, SRV))
    shutil.move(root / target.strip("/"), other)
    (root / target.strip("/")).mkdir()
    fstab = root / "etc/fstab"
    lines = [line for line in fstab.read_text().splitlines() if " /srv " not in line]
    fstab.write_text("\n".join([*lines, f"{spec} {target} ext4 defaults 0 2", ""]))


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedMachine:
    monkeypatch.setattr(hardware, "kvm_answers", lambda _: True)
    return play("thin-bios", tmp_path)


def refusing(machine: RecordedMachine) -> list[str]:
    return [t.code for t in only(look(machine)).trouble if t.refuses]


def test_the_package_database_is_read_where_it_lies(recorded: RecordedMachine) -> None:
    whole = only(look(recorded))
    with_var(recorded)
    found = only(look(recorded))
    assert found.packages == whole.packages and found.package_manager == "apt"
    assert [(v.target, v.lv, v.role) for v in found.beside_root] == [("/var", "srv", Role.SET)]
    assert [t.code for t in found.trouble if t.refuses] == []
    table = read_packages(recorded, look(recorded), found, recorded.root)
    assert len(table.packages) == whole.packages.count
    assert recorded.left() == []


def test_what_has_not_been_seen_to_go_round_is_refused(
    recorded: RecordedMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_var(recorded)
    assert refusing(recorded) == []
    monkeypatch.setattr(obstacles, "BESIDE_THE_ROOT", frozenset({"/opt"}))
    assert refusing(recorded) == ["set-outside"]


def test_one_that_fstab_names_by_uuid_is_refused_as_its_snapshot_bears_the_same(
    recorded: RecordedMachine,
) -> None:
    with_var(recorded, "UUID=c4e1f7b0-6d28-4c93-b5a9-0f3e8d7a2b16")
    (said,) = [t for t in only(look(recorded)).trouble if t.refuses]
    assert said.code == "set-by-tag"
    assert "name it by its path, /dev/mapper/vg0-srv, in /etc/fstab" in said.sentence


def test_two_lines_for_one_place_are_refused(
    recorded: RecordedMachine,
) -> None:
    with_var(recorded)
    fstab = recorded.trees / f"twinboot-probe-{ROOT}/etc/fstab"
    fstab.write_text(fstab.read_text() + "/dev/mapper/vg0-srv /var ext4 ro 0 2\n")
    assert set(refusing(recorded)) == {"set-twice"}


@pytest.mark.parametrize("how", ["does not mount", "no folder"])
def test_a_volume_of_the_set_that_can_not_be_read_refuses_and_leaves_nothing(
    recorded: RecordedMachine, how: str
) -> None:
    with_var(recorded)
    if how == "no folder":
        at = recorded.trees / f"twinboot-probe-{ROOT}/var"
        at.rmdir()
        at.symlink_to("/srv")
    else:
        recorded.fails.add(f"mount twinboot-probe-{SRV}")
    assert "set-unreadable" in refusing(recorded)
