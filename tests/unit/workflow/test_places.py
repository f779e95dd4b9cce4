"""What the state volume remembers: which act made a run, and what a failed one found out."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import NeedsRescue, OutOfSpace
from appliance.host.files import mounted, write_atomic
from appliance.host.run import Command, Output, RealHost, write
from appliance.model.codec import to_json
from appliance.model.plan import RepairKind, Request, Verb
from appliance.volumes.state import StateVolume
from appliance.workflow.journal import Journal
from appliance.workflow.places import Places
from tests.unit.workflow.test_promote_plan import MISSING, REHEARSED, with_trial
from tests.unit.workflow.test_repair_plan import broken, plan

usage = namedtuple("usage", "total used free")
DEAD = "TWIN-01 The twin does not boot: its kernel panics."


def act(places: Places, name: str, *records: tuple[str, str, str]) -> Path:
    folder = places.runs / name
    folder.mkdir(parents=True)
    journal = Journal.open(folder / "journal.jsonl")
    for what, step, detail in records:
        journal.add(what, step, detail)
    return folder


def records(places: Places, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """run → finding."""

    class Host:
        def run(self, command: Command) -> Output:
            raise AssertionError("nothing is run to read what is mounted")

    monkeypatch.setattr(Places, "mount", lambda self, host, machine: True)
    return {r.run: r.finding for r in places.records(Host(), broken())}


def test_only_a_boot_of_the_system_as_it_is_or_mended_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path)
    control = (("begin", "twin", ""), ("end", "twin", ""), ("begin", "control", ""))
    act(places, "tb1/rehearse-1", *control, ("undone", "control", ""), ("failed", "", DEAD))
    act(places, "tb2/repair-1", ("begin", "initrd", ""), ("begin", "repaired", ""), ("failed", "", DEAD))
    act(places, "tb3/rehearse-1", *control, ("begin", "patched", ""), ("failed", "", DEAD))
    act(places, "tb4/rehearse-1", *control, ("refused", "", ""))
    act(places, "tb5/rehearse-1", *control, ("failed", "", "CANCEL-01 The run was cancelled."))
    act(places, "tb6/rehearse-1", *control)
    said = "The twin does not boot: its kernel panics."
    assert records(places, monkeypatch) == {
        "tb1": said,
        "tb2": said,
        **dict.fromkeys(("tb3", "tb4", "tb5", "tb6"), ""),
    }


def test_what_a_run_s_system_names_and_is_not_here_is_read_with_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the promotion will say it, before anybody asks for one."""
    places = Places(tmp_path)
    for run in ("tb1", "tb2"):
        act(places, f"{run}/rehearse-1", ("end", "tidy", ""))
    (places.runs / "tb1/rehearse-1/plan.json").write_bytes(to_json(REHEARSED))
    monkeypatch.setattr(Places, "mount", lambda self, host, machine: True)
    found = {r.run: r.unfound for r in places.records(RealHost(), with_trial(MISSING))}
    assert found == {"tb1": (f"New in the patched system: {MISSING.sentence}",), "tb2": ()}


def test_looking_at_the_history_never_writes_to_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that looks torn may be one that the run's own thread is about to finish."""
    places = Places(tmp_path)
    file = act(places, "tb1/rehearse-1", ("begin", "twin", "")) / "journal.jsonl"
    with file.open("ab") as out:
        out.write(b'{"what":"end","st')
    before = file.read_bytes()
    assert records(places, monkeypatch) == {"tb1": ""}
    assert file.read_bytes() == before


def test_one_damaged_journal_does_not_hide_the_other_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path)
    act(places, "tb1/rehearse-1", ("begin", "control", ""), ("failed", "", DEAD))
    file = act(places, "tb2/rehearse-1", ("begin", "twin", "")) / "journal.jsonl"
    file.write_bytes(b"rubbish\n" + file.read_bytes())
    (places.runs / "tb1/verdict.json").write_text('{"result": "a word of a later version", "checks": []}')
    assert records(places, monkeypatch) == {"tb1": "The twin does not boot: its kernel panics.", "tb2": ""}


def test_a_repaired_run_is_promoted_by_the_plan_that_repaired_it(tmp_path: Path) -> None:
    places, made = Places(tmp_path), plan(RepairKind.FSCK)
    folder = act(places, "tb1/repair-1", ("done", "", ""))
    write_atomic(folder / "plan.json", to_json(made))
    assert places.plan("tb1") == made
    with pytest.raises(NeedsRescue):
        places.plan("tb2")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_a_killed_engine_left_mounted_for_a_run_is_unmounted(tmp_path: Path) -> None:
    """Else its volumes are in use and cannot be undone. What the appliance stands on stays."""
    host, left, stays = (
        RealHost(),
        ("boot", "tb1/trial", "tb1/copy", "tb1/copy/run"),
        ("state", "data", "live"),
    )
    for name in sorted((*left, *stays)):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        host.run(write("mount", "-t", "tmpfs", "tmpfs", str(tmp_path / name)))
    try:
        Places(tmp_path).unmount_leftovers(host)
        assert [n for n in (*left, *stays) if (tmp_path / n).is_mount()] == list(stays)
    finally:
        for name in stays:
            host.run(write("umount", str(tmp_path / name)))


def test_a_history_that_is_nearly_full_begins_no_run_and_still_takes_a_roll_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way back needs a journal: no rehearsal may take its last room."""
    for name in ("ensure", "mount"):
        monkeypatch.setattr(StateVolume, name, lambda *_: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(64 << 20, (64 << 20) - 500_000, 500_000))
    places, made = Places(tmp_path), plan(RepairKind.FSCK)
    with pytest.raises(OutOfSpace, match="twinboot-state"):
        places.open_run(RealHost(), broken(), made)
    back = replace(made, request=Request(verb=Verb.ROLLBACK, run="tb1"))
    assert places.open_run(RealHost(), broken(), back).is_dir()


def test_a_plan_of_another_version_tells_the_other_ways_back(tmp_path: Path) -> None:
    """ "Delete it to start afresh" would be the end of every way back that the console has."""
    places = Places(tmp_path)
    folder = act(places, "tb1/repair-1", ("done", "", ""))
    newer = to_json(plan(RepairKind.FSCK)).replace(b'{"', b'{"a_word_of_a_later_version":1,"', 1)
    write_atomic(folder / "plan.json", newer)
    with pytest.raises(NeedsRescue, match="a_word_of_a_later_version") as said:
        places.plan("tb1")
    assert "version of Twinboot that made it" in said.value.next_actions[0]
    assert "TWINBOOT.txt" in said.value.next_actions[1]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_boot_that_a_killed_engine_left_frozen_takes_writes_again(tmp_path: Path) -> None:
    """A frozen file system stays so when it is unmounted and mounted anew: each write to it would hang."""
    host, image, at = RealHost(), tmp_path / "image", tmp_path / "boot"
    with image.open("wb") as out:
        out.truncate(8 << 20)
    at.mkdir()
    host.run(write("mkfs.ext4", "-q", "-F", str(image)))
    device = host.run(write("losetup", "-f", "--show", str(image))).stdout.strip()
    try:
        host.run(write("mount", "-t", "ext4", device, str(at)))
        host.run(write("fsfreeze", "--freeze", str(at)))
        Places(tmp_path).unmount_leftovers(host)
        with mounted(host, device, "ext4", at):
            host.run(write("touch", str(at / "written"), timeout=5))
    finally:
        host.run(write("fsfreeze", "--unfreeze", str(at), ok=frozenset({0, 1})))
        host.run(write("umount", "-q", str(at), ok=frozenset({0, 1, 32})))
        host.run(write("losetup", "-d", device))
