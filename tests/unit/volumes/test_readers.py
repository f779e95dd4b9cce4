"""What LVM and thin_delta print, read strictly; tags both ways; refusals as sentences."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import (
    ApplianceError,
    CommandFailed,
    DamagedData,
    HistoryUnread,
    OutOfSpace,
    TwinFailed,
)
from appliance.host.run import Command, Output
from appliance.model.machine import LogicalVolume, mapper_path
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.choose import choose_store, why_no_store
from appliance.volumes.lvm_report import COLUMNS, parse_rows
from appliance.volumes.lvm_thin import LvmThinStore
from appliance.volumes.state import NAME, SIZE, StateVolume, why_no_state
from appliance.volumes.tags import read_tags, tags_of
from appliance.volumes.thin_delta import parse_delta
from tests.contract.fake_lvm import FakeLvm
from tests.contract.stores import fake_thin, thin_group
from tests.unit.twin.machines import made, recorded

DELTA = (
    '<superblock uuid="" time="3" transaction="5" data_block_size="128" nr_data_blocks="81920">'
    '<diff left="1" right="3"><same begin="0" length="20"/><different begin="20" length="3"/>'
    '<left_only begin="50" length="1"/><right_only begin="60" length="2"/></diff></superblock>'
)


def test_a_difference_is_what_is_not_the_same_on_both_sides() -> None:
    found = parse_delta(DELTA)
    assert (found.bytes, found.block) == (6 * 65536, 65536)
    assert found
    assert not parse_delta(
        DELTA.replace("different", "same").replace("left_only", "same").replace("right_only", "same")
    )


@pytest.mark.parametrize(
    "text", ["", "<x/>", "<superblock/>", DELTA[:200], DELTA.replace('length="3"', 'length="x"')]
)
def test_a_difference_that_does_not_read_is_never_no_difference(text: str) -> None:
    with pytest.raises(DamagedData):
        parse_delta(text)


@given(st.text(max_size=300))
@settings(deadline=None)
def test_noise_in_place_of_a_report_is_an_error_of_ours(text: str) -> None:
    for reader in (parse_rows, parse_delta):
        try:
            reader(text)
        except DamagedData:
            continue


def _row(**changes: str) -> str:
    row = dict.fromkeys(COLUMNS, "") | {"lv_name": "x", "lv_size": "4194304"} | changes
    return json.dumps({"report": [{"lv": [row]}]})


def test_a_row_of_a_pool_that_is_down_says_no_percentage() -> None:
    row = parse_rows(_row(segtype="thin-pool"))[0]
    assert row.data_percent < 0 and row.metadata_percent < 0 and not row.active


def test_tags_are_split_and_flags_read() -> None:
    row = parse_rows(
        _row(
            lv_tags="a,b=c",
            lv_active="active",
            lv_permissions="read-only",
            lv_skip_activation="skip activation",
        )
    )[0]
    assert row.tags == {"a", "b=c"} and row.active and not row.writable and row.skip_activation


NAMES = st.from_regex(r"[A-Za-z0-9_.+-]{1,20}", fullmatch=True)


@given(NAMES, NAMES, st.sampled_from(list(SnapshotRole)))
@settings(deadline=None)
def test_tags_say_all_of_a_snapshot(run: str, origin: str, role: SnapshotRole) -> None:
    snapshot = Snapshot("vg0", "lv", origin, run, role)
    assert read_tags("vg0", "lv", tags_of(snapshot)) == snapshot


@pytest.mark.parametrize(
    "tags", [[], ["twinboot.role=work"], ["twinboot"], ["twinboot", "twinboot.role=other"]]
)
def test_a_volume_without_all_our_tags_is_not_ours(tags: list[str]) -> None:
    assert read_tags("vg0", "lv", tags) is None


def test_hyphens_are_doubled_in_device_names() -> None:
    assert mapper_path("my-vg", "root-tb1") == "/dev/mapper/my--vg-root--tb1"


@pytest.mark.parametrize(
    ("data", "metadata", "missing", "expected", "word"),
    [
        (10.0, 5.0, 0, 0, ""),
        (79.0, 5.0, 0, 65536, ""),
        (79.0, 5.0, 0, 30 * 65536, "about 1 MiB into the thin pool vg0/pool, which has 0 MiB free up to"),
        (10.0, 5.0, 0, 2**30, "about 1024 MiB into the thin pool vg0/pool, which has 43 MiB free up to"),
        (81.0, 5.0, 0, 0, "81 % full"),
        (10.0, 76.0, 0, 0, "metadata"),
        (10.0, 5.0, 1, 0, "lacks 1"),
    ],
)
def test_a_pool_without_room_is_refused_in_a_sentence(data, metadata, missing, expected, word) -> None:
    store = LvmThinStore(FakeLvm(), thin_group(data, metadata, missing), (), "pool")
    reasons = store.why_not(expected)
    assert (len(reasons) == 1 and word in reasons[0]) if word else reasons == ()
    assert all(reason.endswith(".") for reason in reasons)
    assert store.host.commands == []


def test_no_room_is_told_apart_from_other_failures() -> None:
    class Full(FakeLvm):
        def _lvcreate(self, argv: list[str]) -> str:
            raise ValueError("Free space in pool vg0/pool is above threshold, new volumes are not allowed.")

    lvm = Full()
    lvm.add("root", 65536, 1)
    store = LvmThinStore(lvm, thin_group(), (), "pool")
    with pytest.raises(OutOfSpace):
        store.create(Snapshot("vg0", "base", "root", "tb1", SnapshotRole.BASE))


def test_the_reservation_is_let_go_when_the_comparison_fails() -> None:
    bench = fake_thin()
    base = Snapshot("vg0", "base", "root", "tb1", SnapshotRole.BASE)
    bench.store.create(base)

    def fails(argv: list[str]) -> str:
        raise ValueError("thin_delta: bad checksum")

    bench.lvm._thin_delta = fails
    with pytest.raises(ApplianceError):
        bench.store.changed_since("root", base)
    assert not bench.lvm.reserved


def test_the_store_is_chosen_for_thin_roots_only() -> None:
    machine = made({"root": 4}, {}, {}, [40])
    assert why_no_store(machine, machine.systems[0]) == ()
    assert isinstance(choose_store(FakeLvm(), machine, machine.systems[0]), LvmThinStore)


@pytest.mark.parametrize("name", ["thin-bios", "thin-uefi"])
def test_recorded_machines_have_a_store(name: str) -> None:
    machine = recorded(name)
    assert why_no_store(machine, machine.systems[0]) == ()
    assert why_no_state(machine.volume_groups[0]) == ()


def test_no_room_for_the_state_volume_is_a_sentence() -> None:
    group = msgspec.structs.replace(thin_group(), free_count=15)
    assert "no room outside its pool" in why_no_state(group)[0]
    foreign = LogicalVolume(name=NAME, uuid="x", size=SIZE, segtype="linear")
    assert "not ours" in why_no_state(msgspec.structs.replace(group, lvs=(foreign,)))[0]
    ours = msgspec.structs.replace(foreign, tags=("twinboot",))
    assert why_no_state(msgspec.structs.replace(group, lvs=(ours,))) == ()


class StateHost:
    """One linear volume, its label, and whether it is mounted; `made_by` names its maker."""

    def __init__(self, free: int = SIZE, tags: str = "", label: str = "", there: bool = False) -> None:
        self.free, self.tags, self.label, self.there, self.mounted = free, tags, label, there, False
        self.ran: list[str] = []
        self.fails: dict[str, int] = {}

    def run(self, command: Command) -> Output:
        program = command.argv[0]
        self.ran.append(program)
        if (status := self.fails.get(program, 0)) not in command.ok:
            raise CommandFailed(f"{program} ended with status {status}.")
        match program:
            case "lvs":
                rows = [dict.fromkeys(COLUMNS, "") | {"lv_name": "root", "vg_free": str(self.free)}]
                if self.there:
                    rows.append(rows[0] | {"lv_name": NAME, "lv_tags": self.tags, "lv_active": "active"})
                return Output(0, json.dumps({"report": [{"lv": rows}]}))
            case "lvcreate":
                self.there = True
                self.tags = ",".join(
                    command.argv[i + 1] for i, w in enumerate(command.argv) if w == "--addtag"
                )
            case "lvchange" if "--addtag" in command.argv:
                self.tags += "," + command.argv[command.argv.index("--addtag") + 1]
            case "lvremove":
                self.there = False
            case "blkid":
                return Output(0 if self.label else 2, self.label)
            case "mkfs.ext4":
                self.label = "TWINBOOT-STATE"
            case "mount":
                self.mounted = True
            case "umount":
                self.mounted = False
            case "findmnt":
                return Output(
                    0 if self.mounted else 1, f"{mapper_path('vg0', NAME)}\n" if self.mounted else ""
                )
        return Output(0, "")


def test_the_state_volume_is_made_once(tmp_path) -> None:
    host = StateHost()
    state = StateVolume(host, "vg0", ())
    assert not state.exists()
    state.ensure()
    state.ensure()
    assert host.ran.count("lvcreate") == host.ran.count("mkfs.ext4") == 1
    state.mount(tmp_path)
    state.mount(tmp_path)
    assert host.ran.count("mount") == 1
    state.unmount(tmp_path)
    state.unmount(tmp_path)
    assert host.ran.count("umount") == 1


@pytest.mark.parametrize(("program", "status"), [("e2fsck", 4), ("e2fsck", 8), ("mount", 32)])
def test_a_history_with_errors_is_not_mended_by_guess(tmp_path: Path, program: str, status: int) -> None:
    """4: errors were left, 8: it could not run (e2fsck(8)); 32: it does not mount (mount(8))."""
    host = StateHost(there=True, tags="twinboot,twinboot.role=state", label="TWINBOOT-STATE")
    host.fails = {program: status}
    with pytest.raises(HistoryUnread, match=r"/dev/mapper/vg0-twinboot--state.*cannot be read"):
        StateVolume(host, "vg0", ()).mount(tmp_path)
    assert not host.mounted and "mkfs.ext4" not in host.ran
    host.fails = {}
    assert StateVolume(host, "vg0", ()).mount(tmp_path) == tmp_path


def test_cut_between_volume_and_file_system_it_is_finished() -> None:
    host = StateHost(there=True, tags="twinboot,twinboot.role=state")
    StateVolume(host, "vg0", ()).ensure()
    assert host.ran.count("lvcreate") == 0 and host.ran.count("mkfs.ext4") == 1
    assert host.tags == "twinboot,twinboot.role=state,twinboot.made"


def test_cut_between_file_system_and_tag_it_is_only_tagged() -> None:
    """So is a volume that an older Twinboot made."""
    host = StateHost(there=True, tags="twinboot,twinboot.role=state", label="TWINBOOT-STATE")
    StateVolume(host, "vg0", ()).ensure()
    StateVolume(host, "vg0", ()).ensure()
    assert "mkfs.ext4" not in host.ran and host.tags.count("twinboot.made") == 1


def test_a_history_whose_super_block_is_lost_is_not_made_anew() -> None:
    host = StateHost()
    state = StateVolume(host, "vg0", ())
    state.ensure()
    host.label = ""
    with pytest.raises(HistoryUnread, match="lost its super block"):
        state.ensure()
    assert host.ran.count("mkfs.ext4") == 1


@pytest.mark.parametrize("act", ["ensure", "exists", "delete"])
def test_a_foreign_volume_of_that_name_is_left_alone(act: str) -> None:
    host = StateHost(there=True, tags="theirs", label="DATA")
    with pytest.raises(TwinFailed):
        getattr(StateVolume(host, "vg0", ()), act)()
    assert host.there and host.label == "DATA" and "mkfs.ext4" not in host.ran


def test_no_room_is_said_before_anything_is_made() -> None:
    host = StateHost(free=SIZE - 1)
    with pytest.raises(OutOfSpace):
        StateVolume(host, "vg0", ()).ensure()
    assert not host.there
