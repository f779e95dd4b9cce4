"""What a SnapshotStore that puts data back promises of it: one write, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.errors import CommandFailed, Refused, TwinFailed
from appliance.volumes.base import PutBack, SnapshotRole
from appliance.volumes.btrfs_disk import Mounted
from tests.contract.conftest import BENCHES, each
from tests.contract.dark import PowerCut
from tests.contract.real_btrfs import BtrfsBench
from tests.contract.stores import Bench, snapshot

THIN = [name for name in BENCHES if "thin" in name]
BTRFS = [name for name in BENCHES if "btrfs" in name]


@pytest.fixture(params=each([*THIN, *BTRFS]))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = BENCHES[request.param]()
    yield made
    made.close()


only_thin = pytest.mark.parametrize("bench", each(THIN), indirect=True)
only_btrfs = pytest.mark.parametrize("bench", each(BTRFS), indirect=True)


def _data(bench: Bench, run: str = "tb1") -> PutBack:
    """The volume `root` played as data, with its safety snapshot taken and one block written since."""
    safety = snapshot(bench, f"{run}-safety", "root", SnapshotRole.SAFETY, run)
    undone = snapshot(bench, f"{run}-undone", "root", SnapshotRole.UNDONE, run)
    bench.store.create(safety)
    bench.write("root", 1)
    return PutBack(safety, undone)


def test_data_goes_back_in_one_write_and_nothing_written_since_is_lost(bench: Bench) -> None:
    data = _data(bench)
    before, since = bench.content("tb1-safety"), bench.content("root")
    assert bench.store.why_not_put_back((data,)) == ()
    bench.store.create(data.undone)
    assert not bench.store.is_put_back(data)
    for _ in range(2):
        bench.store.put_back(data)
        assert bench.store.is_put_back(data)
        assert (bench.content("root"), bench.content("tb1-undone")) == (before, since)
        assert bench.names() == {"root", "tb1-undone"}
        assert bench.store.ours() == (data.undone,)
    bench.write("root", 2)
    assert bench.content("tb1-undone") == since, "what was put away is a volume of its own"
    bench.store.delete(data.undone)
    assert bench.names() == {"root"}


@only_thin
def test_cut_right_after_that_write_the_data_is_whole_and_comes_up_by_itself(bench: Bench) -> None:
    data = _data(bench)
    before, since = bench.content("tb1-safety"), bench.content("root")
    bench.store.create(data.undone)
    with pytest.raises(PowerCut):
        bench.dark_after("lvconvert").put_back(data)
    assert (bench.content("root"), bench.content("tb1-undone")) == (before, since)
    assert bench.autoactivates("root") and not bench.autoactivates("tb1-undone")
    bench.write("root", 3)
    assert bench.store.is_put_back(data), "nothing is left to do: tags and flags are the volume's own"


def test_what_was_written_after_it_was_put_away_stays_in_the_data(bench: Bench) -> None:
    data = _data(bench)
    bench.store.create(data.undone)
    bench.write("root", 2)
    now = bench.content("root")
    with pytest.raises(Refused, match="was written to since tb1-undone was taken"):
        bench.store.put_back(data)
    assert bench.content("root") == now and not bench.store.is_put_back(data)
    assert bench.names() == {"root", "tb1-safety", "tb1-undone"}


def test_data_is_not_put_back_before_it_was_put_away(bench: Bench) -> None:
    data = _data(bench)
    now = bench.content("root")
    with pytest.raises(TwinFailed, match="tb1-undone does not exist"):
        bench.store.put_back(data)
    assert bench.content("root") == now and bench.names() == {"root", "tb1-safety"}


@only_thin
@pytest.mark.parametrize("held", ["root", "tb1-safety"])
def test_data_in_use_is_refused_and_never_put_back_later_by_itself(bench: Bench, held: str) -> None:
    data = _data(bench)
    bench.store.create(data.undone)
    now = bench.content("root")
    with bench.in_use(held):
        assert any(f"{held} is in use" in text for text in bench.store.why_not_put_back((data,)))
        with pytest.raises(CommandFailed):
            bench.store.put_back(data)
    assert bench.content("root") == now and bench.names() == {"root", "tb1-safety", "tb1-undone"}


def test_every_reason_against_putting_data_back_is_said_at_once(bench: Bench) -> None:
    first, second = _data(bench), _data(bench, "tb2")
    bench.store.create(second.undone)
    gone = PutBack(
        snapshot(bench, "tb3-safety", "nothing", SnapshotRole.SAFETY, "tb3"),
        snapshot(bench, "tb3-undone", "nothing", SnapshotRole.UNDONE, "tb3"),
    )
    bench.foreign("tb4-safety")
    bench.foreign("tb4-undone")
    foreign = PutBack(
        snapshot(bench, "tb4-safety", "root", SnapshotRole.SAFETY, "tb4"),
        snapshot(bench, "tb4-undone", "root", SnapshotRole.UNDONE, "tb4"),
    )
    assert bench.store.why_not_put_back((first,)) == ()
    said = bench.store.why_not_put_back((second, gone, foreign))
    assert [text.removeprefix(f"{bench.vg}/") for text in said] == [
        "tb2-undone keeps what an earlier roll back of tb2 took away: "
        "retire tb2 before its data goes back once more.",
        f"The data volume {bench.vg}/nothing is not there.",
        f"There is no safety snapshot {bench.vg}/tb3-safety of {bench.vg}/nothing.",
        "tb4-safety is not the safety snapshot of tb4.",
        f"A volume {bench.vg}/tb4-undone exists and is not ours.",
    ]


@only_thin
def test_a_second_safety_snapshot_cannot_go_back_once_another_did(bench: Bench) -> None:
    """LVM merges a snapshot into the volume it knows as its origin; the merged volume is a new one to it."""
    first, second = _data(bench), _data(bench, "tb2")
    bench.store.create(second.undone)
    bench.store.put_back(second)
    (said,) = bench.store.why_not_put_back((first,))
    assert "no longer knows" in said and "tb1-safety" in said
    now = bench.content("root")
    bench.store.create(first.undone)
    with pytest.raises(CommandFailed):
        bench.store.put_back(first)
    assert bench.content("root") == now
    assert bench.names() == {"root", "tb1-safety", "tb1-undone", "tb2-undone"}


@only_btrfs
@pytest.mark.parametrize("cut", ["property", "change", "filesystem", "delete"])
def test_cut_between_its_writes_the_data_is_one_or_the_other_and_what_is_left_is_done(
    bench: Bench, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change of places is the one write that decides; what is done before and after shows in no data."""
    data = _data(bench)
    before, since = bench.content("tb1-safety"), bench.content("root")
    bench.store.create(data.undone)
    write, change = Mounted._write, Mounted.change_places

    def dark(mounted: Mounted, *words: str, limit: float = 600.0) -> None:
        write(mounted, *words, limit=limit)
        if words[0] == cut or (cut == "delete" and words[:2] == ("subvolume", "delete")):
            raise PowerCut

    def dark_before(mounted: Mounted, one: str, other: str) -> None:
        if cut == "change":
            raise PowerCut
        change(mounted, one, other)

    with monkeypatch.context() as patched, pytest.raises(PowerCut):
        patched.setattr(Mounted, "_write", dark)
        patched.setattr(Mounted, "change_places", dark_before)
        bench.store.put_back(data)
    changed = cut in ("filesystem", "delete")
    assert bench.content("root") == (before if changed else since)
    assert bench.store.exists(data.safety) != changed, "it is the data, or still what the data was"
    assert bench.content("tb1-undone") == since
    bench.store.put_back(data)
    assert bench.store.is_put_back(data)
    assert (bench.content("root"), bench.content("tb1-undone")) == (before, since)
    assert bench.names() == {"root", "tb1-undone"}
    bench.write("root", 3)


@only_btrfs
def test_a_safety_snapshot_goes_back_after_another_one_did(bench: Bench) -> None:
    first, second = _data(bench), _data(bench, "tb2")
    before = bench.content("tb1-safety")
    for data in (second, first):
        assert bench.store.why_not_put_back((data,)) == ()
        bench.store.create(data.undone)
        bench.store.put_back(data)
    assert bench.content("root") == before
    assert bench.names() == {"root", "tb1-undone", "tb2-undone"}


@only_btrfs
def test_a_safety_snapshot_that_somebody_deleted_is_missed_before_anything_is_written(bench: Bench) -> None:
    assert isinstance(bench, BtrfsBench)
    data = _data(bench)
    with bench.store.disk.writing() as mounted:
        mounted.delete("twinboot/tb1-safety")
    (said,) = bench.store.why_not_put_back((data,))
    assert said.startswith("There is no safety snapshot ")


@only_btrfs
def test_data_with_subvolumes_inside_it_is_not_put_back(bench: Bench) -> None:
    assert isinstance(bench, BtrfsBench)
    data = _data(bench)
    with bench.store.disk.writing() as mounted:
        mounted.create("root/inside")
    (said,) = bench.store.why_not_put_back((data,))
    assert said.startswith("root has subvolumes inside it (inside)")
