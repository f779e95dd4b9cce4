"""What a root on a partition promises besides: its witness outlives the appliance, its place may be taken."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replaced

from appliance.errors import Cancelled, CommandFailed, OutOfSpace, Refused, TwinFailed
from appliance.host.files import mounted
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.copied import Copied
from appliance.volumes.partition_disk import PartitionDisk, device_of
from appliance.volumes.partition_fs import look
from appliance.volumes.partition_state import PartitionHistory
from appliance.volumes.table import MIB, Extent
from tests.contract.conftest import REAL
from tests.contract.real_partition import (
    PartitionBench,
    played_named,
    played_partition,
    real_named,
    real_partition,
)

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root"),
]


BENCHES = {
    "free part": real_partition if REAL else played_partition,
    "named partition": real_named if REAL else played_named,
}


@pytest.fixture(params=sorted(BENCHES))
def bench(request: pytest.FixtureRequest) -> Iterator[PartitionBench]:
    made = BENCHES[request.param]()
    yield made
    made.close()


def snapshot(bench: PartitionBench, lv: str, origin: str, role: SnapshotRole, run: str = "tb1") -> Snapshot:
    return Snapshot(bench.vg, lv, origin, run, role)


def base(bench: PartitionBench) -> Snapshot:
    return snapshot(bench, "base", "root", SnapshotRole.BASE)


def trial(bench: PartitionBench) -> Snapshot:
    return snapshot(bench, "copy", "copy", SnapshotRole.TRIAL)


def sealed(bench: PartitionBench) -> Snapshot:
    """Up to the seal; block 5 is what the twin wrote."""
    work = snapshot(bench, "copy", "base", SnapshotRole.WORK)
    bench.store.create(base(bench))
    bench.store.create(work)
    bench.store.activate(work)
    bench.write("copy", 5)
    found = snapshot(bench, "copy", "copy", SnapshotRole.SEALED)
    bench.store.seal(work, found)
    return found


def data(device: str, bench: PartitionBench) -> list[bytes]:
    with Path(device).open("rb") as source:
        return [os.pread(source.fileno(), 4096, block * 4096) for block in bench.blocks]


def test_the_trial_is_what_was_sealed_and_a_file_system_of_its_own(bench: PartitionBench) -> None:
    heard: list[Copied] = []
    store = replace(bench.store, tell=heard.append)
    before = data(store.device(sealed(bench)), bench)
    store.create(trial(bench))
    device = store.activate(trial(bench))
    assert data(device, bench) == before != data(device_of(bench.loop, 1), bench)
    assert look(bench.host, device).uuid not in ("", bench.store.root.fsuuid)
    assert heard[-1].done == heard[-1].total < bench.store.root.size and heard[-1].left == 0


def test_a_copy_that_is_cancelled_leaves_nothing_and_is_made_anew(bench: PartitionBench) -> None:
    def stop(_: Copied) -> None:
        raise Cancelled("The run was cancelled.")

    found = sealed(bench)
    with pytest.raises(Cancelled):
        replace(bench.store, tell=stop).create(trial(bench))
    assert not bench.store.exists(trial(bench)) and bench.store.exists(found)
    bench.store.release_copies()
    assert not bench.active()
    bench.store.create(trial(bench))
    assert bench.store.exists(trial(bench))


def test_a_proof_is_taken_of_the_trial_and_leaves_it_alone(bench: PartitionBench) -> None:
    sealed(bench)
    bench.store.create(trial(bench))
    proof = snapshot(bench, "proof", "copy", SnapshotRole.PROOF)
    before = bench.content("copy")
    bench.store.create(proof)
    assert bench.content("proof") == before
    bench.store.activate(proof)
    bench.write("proof", 9)
    assert bench.content("proof") != before
    bench.store.release()
    assert not bench.active()
    bench.store.delete(proof)
    assert bench.content("copy") == before
    assert bench.names() == {"root", "base", "copy"}


def test_a_trial_is_looked_into_while_a_proof_stands_on_it(bench: PartitionBench) -> None:
    sealed(bench)
    bench.store.create(trial(bench))
    proof = snapshot(bench, "proof", "copy", SnapshotRole.PROOF)
    bench.store.create(proof)
    before = data(bench.store.activate(proof), bench)
    for looked_at in (trial(bench), snapshot(bench, "copy", "copy", SnapshotRole.SEALED)):
        bench.store.activate(looked_at)
        bench.store.deactivate(looked_at)
        assert bench.active() == {"proof", "copy"}
        assert data(bench.store.device(proof), bench) == before
    with pytest.raises(CommandFailed):
        bench.store.delete(trial(bench))
    bench.store.deactivate(proof)
    assert not bench.active()


def test_an_origin_that_was_written_to_is_not_sealed_against(bench: PartitionBench) -> None:
    sealed(bench)
    bench.write("root", 3)
    with pytest.raises(TwinFailed, match="was written to since base was taken"):
        bench.store.create(trial(bench))
    assert not bench.store.exists(trial(bench))


def test_the_next_appliance_knows_whether_the_old_system_has_run(bench: PartitionBench) -> None:
    sealed(bench)
    bench.store.create(trial(bench))
    bench.store.release()
    later = replace(bench.store, memory=bench.folder / "another")
    assert later.exists(base(bench)) and not later.changed_since("root", base(bench))
    assert {s.lv for s in later.ours()} == {"base", "copy"}
    assert later.activate(base(bench)) == device_of(bench.loop, 1)
    with mounted(bench.host, device_of(bench.loop, 1), "ext4", bench.folder / "at"):
        pass
    assert later.changed_since("root", base(bench))
    later.delete(base(bench))
    assert not later.exists(base(bench)) and later.exists(trial(bench))


def test_a_place_that_somebody_else_has_taken_is_not_shown(bench: PartitionBench) -> None:
    sealed(bench)
    bench.store.create(trial(bench))
    (record,) = bench.store.records()
    script = f"start={record.at // MIB + 2}MiB, size=4MiB\n".encode()
    # In the named partition there is room for another once that is smaller.
    what = ("--append",) if record.within is None else ("-N", "2")
    asked = ("sfdisk", "--quiet", *what, "--force", "--no-reread", "--no-tell-kernel", bench.loop)
    subprocess.run(asked, input=script, check=True, capture_output=True, timeout=60)
    before = bench.store.table().slots
    with pytest.raises(TwinFailed):
        bench.store.show(trial(bench))
    assert bench.store.ours() == (base(bench),) and bench.store.table().slots == before


def test_a_copy_that_is_another_file_system_by_now_is_not_shown(bench: PartitionBench) -> None:
    sealed(bench)
    bench.store.create(trial(bench))
    (record,) = bench.store.records()
    device = bench.store.activate(trial(bench))
    subprocess.run(("tune2fs", "-U", "random", device), check=True, capture_output=True, timeout=60)
    bench.store.deactivate(trial(bench))
    with pytest.raises(Refused, match="not there any more"):
        bench.store.show(trial(bench))
    assert not bench.store.shown(trial(bench)) and record.uuid


def test_without_room_nothing_is_made(bench: PartitionBench) -> None:
    sealed(bench)
    full = replace(bench.store, probed=bench.store.probed, room_bytes=bench.store.room_bytes)
    for number in range(20):
        try:
            full.create(snapshot(bench, f"copy{number}", "root", SnapshotRole.TRIAL, f"tb{number + 2}"))
        except OutOfSpace as error:
            assert "in one piece" in error.what
            break
    else:
        pytest.fail("there is always room")
    assert number > 1
    assert not full.exists(snapshot(bench, f"copy{number}", "root", SnapshotRole.TRIAL, f"tb{number + 2}"))


def test_one_that_goes_leaves_those_behind_it_and_its_place_is_used_again(bench: PartitionBench) -> None:
    first, second, third = (
        snapshot(bench, f"copy{n}", "root", SnapshotRole.TRIAL, f"tb{n}") for n in (1, 2, 3)
    )
    bench.store.create(first)
    bench.store.create(second)
    places = {r.lv: r.at for r in bench.store.records()}
    bench.store.delete(first)
    assert bench.store.exists(second) and not bench.store.exists(first)
    bench.store.create(third)
    assert {r.lv: r.at for r in bench.store.records()} == {"copy3": places["copy1"], "copy2": places["copy2"]}
    for each in (third, second):
        bench.store.delete(each)
    with Path(bench.loop).open("rb") as disk:
        for at in places.values():
            disk.seek(at)
            assert disk.read(512) == bytes(512), "and in the end nothing says that they were there"


def test_the_kept_root_gets_the_old_ones_label_back(bench: PartitionBench) -> None:
    old = device_of(bench.loop, 1)
    subprocess.run(("tune2fs", "-L", "theirs", old), check=True, capture_output=True, timeout=60)
    sealed(bench)
    bench.store.create(trial(bench))
    assert look(bench.host, bench.store.activate(trial(bench))).label == "", "it names one file system alone"
    bench.store.show(trial(bench))
    kept = bench.store.keep(trial(bench))
    bench.store.delete(bench.store.adopt("root", "tb1"))
    assert not bench.store.present("root") and look(bench.host, old).uuid == ""
    bench.store.settle(kept, "root")
    assert look(bench.host, device_of(bench.loop, 1)).label == "theirs"
    bench.store.disown("root")
    bench.store.delete(base(bench))
    assert bench.names() == {"root"}


def history_of(bench: PartitionBench) -> PartitionHistory:
    return PartitionHistory(PartitionDisk(bench.host, bench.store.probed))


def gone_round(bench: PartitionBench) -> None:
    """Sealed, shown, kept; the old root goes, and what was kept has its number."""
    sealed(bench)
    bench.store.create(trial(bench))
    bench.store.show(trial(bench))
    kept = bench.store.keep(trial(bench))
    bench.store.delete(bench.store.adopt("root", "tb1"))
    bench.store.settle(kept, "root")


def test_the_history_stands_beside_the_copies_and_no_table_lists_it(bench: PartitionBench) -> None:
    history, table = history_of(bench), bench.store.table()
    assert not history.exists()
    history.ensure()
    history.ensure()
    assert history.exists() and history.on.is_there() and bench.store.table() == table
    sealed(bench)
    bench.store.create(trial(bench))
    bench.store.release()
    assert history.on.is_there(), "it stays up while a store is released"
    assert {s.role for s in bench.store.ours()} > {SnapshotRole.STATE}
    history.unmount(bench.folder / "nowhere")
    bench.store.delete(trial(bench))
    history.delete()
    assert not history.exists() and not bench.store.records()


def test_the_history_is_found_when_the_old_root_in_front_of_it_is_free(bench: PartitionBench) -> None:
    """What is free begins in front of it then."""
    history = history_of(bench)
    history.ensure()
    (at,) = (record.at for record in bench.store.records())
    gone_round(bench)
    bench.store.disown("root")
    assert history.exists() and [r.at for r in bench.store.records()] == [at]
    assert bench.store.table().slots[0].start > at, "the root went behind it"
    history.unmount(bench.folder / "nowhere")
    history.delete()
    assert not history.exists()
    extent = bench.store.free(bench.store.table())[0]
    with Path(bench.loop).open("rb") as disk:
        disk.seek(extent.start)
        assert disk.read(512) == bytes(512), "and what led to it is gone as well"


@pytest.mark.parametrize("bench", ["free part"], indirect=True)
def test_a_smaller_copy_in_the_place_of_one_that_is_gone_leads_on(bench: PartitionBench) -> None:
    history = history_of(bench)
    history.ensure()
    gone_round(bench)
    bench.store.disown("root")
    disk = history.disk
    (state,) = disk.records()
    small = replaced(
        state, lv="small", at=disk.place(8 * MIB, Extent(bench.store.probed.size, 0)), size=8 * MIB
    )
    assert small.at < state.at
    disk.claim(small)
    assert [record.lv for record in disk.records()] == ["small", state.lv]
    history.unmount(bench.folder / "nowhere")


@pytest.fixture
def named() -> Iterator[PartitionBench]:
    made = BENCHES["named partition"]()
    yield made
    made.close()


def later(bench: PartitionBench) -> PartitionBench:
    """An appliance that was not told the name, and remembers no copy."""
    bench.store.release()
    probed = replaced(bench.store.probed, named=0)
    store = replace(bench.store, probed=probed, memory=bench.folder / "later")
    return replace(bench, store=store)


def places(bench: PartitionBench) -> dict[int, tuple[int, int]]:
    """Where each partition begins and how long it is, in MiB."""
    return {s.number: (s.start // MIB, s.size // MIB) for s in bench.store.table().slots}


def test_two_runs_inside_one_named_partition_are_shown_and_taken_back_one_by_one(
    named: PartitionBench,
) -> None:
    table = named.store.table()
    first, second = (snapshot(named, f"copy{n}", "root", SnapshotRole.TRIAL, f"tb{n}") for n in (1, 2))
    named.store.create(first)
    named.store.create(second)
    bench = later(named)
    places = {record.lv: record.start for record in bench.store.records()}
    for one in (second, first, second):
        bench.store.show(one)
        assert {s.number: s.start for s in bench.store.table().slots} == {1: MIB, 2: places[one.lv]}
        assert {r.lv: r.start for r in bench.store.records()} == places, "the other one is found all the same"
        other = first if one is second else second
        with pytest.raises(Refused, match="not where it was: rehearse again"):
            bench.store.show(other)
        bench.store.hide(one)
        assert bench.store.table() == table, "both copies of it, byte for byte"
    bench.store.show(first)
    bench.store.delete(first)
    assert bench.store.table() == table and [r.lv for r in bench.store.records()] == ["copy2"]
    bench.store.delete(second)
    assert bench.store.ours() == () and later(bench).store.rooms(table) == later(bench).store.free(table)


def test_while_it_is_moved_nothing_more_is_made_and_what_goes_leaves_the_others(
    named: PartitionBench,
) -> None:
    first, second = (snapshot(named, f"copy{n}", "root", SnapshotRole.TRIAL, f"tb{n}") for n in (1, 2))
    table = named.store.table()
    named.store.create(first)
    named.store.create(second)
    bench = later(named)
    bench.store.show(second)
    third = snapshot(bench, "copy3", "root", SnapshotRole.TRIAL, "tb3")
    for make in (functools.partial(bench.store.create, third), history_of(bench).ensure):
        with pytest.raises(OutOfSpace, match="has no"):
            make()
    bench.store.delete(first)
    assert [record.lv for record in bench.store.records()] == ["copy2"]
    bench.store.hide(second)
    assert bench.store.table() == table and [record.lv for record in bench.store.records()] == ["copy2"]
    history_of(bench).ensure()
    assert {record.lv for record in bench.store.records()} == {"twinboot-state", "copy2"}
    history_of(bench).unmount(bench.folder / "nowhere")


def test_a_history_in_the_free_part_is_found_whatever_the_named_partition_is(named: PartitionBench) -> None:
    """Behind it: what is free begins inside of it then."""
    bench = later(named)
    history = history_of(bench)
    history.ensure()
    (at,) = (record.at for record in bench.store.records())
    assert at >= MIB * sum(places(bench)[2])
    sealed(named)
    named.store.create(trial(named))
    after = later(named)
    for act in (after.store.show, after.store.hide, after.store.show):
        act(trial(after))
        assert history_of(after).exists() and {r.at for r in after.store.records()} >= {at}
    kept = after.store.keep(trial(after))
    after.store.delete(after.store.adopt("root", "tb1"))
    after.store.settle(kept, "root")
    after.store.disown("root")
    assert [r.at for r in after.store.records()] == [at]
    assert places(after)[2] == (1, 64), "where the old root was"
    history.unmount(after.folder / "nowhere")
    history_of(after).delete()
    assert after.store.written_down(after.store.table()) == ()


def test_a_named_partition_that_holds_something_is_not_written_to(named: PartitionBench) -> None:
    device = device_of(named.loop, 2)
    for made in (("mkswap", device), ("mkfs.ext4", "-qF", device)):
        subprocess.run(made, check=True, capture_output=True, timeout=60)
        before = Path(device).read_bytes()
        work = snapshot(named, "copy", "base", SnapshotRole.WORK)
        for act in (functools.partial(named.store.create, work), history_of(named).ensure):
            with pytest.raises(Refused, match=f"{device} holds (swap|ext4): only a partition that holds"):
                act()
        assert Path(device).read_bytes() == before and not named.active()
        subprocess.run(("wipefs", "--all", "--quiet", device), check=True, timeout=60)


def test_it_is_not_put_back_onto_what_somebody_made_in_its_place(named: PartitionBench) -> None:
    sealed(named)
    named.store.create(trial(named))
    bench = later(named)
    bench.store.show(trial(bench))
    (_, now) = bench.store.table().slots
    script = f"start={now.end // MIB + 8}MiB, size=4MiB\n".encode()
    asked = ("sfdisk", "--quiet", "--append", "--force", "--no-reread", "--no-tell-kernel", bench.loop)
    subprocess.run(asked, input=script, check=True, capture_output=True, timeout=60)
    before = bench.store.table().slots
    with pytest.raises(Refused, match=f"can not be what it was: {device_of(bench.loop, 3)} lies there now"):
        bench.store.hide(trial(bench))
    assert bench.store.table().slots == before
