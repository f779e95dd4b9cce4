"""What a retire deletes: named while planning, and nothing that is still needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.shapes import BootState, Entry, LoaderView
from appliance.errors import BootConfigFailed
from appliance.model.codec import from_json
from appliance.model.machine import LogicalVolume, Machine, VolumeGroup
from appliance.model.plan import Names
from appliance.workflow.naming import choose_names
from appliance.workflow.retirement import first_name, is_kept, plan_retirement, why_not
from appliance.workflow.steps.retire import clear

MACHINE = Path(__file__).parents[2] / "fixtures/machines/thin-uefi.json"
FOUND: Machine = from_json(MACHINE.read_bytes(), Machine, str(MACHINE))


def names(run: str, root: str = "root") -> Names:
    system = FOUND.systems[0]
    return choose_names(replace(system, root=replace(system.root, lv=root)), run)


def group(*made: tuple[str, str, str], without: str = "") -> VolumeGroup:
    """The recorded group with volumes of ours: (name, run, role)."""
    found = FOUND.volume_groups[0]
    root = found.lv("root")
    assert root is not None
    ours: tuple[LogicalVolume, ...] = tuple(
        replace(root, name=name, tags=("twinboot", f"twinboot.run={run}", f"twinboot.role={role}"))
        for name, run, role in made
    )
    state = replace(root, name="twinboot-state", tags=("twinboot", "twinboot.role=state"))
    return replace(found, lvs=(*(lv for lv in found.lvs if lv.name != without), *ours, state))


def run_volumes(run: str) -> tuple[tuple[str, str, str], ...]:
    roles = {"-base": "base", "-sealed": "sealed", "": "trial"}
    return (
        *((f"root-{run}{ending}", run, role) for ending, role in roles.items()),
        (f"srv-{run}-safety", run, "safety"),
    )


def view(state: BootState, run: str = "tb1", old: str = "root", new: str = "root--tb1") -> LoaderView:
    previous = Entry(id="previous", title="old", kernel="k", root=f"/dev/mapper/vg0-{old}")
    trial = Entry(id="trial", title="new", kernel="k", root=f"/dev/mapper/vg0-{new}")
    following = trial if state in (BootState.ARMED, BootState.KEPT) else previous
    own = trial if state is BootState.KEPT else previous
    return LoaderView(state=state, run=run, own=own, next_boot=following, fallback=previous, runs=(run,))


OF_TB1 = ("root-tb1", "root-tb1-base", "root-tb1-sealed", "srv-tb1-safety")


@pytest.mark.parametrize("state", [None, BootState.ROLLED_BACK, BootState.STAGED])
def test_a_run_that_is_not_booted_goes_itself(state: BootState | None) -> None:
    seen = view(state) if state else None
    going = plan_retirement(group(*run_volumes("tb1"), *run_volumes("tb2")), names("tb1"), seen)
    assert (going.doomed, going.first_name) == (OF_TB1, "")
    assert why_not(group(), names("tb1"), seen) == ()


def test_an_old_system_that_was_let_go_and_rolled_back_to_does_not_go_with_its_run() -> None:
    found = group(*run_volumes("tb1"), ("root", "tb1", "previous"), without="root")
    going = plan_retirement(found, names("tb1"), view(BootState.ROLLED_BACK))
    assert going.doomed == OF_TB1


def test_a_kept_run_takes_the_old_system_with_it_and_gets_its_name() -> None:
    going = plan_retirement(group(*run_volumes("tb1")), names("tb1"), view(BootState.KEPT))
    assert going.first_name == "root"
    assert going.doomed == ("root", "root-tb1-base", "root-tb1-sealed", "srv-tb1-safety")


def test_a_second_kept_run_takes_the_whole_family_and_nobody_elses() -> None:
    other = ("other-tb7", "tb7", "trial")
    seen = view(BootState.KEPT, "tb2", old="root--tb1", new="root--tb2")
    going = plan_retirement(
        group(*run_volumes("tb1"), *run_volumes("tb2"), other), names("tb2", "root-tb1"), seen
    )
    assert going.first_name == "root"
    assert going.doomed == (
        "root",
        *OF_TB1[:3],
        "root-tb2-base",
        "root-tb2-sealed",
        "srv-tb1-safety",
        "srv-tb2-safety",
    )


def test_an_old_system_that_is_gone_already_is_not_named() -> None:
    going = plan_retirement(group(*run_volumes("tb1"), without="root"), names("tb1"), view(BootState.KEPT))
    assert "root" not in going.doomed


def test_a_kept_run_that_was_rolled_back_may_go_though_grub_cfg_still_names_it() -> None:
    seen = replace(view(BootState.KEPT), state=BootState.ROLLED_BACK, next_boot=view(BootState.KEPT).fallback)
    assert seen.own is not None and seen.own.root.endswith("root--tb1")
    assert why_not(group(), names("tb1"), seen) == ()
    assert plan_retirement(group(*run_volumes("tb1")), names("tb1"), seen).doomed == OF_TB1


def test_what_a_later_trial_was_made_from_is_refused() -> None:
    seen = view(BootState.ARMED, "tb2", old="root", new="root--tb2")
    kept = Entry(id="own", title="own", kernel="k", root="/dev/mapper/vg0-root--tb1")
    (sentence,) = why_not(group(), names("tb1"), replace(seen, own=kept))
    assert "is the system that tb2 was made from" in sentence


@pytest.mark.parametrize(
    "seen, reason",
    [
        (view(BootState.ARMED), "is what this machine boots next"),
        (view(BootState.KEPT, "tb2", old="root--tb1", new="root--tb2"), "is the previous system of tb2"),
    ],
)
def test_what_is_still_needed_is_refused(seen: LoaderView, reason: str) -> None:
    (sentence,) = why_not(group(), names("tb1"), seen)
    assert reason in sentence


def test_kept_is_only_the_run_the_sector_names() -> None:
    assert is_kept(names("tb1"), view(BootState.KEPT))
    assert is_kept(names("tb1"), view(BootState.SETTLING))
    assert not is_kept(names("tb2"), view(BootState.KEPT))
    assert not is_kept(names("tb1"), view(BootState.TRIAL))
    assert not is_kept(names("tb1"), None)
    assert first_name(names("tb2", "root-tb1")) == "root"


FIRST = b"# made by the installer\n/dev/mapper/vg0-root  /  ext4 errors=remount-ro 0 1\n"


def kept_root(folder: Path, *runs: str) -> Path:
    """A kept system's root after `runs`, one upon the other, with a line an admin added since."""
    text = FIRST
    (folder / "etc").mkdir()
    for run in runs:
        home = folder / f"var/lib/twinboot/{run}"
        home.mkdir(parents=True)
        (home / "fstab.first").write_bytes(text)
        text = FIRST.replace(b"vg0-root", b"vg0-root--" + run.encode())
    (folder / "etc/fstab").write_bytes(text + b"tmpfs /scratch tmpfs defaults 0 0\n")
    (folder / "root").mkdir()
    (folder / "root/TWINBOOT.txt").touch()
    return folder


@pytest.mark.parametrize("runs", [("tb1",), ("tb9", "tb10")])
def test_clearing_turns_one_field_back_and_takes_all_of_ours(tmp_path: Path, runs: tuple[str, ...]) -> None:
    root = kept_root(tmp_path, *runs)
    for _ in range(2):
        clear(root)
        assert (root / "etc/fstab").read_bytes() == FIRST + b"tmpfs /scratch tmpfs defaults 0 0\n"
        assert not (root / "var/lib/twinboot").exists()
        assert not (root / "root/TWINBOOT.txt").exists()


def test_clearing_does_not_guess_at_an_fstab_without_a_root(tmp_path: Path) -> None:
    root = kept_root(tmp_path, "tb1")
    (root / "etc/fstab").write_bytes(b"tmpfs /scratch tmpfs defaults 0 0\n")
    with pytest.raises(BootConfigFailed, match="0 lines for /"):
        clear(root)
    assert (root / "var/lib/twinboot/tb1/fstab.first").exists(), "the way to the first name is kept"
