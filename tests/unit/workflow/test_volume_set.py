"""A volume set of two: what is done with the root is done with /var, in the same freeze and the same act."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from appliance.boot.shapes import BootState, Entry
from appliance.checks.facts import parse
from appliance.errors import ApplianceError, CommandFailed, Refused
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import Firmware, VolumeGroup
from appliance.model.plan import Plan, Request, Verb
from appliance.model.verdict import Result, Verdict
from appliance.volumes.base import SnapshotRole
from appliance.volumes.choose import why_no_store
from appliance.workflow import catalogue, descent, promote, undoing
from appliance.workflow.naming import choose_names
from appliance.workflow.steps import boot, proof, seal, snapshot, twins
from appliance.workflow.steps.snapshot import ProveUnchanged, TakeSnapshots
from tests.contract.dark import PowerCut
from tests.crash.test_cuts import LOADER
from tests.unit.workflow.test_proof_step import facts
from tests.unit.workflow.test_retire_steps import Cut
from tests.unit.workflow.test_retirement import group, view
from tests.unit.workflow.var import (
    FOUND,
    INSTALLED,
    OF_ROOT,
    OF_VAR,
    REHEARSED,
    STEP,
    context,
    ground_of,
    installed,
    rehearsed,
)

GOOD = Verdict(result=Result.PASS, checks=())


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "scratch_bytes", lambda host, ground, part: 1 << 30)


def group_with(*lvs: str, without: tuple[str, ...] = ()) -> VolumeGroup:
    """The group with volumes of tb1 by their names, each in its role, and without others."""
    found = FOUND.volume_groups[0]
    root = found.lv("root")
    assert root is not None
    made = []
    for name in lvs:
        stem, _, ending = name.removeprefix("root-tb1").removeprefix("var-tb1").partition("-")
        role = {"": "trial"}.get(ending, ending)
        role = f"set-{role}" if name.startswith("var") else role
        tags = ("twinboot", "twinboot.run=tb1", f"twinboot.role={role}")
        made.append(replace(root, name=name, tags=tags))
        assert stem == ""
    kept = tuple(lv for lv in found.lvs if lv.name not in without)
    return replace(found, lvs=(*kept, *made))


def planned(verb: Verb, found: VolumeGroup, state: BootState | None = None) -> Plan:
    machine = replace(FOUND, kvm=True, volume_groups=(found,))
    lineage = Lineage(nodes=(Node(volume="root-tb1", state=State.SEALED, run="tb1"),))
    request = Request(verb=verb, run="tb1")
    seen = None if state is None else view(state)
    return promote.build_plan(machine, request, lineage, REHEARSED, GOOD, seen, LOADER, ())


# Names and refusals.


def test_every_volume_of_the_set_has_its_own_names_and_a_kept_one_gives_the_same_stem() -> None:
    names = REHEARSED.names
    assert (names.set_base, names.set_trial) == ((("var", "var-tb1-base"),), (("var", "var-tb1"),))
    assert names.trials == ("root-tb1", "var-tb1")
    system = FOUND.systems[0]
    volumes = tuple(replace(v, lv="var-tb1") if v.lv == "var" else v for v in system.volumes)
    again = choose_names(replace(system, volumes=volumes), "tb2")
    assert again.set_work == (("var-tb1", "var-tb2-work"),)
    assert again.set_proof == (("var-tb1", "var-tb2-proof"),)


def test_a_volume_of_the_set_outside_the_pool_is_refused() -> None:
    found = FOUND.volume_groups[0]
    lvs = tuple(replace(lv, segtype="linear", pool="") if lv.name == "var" else lv for lv in found.lvs)
    machine = replace(FOUND, volume_groups=(replace(found, lvs=lvs),))
    (said,) = why_no_store(machine, machine.systems[0])
    assert "/var (/dev/mapper/vg0-var) belongs to the volume set but is not in the thin pool" in said


# The rehearsal.


def test_snapshots_are_of_both_and_undone_whole(tmp_path: Path) -> None:
    lvm, ground = installed(), ground_of(REHEARSED, tmp_path)
    before, step = {name: lvm.read(name) for name in INSTALLED}, TakeSnapshots(STEP, ground)
    step.do(context(lvm))
    assert step.done(context(lvm))
    made = set(lvm.lvs) - INSTALLED
    assert made == {
        *("root-tb1-base", "root-tb1-work", "var-tb1-base", "var-tb1-work"),
        *("srv-tb1-work", "tb1-scratch"),
    }
    assert lvm.lvs["var-tb1-base"].tags >= {"twinboot.role=set-base", "twinboot.run=tb1"}
    assert not lvm.lvs["var-tb1-base"].writable and lvm.lvs["var-tb1-work"].skip
    assert (lvm.lvs["var-tb1-base"].origin, lvm.lvs["var-tb1-work"].origin) == ("var", "var-tb1-base")
    del lvm.lvs["var-tb1-work"]
    assert not step.done(context(lvm)), "a set without one of its volumes is none"
    step.undo(context(lvm))
    step.undo(context(lvm))
    assert {name: lvm.read(name) for name in lvm.lvs} == before


def test_snapshots_cut_at_every_write_are_undone_by_the_next_start(tmp_path: Path) -> None:
    for cut in range(12):
        lvm, ground = installed(), ground_of(REHEARSED, tmp_path)
        step, lvm.left = TakeSnapshots(STEP, ground), cut
        with contextlib.suppress(PowerCut):
            step.do(context(lvm))
        lvm.left = 10**6
        step.undo(context(lvm))
        assert set(lvm.lvs) == INSTALLED, f"cut at write {cut}"


class FakeTwin:
    """A twin that counts its freezes and says what was sealed in each."""

    def __init__(self, lvm: Cut) -> None:
        self.lvm, self.guest, self.freezes = lvm, None, list[set[str]]()

    def clean_before_seal(self) -> None:
        assert not self.freezes

    def pull_plug(self) -> None:
        raise AssertionError("a thin twin runs on")

    def while_frozen(self, act: Callable[[], None]) -> bool:
        before = set(self.lvm.lvs)
        act()
        self.freezes.append(set(self.lvm.lvs) - before)
        return True


@pytest.fixture
def sealing(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeTwin], None]:
    def play(twin: FakeTwin) -> None:
        monkeypatch.setattr(seal, "twin_of", lambda ctx, ground, part: twin)
        clean = SimpleNamespace(audit=lambda: ())
        monkeypatch.setattr(seal, "choose", lambda guest, setting: clean)

    return play


def test_both_are_sealed_in_one_freeze(tmp_path: Path, sealing: Callable[[FakeTwin], None]) -> None:
    lvm, ground = installed(), ground_of(REHEARSED, tmp_path)
    TakeSnapshots(STEP, ground).do(context(lvm))
    for work in ("root-tb1-work", "var-tb1-work"):
        lvm.write(work, 77)
    twin, step = FakeTwin(lvm), seal.Seal(STEP, ground)
    sealing(twin)
    assert not step.done(context(lvm))
    step.do(context(lvm))
    assert twin.freezes == [{"root-tb1-sealed", "var-tb1-sealed"}]
    for name in ("root", "var"):
        assert lvm.read(f"{name}-tb1-sealed") == lvm.read(f"{name}-tb1-work")
        assert not lvm.lvs[f"{name}-tb1-sealed"].writable
    assert step.done(context(lvm)) and ground.work.load("seal", str) == "frozen"
    for _ in range(2):
        step.undo(context(lvm))
        assert not {name for name in lvm.lvs if name.endswith("sealed")}


def test_one_that_can_not_be_sealed_leaves_none_sealed(
    tmp_path: Path, sealing: Callable[[FakeTwin], None]
) -> None:
    lvm, ground = installed(), ground_of(REHEARSED, tmp_path)
    TakeSnapshots(STEP, ground).do(context(lvm))
    del lvm.lvs["var-tb1-work"]
    step = seal.Seal(STEP, ground)
    sealing(FakeTwin(lvm))
    with pytest.raises(CommandFailed):
        step.do(context(lvm))
    assert not step.done(context(lvm)), "half a set is not sealed"
    step.undo(context(lvm))
    assert not {name for name in lvm.lvs if name.endswith("sealed")}


def test_what_was_written_to_var_alone_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lvm, ground = rehearsed(tmp_path)
    monkeypatch.setattr(snapshot, "take_evidence", lambda host, ground: {})
    ground.work.save("evidence", {})
    assert catalogue.drift(lvm, ground) == ()
    boot.CheckStill(STEP, ground).do(context(lvm))
    ProveUnchanged(STEP, ground).do(context(lvm))
    lvm.write("var", 99)
    assert "of its volumes differ" in catalogue.drift(lvm, ground)[0]
    with pytest.raises(Refused, match="has run since"):
        boot.CheckStill(STEP, ground).do(context(lvm))
    with pytest.raises(ApplianceError, match=r"var \(65536 bytes\)"):
        ProveUnchanged(STEP, ground).do(context(lvm))
    del lvm.lvs["var-tb1-base"]
    assert catalogue.drift(lvm, ground) == (
        "The snapshot var-tb1-base of the old system is gone: rehearse again.",
    )


def test_the_proof_is_of_the_trial_s_own_var(tmp_path: Path) -> None:
    """A root that was patched with a /var that was not would never be seen otherwise."""
    step = proof.ProofBoot(STEP, ground_of(REHEARSED, tmp_path))

    def said(*mounts: str) -> str:
        lines = "".join("mount\t" + mount.replace(" ", "\t") + "\n" for mount in mounts)
        return step._mounted_elsewhere(parse(facts().replace(b"end\n", f"{lines}end\n".encode())))

    assert said("/ ext4 /dev/mapper/vg0-root--tb1", "/var ext4 /dev/mapper/vg0-var--tb1") == ""
    assert said("/var ext4 /dev/mapper/vg0-var") == (
        "/var is /dev/mapper/vg0-var, not /dev/mapper/vg0-var--tb1"
    )
    assert said() == "/var is not mounted, not /dev/mapper/vg0-var--tb1"


def test_each_twin_has_the_set_under_the_names_its_fstab_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lvm, ground = installed(), ground_of(REHEARSED, tmp_path)
    groups = ((FOUND.volume_groups[0], None),)
    monkeypatch.setattr(twins, "read_groups", lambda host, pvs, at: groups)
    work, tested = (twins._setup(lvm, ground, part) for part in (twins.WORK, twins.PROOF))
    device = "/dev/mapper/vg0-{}".format
    assert {lv: work.volumes[lv] for lv in ("root", "var")} == {
        "root": device("root--tb1--work"),
        "var": device("var--tb1--work"),
    }
    assert [(at.device, at.target) for at in work.base_beside] == [(device("var--tb1--base"), "/var")]
    assert {lv: tested.volumes[lv] for lv in ("root-tb1", "var-tb1")} == {
        "root-tb1": device("root--tb1--proof"),
        "var-tb1": device("var--tb1--proof"),
    }
    assert tested.base_beside == ()
    assert [v.device for v in tested.system.volume_set] == [device("root--tb1"), device("var--tb1")]
    assert [s.lv for s in twins.volumes_of(ground, twins.WORK)] == [
        *("root-tb1-work", "var-tb1-work", "srv-tb1-work", "tb1-scratch")
    ]


def test_the_trial_has_both_and_its_fstab_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lvm, ground = rehearsed(tmp_path)
    for trial in ground.whole_set(SnapshotRole.TRIAL):
        ground.store(lvm).delete(trial)
    root = tmp_path / "tree"
    (root / "etc").mkdir(parents=True)
    (root / "var").mkdir()
    first = b"/dev/mapper/vg0-root / ext4 defaults 0 1\n/dev/mapper/vg0-var /var ext4 defaults 0 2\n"
    (root / "etc/fstab").write_bytes(first)
    beneath = []

    @contextlib.contextmanager
    def mounted(*_: object) -> Iterator[Path]:
        yield root

    @contextlib.contextmanager
    def inside(host: object, at: Path, volumes: list[object], *, writable: bool) -> Iterator[None]:
        beneath.extend((v, writable) for v in volumes)
        yield

    monkeypatch.setattr(seal, "mounted", mounted)
    monkeypatch.setattr("appliance.workflow.steps.volume_set.mounted_inside", inside)
    monkeypatch.setattr(seal, "fit_for_the_metal", lambda *_: None)
    step = seal.MakeTrial(STEP, ground)
    for name in ("_boot_files", "_install_confirm", "_failed_before", "_name_new_root"):
        monkeypatch.setattr(seal.MakeTrial, name, lambda *_: ())
    step.do(context(lvm))
    assert {"root-tb1", "var-tb1"} <= set(lvm.lvs)
    assert [(v.device, v.target, w) for v, w in beneath] == [("/dev/mapper/vg0-var--tb1", "/var", True)]
    assert (root / "etc/fstab").read_bytes() == first.replace(b"-root ", b"-root--tb1 ").replace(
        b"-var ", b"-var--tb1 "
    )
    assert (root / "var/lib/twinboot/tb1/fstab.first").read_bytes() == first
    assert not any(lv.active for lv in lvm.lvs.values())
    step.undo(context(lvm))
    step.undo(context(lvm))
    assert not {"root-tb1", "var-tb1"} & set(lvm.lvs)


# The promotion.


def test_both_are_shown_to_the_machine_s_own_start_and_hidden_again(tmp_path: Path) -> None:
    for cut in range(6):
        lvm, ground = rehearsed(tmp_path / str(cut))
        step, lvm.left = boot.Show(STEP, ground), cut
        with contextlib.suppress(PowerCut):
            step.do(context(lvm))
        lvm.left = 10**6
        assert step.done(context(lvm)) is all(not lvm.lvs[name].skip for name in ("root-tb1", "var-tb1"))
        step.do(context(lvm))
        assert step.done(context(lvm))
        step.undo(context(lvm))
        step.undo(context(lvm))
        assert lvm.lvs["root-tb1"].skip and lvm.lvs["var-tb1"].skip


def test_rolled_back_both_are_hidden_again_whatever_was_hidden_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Entry(id="own", title="old", kernel="k", root="/dev/mapper/vg0-root")
    loader = SimpleNamespace(view=lambda boot: SimpleNamespace(own=own))
    monkeypatch.setattr(boot, "open_boot", lambda host, place: None)
    monkeypatch.setattr(boot, "loader_of", lambda ground, host: loader)
    for cut in range(4):
        lvm, ground = rehearsed(tmp_path / str(cut))
        boot.Show(STEP, ground).do(context(lvm))
        step, lvm.left = boot.Hide(STEP, ground), cut
        with contextlib.suppress(PowerCut):
            step.do(context(lvm))
        lvm.left = 10**6
        assert step.done(context(lvm)) is all(lvm.lvs[name].skip for name in ("root-tb1", "var-tb1"))
        step.do(context(lvm))
        assert lvm.lvs["root-tb1"].skip and lvm.lvs["var-tb1"].skip


def test_a_roll_back_s_plan_names_each_volume_it_hides() -> None:
    made = planned(Verb.ROLLBACK, group_with(*OF_ROOT, *OF_VAR), BootState.TRIAL)
    (hide,) = (s for s in made.steps if s.id == "hide")
    assert [w.what.partition(":")[0] for w in hide.writes] == [
        "one flag of vg0/root-tb1",
        "one flag of vg0/var-tb1",
    ]


def test_a_promotion_s_plan_names_each_volume(tmp_path: Path) -> None:
    made = planned(Verb.PROMOTE, group_with(*OF_ROOT, *OF_VAR))
    (show,) = (s for s in made.steps if s.id == "show")
    assert [w.what.partition(":")[0] for w in show.writes] == [
        "one flag of vg0/root-tb1",
        "one flag of vg0/var-tb1",
    ]


# Afterwards.


def test_the_tree_shows_one_node_a_run() -> None:
    machine = replace(FOUND, volume_groups=(group_with(*OF_ROOT, *OF_VAR),))
    nodes = descent.descend(machine, None, ()).lineage.nodes
    assert [(n.volume, n.run) for n in nodes] == [("root", ""), ("root-tb1", "tb1")]


def test_retire_of_a_run_takes_both_and_undo_as_well() -> None:
    found = group_with(*OF_ROOT, *OF_VAR)
    made = planned(Verb.RETIRE, found, BootState.ROLLED_BACK)
    assert set(made.doomed) == OF_ROOT | OF_VAR
    assert {lv.name for lv in undoing.doomed(found)} == OF_ROOT | OF_VAR


def test_retire_of_a_kept_run_lets_both_old_volumes_go_and_renames_both() -> None:
    made = planned(Verb.RETIRE, group_with(*OF_ROOT, *OF_VAR), BootState.KEPT)
    assert set(made.doomed) == {"root", "var"} | (OF_ROOT | OF_VAR) - {"root-tb1", "var-tb1"}
    told = [w.what for s in made.steps for w in s.writes]
    for line in (
        "tag vg0/var as one that may be deleted",
        "vg0/var-tb1: by UUID in fstab while it is renamed to var",
    ):
        assert line in told
    assert not any("delete vg0/var-tb1 " in line for line in told)


def test_a_kept_volume_that_has_its_first_name_back_is_never_doomed() -> None:
    """The machine went down between the two renames, and retire is planned anew."""
    found = group_with("root-tb1", without=("root",))
    made = planned(Verb.RETIRE, found, BootState.SETTLING)
    assert made.doomed == ()


def test_the_recorded_group_knows_nothing_of_a_set() -> None:
    """Runs of machines in one volume, older plans among them, mean the root alone."""
    assert group(("root-tb1", "tb1", "trial")).lv("var") is None
    old = replace(REHEARSED.names, set_base=(), set_work=(), set_sealed=(), set_trial=(), set_proof=())
    ground = ground_of(replace(REHEARSED, names=old), Path("/nowhere"))
    assert [s.lv for s in ground.whole_set(SnapshotRole.TRIAL)] == ["root-tb1"]
    assert ground.beside(SnapshotRole.BASE) == ()


# Evidence.


def test_of_a_disk_that_is_a_pv_only_what_no_snapshot_changes_is_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LVM writes its text behind the label; both disks of a group are looked at all the same."""
    (group,), (disk,) = FOUND.volume_groups, FOUND.disks
    second = replace(disk, path="/dev/sdz", partitions=(), table="")
    early = replace(
        disk, path="/dev/sdy", partitions=(replace(disk.partitions[0], path="/dev/sdy1", start=32256),)
    )
    pvs = (*group.pvs, *(replace(group.pvs[0], path=path) for path in ("/dev/sdz", "/dev/sdy1")))
    machine = replace(
        FOUND,
        disks=(disk, second, early),
        volume_groups=(replace(group, pvs=pvs),),
        firmware=Firmware.BIOS,
    )
    seen: dict[str, int] = {}
    monkeypatch.setattr(snapshot, "sha256_of", lambda at, size: seen.setdefault(str(at), size) and "")
    found = snapshot.take_evidence(installed(), ground_of(REHEARSED, tmp_path, machine))
    assert (seen[disk.path], seen["/dev/sdz"], seen["/dev/sdy"]) == (1 << 20, 4096, 32256 + 4096)
    assert {f"{disk.path} first 1024 KiB", "/dev/sdz first 4 KiB"} <= set(found)
