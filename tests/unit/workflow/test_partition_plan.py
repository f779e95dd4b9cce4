"""A root on a partition in plans: its disk is a group, and a second root has a file system of its own."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from appliance.boot.grub import Grub
from appliance.boot.shapes import BootState, LoaderView
from appliance.errors import Cancelled, Refused, TwinFailed
from appliance.model.events import Event, Progress
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import Machine, Role
from appliance.model.partitions import Copy, second_uuid
from appliance.model.plan import Plan, RepairKind, Request, Verb, fingerprint
from appliance.model.verdict import Result, Verdict
from appliance.volumes import choose, choose_partition
from appliance.volumes.base import Snapshot
from appliance.volumes.copied import Copied, Tell
from appliance.volumes.partition import PartitionStore
from appliance.volumes.partition_state import PartitionHistory
from appliance.volumes.state import NAME, SIZE
from appliance.workflow import promote, repair
from appliance.workflow.descent import descend
from appliance.workflow.runner import Context
from appliance.workflow.steps import ground as ground_module
from appliance.workflow.steps import retire
from appliance.workflow.steps.ground import Ground, standing_on
from appliance.workflow.steps.seal import MakeTrial
from appliance.workflow.workplace import Workplace
from tests.unit.twin.machines import plain
from tests.unit.workflow.plans import Silent, decided, planned, refused

MIB = 1 << 20
GROUP = "disk-8f1c2d3e"
OLD = "UUID=uuid-4"
NEW = f"UUID={second_uuid('uuid-4', 'tb1', 'part4-tb1')}"


def machine(role: str = "", *, free: int = 8192 * MIB, previous: str = "", data: bool = False) -> Machine:
    """With the copy of tb1 as `role`, and the history, where there is one."""
    found = plain(data=data)
    disk = found.disks[0]
    end = max(part.start + part.size for part in disk.partitions)
    state = Copy(name=NAME, role="state", at=end, start=end + MIB, size=SIZE)
    copy = Copy(
        name="part4-tb1", role=role, at=state.end, start=state.end + MIB, size=2048 * MIB, run="tb1",
        origin="part4", uuid=NEW.removeprefix("UUID="), base="part4-tb1-base", previous=previous,
    )  # fmt: skip
    whole = replace(disk, size=end + free, copies=(state, copy) if role else ())
    return replace(found, disks=(whole, *found.disks[1:]))


def view(state: BootState) -> LoaderView:
    return decided(state, OLD, NEW)


def act(verb: Verb, found: Machine, state: State, seen: LoaderView) -> Plan:
    node = Node(volume="part4-tb1", state=state, run="tb1")
    good = Verdict(result=Result.PASS, checks=())
    request, lineage = Request(verb=verb, run="tb1"), Lineage(nodes=(node,))
    return promote.build_plan(
        found, request, lineage, planned(machine()), good, seen, Grub(lambda _: None), ()
    )


def test_names_go_by_the_table_and_nothing_of_it_is_written_by_a_rehearsal() -> None:
    plan = planned(machine())
    assert (plan.names.vg, plan.pool) == (GROUP, "the free part of /dev/vda")
    assert plan.names.work == plan.names.sealed == plan.names.trial == "part4-tb1"
    assert plan.system.root.place == "/dev/vda4"
    told = [w.what for s in plan.steps for w in s.writes]
    assert "copy-on-write over the root volume, in the free part of the disk" in told
    assert not any("partition table of" in what or "{" in what for what in told)


def test_data_on_a_partition_is_said_before() -> None:
    (beside,) = (w for w in planned(machine(data=True)).warnings if w.startswith("/home"))
    assert "no safety snapshot is taken of it" in beside


def test_without_room_it_is_refused_with_the_numbers() -> None:
    (why,) = refused(machine(free=1024 * MIB)).reasons
    assert "2049 for the copy" in why and "65 for the history" in why


def test_a_copy_that_waits_takes_its_room() -> None:
    room = planned(machine()).free_bytes
    found = machine("trial")
    assert choose.probed_room(found, found.systems[0]).free < room - 2048 * MIB


def test_our_copies_do_not_make_a_plan_stale() -> None:
    assert fingerprint(machine()) == fingerprint(machine("trial"))


def test_a_promotion_names_the_entry_of_the_table_it_writes() -> None:
    made = act(Verb.PROMOTE, machine("trial"), State.SEALED, view(BootState.ABSENT))
    assert [s.id for s in made.steps] == ["still", "metal", "confirm", "safety", "show", "stage", "arm"]
    (show,) = (s for s in made.steps if s.id == "show")
    assert show.writes[0].what == f"one entry of the partition table of {GROUP}, for part4-tb1"
    assert not any("LVM" in warning for warning in made.warnings)


def test_a_roll_back_hides_what_was_not_kept_and_leaves_what_was() -> None:
    back = act(Verb.ROLLBACK, machine("trial"), State.ARMED, view(BootState.ARMED))
    assert [s.id for s in back.steps] == ["confirm", "rollback", "hide"]
    kept = act(Verb.ROLLBACK, machine("trial"), State.KEPT, view(BootState.KEPT))
    assert [s.id for s in kept.steps] == ["confirm", "rollback"]


def test_a_retire_deletes_the_old_root_and_gives_its_number() -> None:
    made = act(Verb.RETIRE, machine("trial"), State.KEPT, view(BootState.KEPT))
    assert made.doomed == ("part4", "part4-tb1-base")
    titles = [s.title for s in made.steps]
    assert "Give part4-tb1 the place of part4 in the partition table" in titles
    told = [w.what for s in made.steps for w in s.writes]
    assert f"delete {GROUP}/part4 (2048 MiB)" in told
    assert not any("fstab names" in what for what in told), "it keeps its UUID there"


def test_what_the_machine_boots_next_is_not_retired() -> None:
    with pytest.raises(Refused, match="is what this machine boots next"):
        act(Verb.RETIRE, machine("trial"), State.ARMED, view(BootState.ARMED))


def test_the_lineage_shows_the_installed_root_and_the_run() -> None:
    nodes = descend(machine("trial"), view(BootState.ARMED), ()).lineage.nodes
    assert [(n.volume, n.state, n.boots_next, n.fallback) for n in nodes] == [
        ("part4", None, False, True),
        ("part4-tb1", State.ARMED, True, False),
    ]
    assert nodes[1].parent == "part4"
    kept = descend(machine("kept"), view(BootState.KEPT), ()).lineage.nodes
    assert [n.state for n in kept] == [State.FALLBACK, State.KEPT]


def test_a_repair_of_such_a_root_is_refused() -> None:
    request = Request(verb=Verb.REPAIR, repair=RepairKind.INITRD, emulate=True)
    with pytest.raises(Refused, match="kept as partition: it can not be repaired"):
        repair.build_plan(machine(), request, Lineage())


def test_a_volume_of_the_set_beside_it_is_refused() -> None:
    found = machine()
    (system,) = found.systems
    var = replace(system.root, role=Role.SET, target="/var", device="/dev/vda7", partition="", disk="")
    other = replace(found, systems=(replace(system, volumes=(*system.volumes, var)),))
    assert any("/var (/dev/vda7) belongs to the volume set" in why for why in refused(other).reasons)


class CopyingStore:
    """A store that is half way through a copy of 900 MiB."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def create(self, snapshot: Snapshot) -> None:
        self.tell(Copied(450 * MIB, 900 * MIB, 15.0 * MIB, 30.0))
        raise TwinFailed(f"no {snapshot.lv}")


def test_how_far_the_copy_of_what_was_sealed_is_is_told_and_it_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground_module, "choose_store", lambda *words: CopyingStore(words[-1]))
    plan, told, cancel = planned(machine()), list[Event](), threading.Event()
    (wanted,) = (step for step in plan.steps if step.id == "trial")
    step = MakeTrial(wanted, Ground(plan, Workplace(machine(), "tb1", tmp_path)))
    with pytest.raises(TwinFailed, match="no part4-tb1"):
        step.do(Context(Silent(), told.append, cancel))
    assert told == [Progress(step="trial", done=450, total=900, unit="MiB", rate=15, left=30)]
    cancel.set()
    with pytest.raises(Cancelled):
        step.do(Context(Silent(), told.append, cancel))


def test_a_run_that_was_rolled_back_can_go_and_what_the_machine_boots_can_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = view(BootState.ROLLED_BACK)
    plan = act(Verb.RETIRE, machine("trial"), State.SEALED, seen)
    assert plan.doomed == ("part4-tb1", "part4-tb1-base")
    monkeypatch.setattr(retire, "loader_of", lambda *_: SimpleNamespace(view=lambda _: seen))
    monkeypatch.setattr(retire, "open_boot", lambda *_: None)
    ctx, work = Context(Silent(), print, threading.Event()), Workplace(machine("trial"), "tb1", tmp_path)
    retire.refuse_what_is_needed(ctx, Ground(plan, work))
    with pytest.raises(Refused, match=f"boots from {GROUP}/part4, which tb1 would delete"):
        retire.refuse_what_is_needed(ctx, Ground(replace(plan, doomed=("part4", "part4-tb1-base")), work))


def test_the_ground_of_a_run(tmp_path: Path) -> None:
    found = machine("trial")
    plan = planned(machine())
    ground = Ground(plan, Workplace(found, "tb1", tmp_path, tmp_path / "run", tmp_path / "data"))
    assert (ground.old_called, ground.trial_called) == (OLD, NEW)
    assert ground.settling_called == NEW.removeprefix("UUID=") and ground.settled_called == NEW
    assert ground.is_trial_root("/dev/vda4", f"ro root={NEW} twinboot.trial=tb1")
    assert not ground.is_trial_root("/dev/vda4", f"ro root={OLD} twinboot.trial=tb1")
    assert not ground.is_trial_root("overlay", f"ro root={NEW}")
    host = Silent()
    store = ground.store(host)
    assert isinstance(store, PartitionStore) and (store.called, store.vg) == ("part4", GROUP)
    assert store.memory == choose_partition.MEMORY
    assert isinstance(choose.choose_history(host, found, ground.names.vg), PartitionHistory)
    stands = standing_on(ground.system, ground.trials)
    assert (stands.root.name, stands.root.device) == ("part4-tb1", "/dev/vda4")
    assert f"UUID={stands.root.fsuuid}" == NEW
    let_go = Workplace(machine("trial", previous="emptied"), "tb1", tmp_path)
    without = Ground(plan, let_go).store(host)
    assert isinstance(without, PartitionStore) and without.called == "part4"
