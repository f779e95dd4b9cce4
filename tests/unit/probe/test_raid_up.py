"""A mirror brought up for writing: all its legs or none, whatever it is cut by."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import CommandFailed, Refused
from appliance.probe.raid_up import bring_up
from tests.unit.probe.fake_md import LAYER, LEGS, NAME, FakeMd


def test_it_is_started_reading_only_looked_at_and_then_written_by(tmp_path: Path) -> None:
    md = FakeMd(tmp_path)
    bring_up(md, LAYER, tmp_path)
    verbs = [line.split()[:2] for line in md.ran]
    assert verbs == [["mdadm", "--assemble"], ["mdadm", "--readwrite"], ["dmsetup", "create"]]
    assert md.mapped == {NAME: f"0 {64 << 11} linear /dev/md127 0\n"}, "by the array, never by a leg"


def test_what_was_shown_by_a_leg_gives_way_to_the_array(tmp_path: Path) -> None:
    """A /boot that is an array is read so, before anything is written."""
    md = FakeMd(tmp_path)
    md.mapped[NAME] = "0 131072 linear /dev/vda4 2048\n"
    bring_up(md, LAYER, tmp_path)
    verbs = [line.split()[:2] for line in md.ran]
    assert verbs == [
        ["dmsetup", "remove"],
        ["mdadm", "--assemble"],
        ["mdadm", "--readwrite"],
        ["dmsetup", "create"],
    ]
    assert md.mapped == {NAME: f"0 {64 << 11} linear /dev/md127 0\n"}


def test_up_it_is_only_looked_at(tmp_path: Path) -> None:
    md = FakeMd(tmp_path)
    bring_up(md, LAYER, tmp_path)
    before = list(md.ran)
    bring_up(md, LAYER, tmp_path)
    assert md.ran == before
    md.file("dev-vdb2/state").write_text("faulty\n")
    md.file("degraded").write_text("1\n")
    with pytest.raises(Refused, match="ledger:0 is degraded: /dev/vdb2 is not in it"):
        bring_up(md, LAYER, tmp_path)
    assert md.ran == before and md.mapped, "what is at work goes on"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("degraded", "1", "is degraded: a leg is not in it"),
        ("dev-vda4/state", "faulty", "is degraded: /dev/vda4 is not in it"),
        ("dev-vdb2/state", "spare", "is degraded: /dev/vdb2 is not in it"),
        ("sync_action", "recover", "is being put in step"),
        ("resync_start", "0", "is being put in step"),
    ],
)
def test_one_that_is_not_whole_is_stopped_before_it_writes(
    name: str, value: str, said: str, tmp_path: Path
) -> None:
    md = FakeMd(tmp_path, {name: value})
    with pytest.raises(Refused, match=said):
        bring_up(md, LAYER, tmp_path)
    assert [line.split()[1] for line in md.ran] == ["--assemble", "--stop"]
    assert md.mapped == {}


def test_one_of_another_length_is_stopped(tmp_path: Path) -> None:
    md = FakeMd(tmp_path)
    md.up()
    (tmp_path / "sys/block/md127/size").write_text("8\n")
    with pytest.raises(Refused, match="not as long"):
        bring_up(md, LAYER, tmp_path)
    assert [line.split()[1] for line in md.ran] == ["--stop"]


def test_write_mostly_is_in_step(tmp_path: Path) -> None:
    md = FakeMd(tmp_path, {"dev-vdb2/state": "in_sync,write_mostly"})
    bring_up(md, LAYER, tmp_path)
    assert md.mapped


def test_one_that_does_not_start_is_an_error(tmp_path: Path) -> None:
    md = FakeMd(tmp_path, refuses="--assemble")
    with pytest.raises(CommandFailed):
        bring_up(md, LAYER, tmp_path)
    assert md.mapped == {}


@pytest.mark.parametrize("cut", range(3))
def test_cut_before_any_command_the_next_try_brings_it_up(cut: int, tmp_path: Path) -> None:
    """An engine that was killed: what it had started is still up."""
    md = FakeMd(tmp_path, fail_at=cut)
    with pytest.raises(CommandFailed):
        bring_up(md, LAYER, tmp_path)
    md.fail_at = -1
    bring_up(md, LAYER, tmp_path)
    assert list(md.mapped) == [NAME]
    assert sum("--assemble" in line for line in md.ran) == 1


def test_a_leg_s_other_holders_are_no_array(tmp_path: Path) -> None:
    md = FakeMd(tmp_path)
    holders = tmp_path / "sys/class/block" / Path(LEGS[0]).name / "holders"
    holders.mkdir(parents=True)
    (holders / "dm-3").touch()
    md.refuses = "--assemble"
    with pytest.raises(CommandFailed):
        bring_up(md, LAYER, tmp_path)
