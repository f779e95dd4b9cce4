"""A btrfs root in plans: its file system is a group of subvolumes, which entries and fstab name by path."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.grub import Grub
from appliance.boot.shapes import BootState, LoaderView
from appliance.errors import Refused
from appliance.model.btrfs import BtrfsRoot, Ours, Subvolume
from appliance.model.groups import subvolume_path
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import LoaderKind, Machine, Role, Storage, root_called
from appliance.model.plan import Plan, RepairKind, Request, Verb, fingerprint
from appliance.model.verdict import Facts, Result, Verdict
from appliance.probe import trouble
from appliance.probe.systems import in_subvolume
from appliance.volumes import choose, choose_btrfs
from appliance.volumes.btrfs import BtrfsStore
from appliance.volumes.btrfs_state import BtrfsHistory
from appliance.volumes.state import NAME
from appliance.workflow import data_back, promote, repair, undoing
from appliance.workflow.descent import descend
from appliance.workflow.steps import seal
from appliance.workflow.steps.ground import Ground, standing_on
from appliance.workflow.workplace import Workplace
from tests.unit.twin.machines import plain
from tests.unit.workflow.plans import Silent, decided, planned, refused

UUID = "2d9a6c37-0e5b-4f18-8a7c-93b1d4e6f052"
OLD, NEW = f"UUID={UUID}[/@rootfs]", f"UUID={UUID}[/twinboot/@rootfs-tb1]"
GIB = 1 << 30


def machine(*ours: tuple[str, str], free: int = 12 * GIB, root: str = "@rootfs", **held: object) -> Machine:
    """Debian on btrfs, with subvolumes of ours: (name, role); the state's run is none."""
    found = plain(root_mib=16384)
    (system,) = found.systems
    there = [Subvolume(id=256, path="@rootfs", uuid="r"), Subvolume(id=257, path="@home", uuid="h")]
    tags = []
    for number, (name, role) in enumerate(ours):
        path = "twinboot/.files" if role == "state" else subvolume_path(name)
        run = "" if role == "state" else "tb1"
        tags.append(Ours(name=name, path=path, role=role, run=run, origin="@rootfs"))
        there.append(Subvolume(id=260 + number, path=path, uuid=f"o{number}"))
    whole = BtrfsRoot(
        uuid=UUID, root=256, named=True, starts=256, subvolumes=tuple(there), ours=tuple(tags), free=free
    )
    whole = replace(whole, **held)
    plain_root = replace(system.root, partition="", disk="")
    volume = replace(plain_root, fstype="btrfs", fsuuid=UUID, storage=Storage.BTRFS, subvolume=root)
    home = replace(volume, role=Role.DATA, target="/home", subvolume="")
    other = replace(system, root=volume, volumes=(volume, home, *system.swap), btrfs=whole)
    return replace(found, systems=(other,))


def view(state: BootState) -> LoaderView:
    return decided(state, OLD, NEW)


OF_TB1 = (("@rootfs-tb1", "trial"), ("@rootfs-tb1-base", "base"), ("@rootfs-tb1-sealed", "sealed"))


def test_room_for_the_copy_is_made_first_and_the_file_system_is_the_group() -> None:
    plan = planned(machine())
    assert [s.id for s in plan.steps][:4] == ["make-room", "space", "evidence", "snapshot"]
    assert (plan.names.vg, plan.pool) == ("btrfs-2d9a6c37", "btrfs-2d9a6c37")
    assert (plan.names.base, plan.names.trial) == ("@rootfs-tb1-base", "@rootfs-tb1")
    assert plan.names.sealed == "@rootfs-tb1-sealed" and plan.names.data_safety == ()
    assert all(w.what for s in plan.steps for w in s.writes)
    (beside,) = (w for w in plan.warnings if w.startswith("/home"))
    assert "no safety snapshot" in beside


def home_by_name(found: Machine) -> Machine:
    """Where fstab finds /home by the name of its subvolume."""
    (system,) = found.systems
    volumes = tuple(replace(v, subvolume="@home") if v.target == "/home" else v for v in system.volumes)
    return replace(found, systems=(replace(system, volumes=volumes),))


def test_data_in_a_subvolume_of_its_own_is_in_the_copy_and_has_a_safety_snapshot() -> None:
    plan = planned(home_by_name(machine()))
    assert plan.names.data_work == plan.names.data_proof == plan.names.data_before == ()
    assert plan.names.data_safety == (("@home", "@home-tb1-safety"),)
    assert plan.names.data_undone == (("@home", "@home-tb1-undone"),)
    (beside,) = (w for w in plan.warnings if w.startswith("/home"))
    assert "a dated safety snapshot is taken of it before the trial" in beside


def test_one_subvolume_that_is_mounted_twice_has_one_safety_snapshot() -> None:
    found = home_by_name(machine())
    (system,) = found.systems
    home = next(v for v in system.volumes if v.target == "/home")
    volumes = (*system.volumes, replace(home, target="/srv/share"))
    names = planned(replace(found, systems=(replace(system, volumes=volumes),))).names
    assert names.data_safety == (("@home", "@home-tb1-safety"),)


def test_going_back_with_data_says_that_two_subvolumes_change_places() -> None:
    found = home_by_name(machine(*OF_TB1, ("@home-tb1-safety", "safety")))
    steps = data_back.planned_steps(found.systems[0], planned(found).names, ())
    run = planned(found).names.run
    told = [w.what for s in steps for w in s.writes]
    assert told == [
        f"add btrfs-2d9a6c37/@home-{run}-undone: btrfs-2d9a6c37/@home as it is now, read-only",
        f"@home and @home-{run}-safety change places: one commit of the file system",
    ]
    doomed = act(Verb.RETIRE, found, State.KEPT, view(BootState.KEPT)).doomed
    assert "@home-tb1-safety" in doomed and "@home" not in doomed


def test_without_room_it_is_refused_with_a_way_on() -> None:
    said = refused(machine(free=2 * GIB))
    (why,) = said.reasons
    assert "MiB of the btrfs on /dev/vda4, which has 409 MiB to give" in why
    assert any("MiB more must be free there" in way for way in said.next_actions)
    assert choose_btrfs.free_bytes(replace(_group(machine()), free_count=GIB)) == 0, "a tenth stays free"


def test_a_log_to_replay_is_refused_with_the_way_on() -> None:
    found = machine()
    (system,) = found.systems
    logged = replace(system, trouble=(trouble.dirty("/dev/vda4"), trouble.log_to_replay("/dev/vda4")))
    (why,) = refused(replace(found, systems=(logged,))).reasons
    assert "start the system and shut it down properly first" in why


@pytest.mark.parametrize(
    ("root", "why"),
    [
        ("", "lies at the top level of its file system"),
        ("@/.snapshots/1/snapshot", "only one directly below the top level"),
        ("/mine-tb1", "only one directly below the top level"),
    ],
)
def test_a_root_without_a_name_for_a_snapshot_is_refused(root: str, why: str) -> None:
    assert why in refused(machine(root=root)).reasons[0]


def test_what_a_root_is_called_by_where_it_lies() -> None:
    found = machine(*OF_TB1)
    (system,) = found.systems
    assert system.btrfs is not None
    bare = replace(system.root, subvolume="")
    assert in_subvolume(bare, system.btrfs).subvolume == "@rootfs"
    assert in_subvolume(bare, replace(system.btrfs, root=260)).subvolume == "@rootfs-tb1"
    foreign = replace(system.btrfs, root=9, subvolumes=(Subvolume(id=9, path="mine-tb1", uuid="m"),), ours=())
    assert in_subvolume(bare, foreign).subvolume == "/mine-tb1"
    assert (system.root.root_called("@rootfs"), system.root.root_called("@rootfs-tb1")) == (OLD, NEW)
    assert root_called(_group(found), "@rootfs-tb1") == NEW
    assert (system.root.place, system.root.name) == ("btrfs-2d9a6c37/@rootfs", "@rootfs")


def test_our_subvolumes_do_not_make_a_plan_stale_and_others_do() -> None:
    first, later = machine(), machine(*OF_TB1, (NAME, "state"))
    assert fingerprint(first) == fingerprint(later)
    assert fingerprint(first) != fingerprint(machine(uuid=UUID, subvolumes=()))


def _group(found: Machine) -> choose.VolumeGroup:
    group = found.group("btrfs-2d9a6c37")
    assert group is not None and found.vg(group.name) is None
    return group


def act(verb: Verb, found: Machine, state: State, seen: LoaderView) -> Plan:
    node = Node(volume="@rootfs-tb1", state=state, run="tb1")
    good = Verdict(result=Result.PASS, checks=())
    request, lineage = Request(verb=verb, run="tb1"), Lineage(nodes=(node,))
    return promote.build_plan(
        found, request, lineage, planned(machine()), good, seen, Grub(lambda _: None), ()
    )


def test_a_promotion_has_nothing_to_show_and_no_safety_to_take() -> None:
    made = act(Verb.PROMOTE, machine(*OF_TB1), State.SEALED, view(BootState.ABSENT))
    assert [s.id for s in made.steps] == ["still", "metal", "confirm", "safety", "stage", "arm"]
    assert not any("{" in w.what for s in made.steps for w in s.writes)


def test_a_retire_deletes_the_old_root_base_and_sealed_and_gives_the_name_back() -> None:
    made = act(Verb.RETIRE, machine(*OF_TB1, (NAME, "state")), State.KEPT, view(BootState.KEPT))
    assert made.doomed == ("@rootfs", "@rootfs-tb1-base", "@rootfs-tb1-sealed")
    told = [w.what for s in made.steps for w in s.writes]
    assert "delete btrfs-2d9a6c37/@rootfs (subvolume)" in told
    assert "Rename @rootfs-tb1 to @rootfs" in [s.title for s in made.steps]


def test_what_the_machine_boots_next_is_not_retired() -> None:
    with pytest.raises(Refused, match="is what this machine boots next"):
        act(Verb.RETIRE, machine(*OF_TB1), State.ARMED, view(BootState.ARMED))


def test_the_lineage_shows_the_installed_root_and_the_run() -> None:
    nodes = descend(machine(*OF_TB1), view(BootState.ARMED), ()).lineage.nodes
    assert [(n.volume, n.state, n.boots_next, n.fallback) for n in nodes] == [
        ("@rootfs", None, False, True),
        ("@rootfs-tb1", State.ARMED, True, False),
    ]
    kept = descend(machine(*OF_TB1), view(BootState.KEPT), ()).lineage.nodes
    assert [n.state for n in kept] == [State.FALLBACK, State.KEPT]


def test_a_repair_of_such_a_root_is_refused() -> None:
    request = Request(verb=Verb.REPAIR, repair=RepairKind.INITRD, emulate=True)
    with pytest.raises(Refused, match="kept as btrfs: it can not be repaired"):
        repair.build_plan(machine(), request, Lineage())


def test_the_ground_of_a_run(tmp_path: Path) -> None:
    found = machine(*OF_TB1)
    ground = Ground(
        planned(machine()), Workplace(found, "tb1", tmp_path, tmp_path / "run", tmp_path / "data")
    )
    assert (ground.old_called, ground.trial_called) == (OLD, NEW)
    assert ground.settling_called == f"{UUID}[#260]"
    assert ground.is_trial_root("/dev/sda4[/twinboot/@rootfs-tb1]", "")
    assert not ground.is_trial_root("/dev/vda4[/@rootfs]", "")
    host = Silent()
    store = ground.store(host)
    assert isinstance(store, BtrfsStore) and (store.root, store.vg) == ("@rootfs", "btrfs-2d9a6c37")
    assert store.copies.room.size == choose_btrfs.room_bytes(ground.whole.expected_bytes)
    assert ground.room(host) == store.copies
    assert isinstance(choose.choose_history(host, found, ground.names.vg), BtrfsHistory)
    stands = standing_on(ground.system, ground.trials)
    assert (stands.root.name, stands.root.device) == ("@rootfs-tb1", "/dev/vda4")
    gone = Workplace(machine(("@rootfs-tb1", "kept"), subvolumes=()), "tb1", tmp_path)
    without = Ground(planned(machine()), gone).store(host)
    assert isinstance(without, BtrfsStore) and without.root == "twinboot/@rootfs-tb1"


def by_default(*ours: tuple[str, str], **held: object) -> Machine:
    """GRUB's entries and fstab name the file system alone: its default subvolume is the root."""
    return machine(*ours, **({"named": False, "default": 256} | held))


def test_a_root_by_default_is_promoted_where_the_metal_can_turn_the_default() -> None:
    assert planned(by_default()).system.starts_unnamed == 256
    assert planned(machine()).system.starts_unnamed == 0
    (why,) = refused(by_default(tools=False)).reasons
    assert why.endswith("install btrfs-progs in it first.")


def test_a_root_by_default_is_refused_with_another_loader() -> None:
    found = by_default()
    (system,) = found.systems
    other = replace(system, loader=replace(system.loader, kind=LoaderKind.SYSTEMD_BOOT))
    assert any("with another loader than GRUB" in why for why in choose_btrfs.why_not(found, other))


@pytest.mark.parametrize(
    ("verb", "state", "before", "stays"),
    [
        (Verb.ROLLBACK, BootState.KEPT, "rollback", "@rootfs"),
        (Verb.RETIRE, BootState.ROLLED_BACK, "confirm", "@rootfs"),
        (Verb.RETIRE, BootState.KEPT, "confirm", "@rootfs-tb1"),
    ],
)
def test_the_default_subvolume_follows_the_root_that_stays_while_starts_are_led_by_a_name(
    verb: Verb, state: BootState, before: str, stays: str
) -> None:
    made = act(verb, by_default(*OF_TB1, (NAME, "state")), State.KEPT, view(state))
    steps = [s.id for s in made.steps]
    assert steps[steps.index("default") - 1] == before
    (default,) = (s for s in made.steps if s.id == "default")
    (write,) = default.writes
    assert write.what == f"btrfs-2d9a6c37: {stays} is its default subvolume, where it is another"
    assert write.if_cut and not default.commit


def test_an_undo_turns_the_default_back_before_it_leaves_boot() -> None:
    found = by_default(*OF_TB1, (NAME, "state"), default=260)
    made = undoing.build_plan(found, Request(verb=Verb.UNDO), Lineage(), view(BootState.ROLLED_BACK))
    assert [s.id for s in made.steps][:3] == ["confirm", "default", "leave-boot"]
    assert "@rootfs is its default subvolume" in made.steps[1].writes[0].what


def test_nothing_is_said_of_a_default_where_it_is_the_top_level() -> None:
    made = act(Verb.ROLLBACK, machine(*OF_TB1), State.KEPT, view(BootState.KEPT))
    assert "default" not in [s.id for s in made.steps]


@pytest.mark.parametrize(
    ("root", "sealed"),
    [("/dev/vda4[/@rootfs]", True), ("/dev/vda4[/.snapshots/2/snapshot]", False), ("/dev/vda4", False)],
)
def test_what_is_sealed_is_what_was_booted_last(tmp_path: Path, root: str, sealed: bool) -> None:
    work = Workplace(by_default(), "tb1", tmp_path, tmp_path / "run", tmp_path / "data")
    ground = Ground(planned(by_default()), work)
    assert seal.why_not_sealed(ground) == "", "nothing was booted"
    seen = Facts(
        target="multi-user.target",
        target_reached=True,
        kernel="6",
        root=root,
        command_line="",
        boot_seconds=9.0,
    )
    work.save("patched", seen)
    assert (seal.why_not_sealed(ground) == "") is sealed
