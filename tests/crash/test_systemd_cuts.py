"""A power cut at every write of promotion by systemd-boot: each ESP and each set of variables it may leave
starts the old or the new system. FAT orders nothing; the firmware's variables are whole or not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.boot import efivars, env, systemd_files
from appliance.boot.flip import flip, turn
from appliance.boot.place import Boot
from appliance.boot.shapes import BootState
from appliance.errors import BootConfigFailed, Refused
from tests.crash.grubmachine import OLD
from tests.crash.lab import NEW, NEW_ROOT, wanted
from tests.crash.modeldisk import ModelDisk, Place, PowerCut, children
from tests.crash.sdboot import SdBoot
from tests.crash.sdmachine import (
    ID,
    LOADER,
    OLD_ROOT,
    OLDER,
    Act,
    boot_on,
    boots,
    conf_of,
    cuts,
    installed,
    kernel_install,
    place_of,
    starts,
)
from tests.crash.tinykernel import tiny_kernel

OLD_ALWAYS = ("old", "old", "old")
TRIAL_ONCE = ("trial", "old", "old")
NEW_ALWAYS = ("new", "new", "new")


def stage(boot: Boot, tmp: Path) -> None:
    LOADER.stage(boot, wanted(tmp / "new"))


def arm(boot: Boot) -> None:
    LOADER.arm(boot, "tb1")


def started(boot: Boot) -> None:
    """What the loader does when it starts the trial."""
    boot.variables.remove(efivars.ONE_SHOT)


def keep_on_the_metal(boot: Boot) -> None:
    """The same writes as keep-systemd-boot.sh makes (test_systemd_metal runs the sh file itself)."""
    kernel_install(boot, NEW, NEW_ROOT, tiny_kernel(f"kernel {NEW}", 60_000), f"initrd {NEW}".encode())
    boot.disk.settle()
    turn(boot, efivars.DEFAULT, None)
    flip(boot, env.block(BootState.KEPT, "tb1")[: env.SECTOR])
    boot.disk.remove("loader/entries/twinboot-new-tb1.conf")
    boot.disk.settle()


def keep_the_same_kernel(boot: Boot) -> None:
    """A patch without a new kernel: kernel-install writes over what the old system boots by."""
    kernel_install(boot, OLD, NEW_ROOT, tiny_kernel(f"kernel {OLD}"), f"initrd {OLD}-b".encode())
    boot.disk.settle()
    turn(boot, efivars.DEFAULT, None)
    flip(boot, env.block(BootState.KEPT, "tb1")[: env.SECTOR])


def after(tmp: Path, *acts: Act) -> ModelDisk:
    boot, disk = boot_on(installed())
    stage(boot, tmp)
    for act in acts:
        boot, disk = boot_on(disk.live, disk.variables)
        act(boot)
    return disk


def again(disk: ModelDisk, cut: int = -1) -> tuple[Boot, ModelDisk]:
    """Power comes back: Linux finds what had reached its place by the last sync, here all of it."""
    return boot_on(disk.live, disk.variables, cut)


def is_as_installed(disk: ModelDisk, install: Callable[[], Place] = installed) -> bool:
    first = install()
    return {p: disk.live.read(p) for p in disk.live.names} == {p: first.read(p) for p in first.names}


def test_stage_changes_no_boot(tmp_path: Path) -> None:
    boot, disk = boot_on(installed())
    stage(boot, tmp_path)
    assert cuts(disk, {OLD_ALWAYS}) > 300
    assert boots(disk) == OLD_ALWAYS and disk.variables == {}
    assert LOADER.staged(boot, wanted(tmp_path / "new"))
    view = LOADER.view(boot)
    assert (view.state, view.run, view.missing) == (BootState.STAGED, "tb1", ())


def test_arm_is_two_writes_of_the_flash_and_the_second_decides(tmp_path: Path) -> None:
    boot, disk = again(after(tmp_path))
    LOADER.arm(boot, "tb1")
    assert cuts(disk, {OLD_ALWAYS, TRIAL_ONCE}) >= 3
    assert boots(disk) == TRIAL_ONCE
    written = [m.label for m in disk.moments if "variable" in m.label]
    assert [label.split("variable ")[1] for label in written] == [
        "LoaderEntryDefault=twinboot-previous-tb1.conf",
        "LoaderEntryOneShot=twinboot-new-tb1.conf",
    ]
    view = LOADER.view(boot)
    assert (view.state, view.once) == (BootState.ARMED, True)
    assert view.next_boot is not None and view.next_boot.root == NEW_ROOT
    assert view.fallback is not None and view.fallback.root == OLD_ROOT


def test_a_trial_that_was_not_kept_leaves_the_previous_system(tmp_path: Path) -> None:
    boot, disk = again(after(tmp_path, arm, started))
    view = LOADER.view(boot)
    assert (view.state, view.run, view.once) == (BootState.TRIAL, "tb1", False)
    assert view.next_boot == view.fallback and boots(disk) == OLD_ALWAYS


def test_what_the_new_system_s_packages_do_while_on_trial_does_not_touch_the_way_back(tmp_path: Path) -> None:
    """Its apt removes the old kernel and installs a newer one: the way back has names of ours."""
    boot, disk = again(after(tmp_path, arm, started))
    for path in (f"loader/entries/{ID}-{OLD}.conf", f"{ID}/{OLD}/linux", f"{ID}/{OLD}/initrd.img-{OLD}"):
        boot.disk.remove(path)
    kernel_install(boot, "6.1.0-99-amd64", NEW_ROOT, tiny_kernel("kernel 6.1.0-99-amd64"), b"initrd")
    cuts(disk, {OLD_ALWAYS})
    assert boots(disk) == OLD_ALWAYS


def test_keep(tmp_path: Path) -> None:
    boot, disk = again(after(tmp_path, arm, started))
    keep_on_the_metal(boot)
    cuts(disk, {OLD_ALWAYS, NEW_ALWAYS})
    assert boots(disk) == NEW_ALWAYS
    view = LOADER.view(boot)
    assert view.state is BootState.KEPT and view.own == view.next_boot


def test_keep_of_the_same_kernel_writes_over_the_old_entry_and_survives(tmp_path: Path) -> None:
    boot, disk = again(after(tmp_path, arm, started))
    keep_the_same_kernel(boot)
    cuts(disk, {OLD_ALWAYS, NEW_ALWAYS})
    assert boots(disk) == NEW_ALWAYS


@pytest.mark.parametrize("keep", [keep_on_the_metal, keep_the_same_kernel])
def test_roll_back_then_restore_leaves_the_first_esp(tmp_path: Path, keep: Act) -> None:
    boot, disk = again(after(tmp_path, arm, started, keep))
    LOADER.roll_back(boot, "tb1")
    cuts(disk, {OLD_ALWAYS, NEW_ALWAYS})
    assert boots(disk) == OLD_ALWAYS and LOADER.view(boot).state is BootState.ROLLED_BACK
    boot, disk = again(disk)
    LOADER.restore(boot, "tb1")
    cuts(disk, {OLD_ALWAYS}, sparse=True)
    assert is_as_installed(disk) and disk.variables == {}
    assert LOADER.view(boot).state is BootState.ABSENT


def test_a_keep_cut_between_its_flip_and_the_book_is_kept(tmp_path: Path) -> None:
    boot, disk = again(after(tmp_path, arm, started))
    kernel_install(boot, NEW, NEW_ROOT, tiny_kernel(f"kernel {NEW}"), f"initrd {NEW}".encode())
    boot.disk.settle()
    turn(boot, efivars.DEFAULT, None)
    assert LOADER.view(boot).state is BootState.KEPT and boots(disk) == NEW_ALWAYS
    with pytest.raises(Refused, match="what this machine boots"):
        LOADER.restore(boot, "tb1")


def test_a_roll_back_cut_between_its_flip_and_the_book_is_rolled_back(tmp_path: Path) -> None:
    boot, disk = again(after(tmp_path, arm, started, keep_on_the_metal))
    turn(boot, efivars.DEFAULT, "twinboot-previous-tb1.conf")
    assert LOADER.view(boot).state is BootState.ROLLED_BACK and boots(disk) == OLD_ALWAYS


def test_an_admin_goes_back_with_bootctl_alone(tmp_path: Path) -> None:
    """TWINBOOT.txt says so: bootctl set-default twinboot-previous-tb1.conf."""
    boot, disk = again(after(tmp_path, arm, started, keep_on_the_metal))
    boot.variables.write(efivars.DEFAULT, "twinboot-previous-tb1.conf")
    assert boots(disk) == OLD_ALWAYS
    LOADER.restore(boot, "tb1")
    assert is_as_installed(disk)


def test_restore_after_a_keep_that_was_cut(tmp_path: Path) -> None:
    base = after(tmp_path, arm, started)
    boot, whole = again(base)
    keep_the_same_kernel(boot)
    for cut in range(len(whole.moments) - 1):
        boot, disk = again(base, cut)
        with pytest.raises(PowerCut):
            keep_the_same_kernel(boot)
        boot, disk = again(disk)
        if LOADER.view(boot).state is BootState.KEPT:
            continue
        LOADER.restore(boot, "tb1")
        cuts(disk, {OLD_ALWAYS}, sparse=True)
        assert is_as_installed(disk) and disk.variables == {}


def test_settle_and_settled(tmp_path: Path) -> None:
    boot, disk = again(after(tmp_path, arm, started, keep_on_the_metal))
    LOADER.settle(boot, "tb1", "aa-bb")
    settle = ("settle",) * 3
    cuts(disk, {NEW_ALWAYS, settle})
    assert boots(disk) == settle and LOADER.view(boot).run == "tb1.settle"
    boot, disk = again(disk)
    LOADER.settled(boot, "tb1", NEW_ROOT, OLD_ROOT)
    first = (f"kernel {NEW} with root {OLD_ROOT}",) * 3
    cuts(disk, {settle, first}, sparse=True)
    assert boots(disk) == first and disk.variables == {}
    assert "twinboot" not in disk.live.names
    assert {n for n in disk.live.names if n.startswith("loader/entries/")} == {
        f"loader/entries/{ID}-{NEW}.conf"
    }
    assert not any(n.startswith((f"{ID}/{OLD}", f"{ID}/{OLDER}")) for n in disk.live.names)
    LOADER.settled(boot, "tb1", NEW_ROOT, OLD_ROOT)


ACTS: dict[str, tuple[tuple[Act, ...], Act]] = {
    "arm": ((), arm),
    "disarm": ((arm,), lambda boot: LOADER.disarm(boot, "tb1")),
    "roll back an armed one": ((arm,), lambda boot: LOADER.roll_back(boot, "tb1")),
    "roll back": ((arm, started, keep_on_the_metal), lambda boot: LOADER.roll_back(boot, "tb1")),
    "restore": ((arm,), lambda boot: LOADER.restore(boot, "tb1")),
    "keep": ((arm, started), lambda boot: LOADER.keep(boot, "tb1")),
    "settle": ((arm, started, keep_on_the_metal), lambda boot: LOADER.settle(boot, "tb1", "aa-bb")),
    "settled": (
        (arm, started, keep_on_the_metal, lambda boot: LOADER.settle(boot, "tb1", "aa-bb")),
        lambda boot: LOADER.settled(boot, "tb1", NEW_ROOT, OLD_ROOT),
    ),
}


@pytest.mark.parametrize("name", ["stage", *ACTS])
def test_an_act_cut_at_any_write_finishes_when_repeated(tmp_path: Path, name: str) -> None:
    base = boot_on(installed())[1] if name == "stage" else after(tmp_path, *ACTS[name][0])
    act: Act = ACTS[name][1] if name in ACTS else lambda boot: stage(boot, tmp_path)
    boot, whole = again(base)
    act(boot)
    for cut in range(len(whole.moments) - 1):
        boot, disk = again(base, cut)
        with pytest.raises(PowerCut):
            act(boot)
        boot, disk = again(disk)
        act(boot)
        assert boots(disk) == boots(whole), f"{name} cut at write {cut}"
        assert disk.variables == whole.variables
        assert LOADER.view(boot).state is LOADER.view(again(whole)[0]).state


def test_a_stage_cut_at_any_write_is_undone(tmp_path: Path) -> None:
    boot, whole = boot_on(installed())
    stage(boot, tmp_path)
    for cut in range(len(whole.moments) - 1):
        boot, disk = boot_on(installed(), cut=cut)
        with pytest.raises(PowerCut):
            stage(boot, tmp_path)
        boot, disk = again(disk)
        LOADER.restore(boot, "tb1")
        cuts(disk, {OLD_ALWAYS}, sparse=True)
        assert is_as_installed(disk)


def test_a_run_that_was_rolled_back_is_armed_again_and_its_first_esp_is_still_known(tmp_path: Path) -> None:
    boot, disk = again(after(tmp_path, arm, started, keep_on_the_metal))
    LOADER.roll_back(boot, "tb1")
    stage(boot, tmp_path)
    LOADER.arm(boot, "tb1")
    assert boots(disk) == TRIAL_ONCE
    LOADER.disarm(boot, "tb1")
    assert boots(disk) == OLD_ALWAYS and LOADER.view(boot).state is BootState.ROLLED_BACK
    LOADER.restore(boot, "tb1")
    assert is_as_installed(disk) and disk.variables == {}


def test_a_second_run_on_a_kept_one_and_back(tmp_path: Path) -> None:
    boot, disk = again(after(tmp_path, arm, started, keep_on_the_metal))
    second = wanted(tmp_path / "second", run="tb2", tag="")
    LOADER.stage(boot, second)
    view = LOADER.view(boot)
    assert (view.state, view.run) == (BootState.KEPT, "tb1") and "tb2" in view.runs
    LOADER.arm(boot, "tb2")
    first, *rest = boots(disk)
    assert "tb2" in first and set(rest) == {"new"}
    LOADER.disarm(boot, "tb2")
    assert boots(disk) == NEW_ALWAYS
    assert (LOADER.view(boot).state, LOADER.view(boot).run) == (BootState.KEPT, "tb1")
    LOADER.arm(boot, "tb2")
    LOADER.roll_back(boot, "tb2")
    LOADER.restore(boot, "tb2")
    assert boots(disk) == NEW_ALWAYS and "twinboot/tb2" not in disk.live.names
    assert (LOADER.view(boot).state, LOADER.view(boot).run) == (BootState.KEPT, "tb1")
    LOADER.roll_back(boot, "tb1")
    assert boots(disk) == OLD_ALWAYS


# -- firmware and loaders that do not do what they should -------------------------------------------------


def test_firmware_that_drops_the_one_shot_is_told_and_the_old_system_boots(tmp_path: Path) -> None:
    disk = after(tmp_path)
    boot, disk = boot_on(disk.live, disk.variables, forgets=(efivars.ONE_SHOT,))
    with pytest.raises(BootConfigFailed, match="did not keep the boot variable LoaderEntryOneShot"):
        LOADER.arm(boot, "tb1")
    assert boots(disk) == OLD_ALWAYS


def test_mutant_without_the_pin_is_caught(tmp_path: Path) -> None:
    """LoaderEntryDefault left alone: what kernel-install writes over in place is then what a cut boots by."""
    disk = after(tmp_path)
    boot, disk = again(disk)
    turn(boot, efivars.ONE_SHOT, "twinboot-new-tb1.conf")
    started(boot)
    boot, disk = again(disk)
    keep_the_same_kernel(boot)
    with pytest.raises(AssertionError, match="starts"):
        cuts(disk, {OLD_ALWAYS, NEW_ALWAYS})


def test_mutant_that_flips_before_it_stages_is_caught(tmp_path: Path) -> None:
    """The one-shot set before anything is staged: a cut may leave half a kernel behind it."""
    boot, disk = boot_on(installed(), {efivars.ONE_SHOT: "twinboot-new-tb1.conf"})
    want = wanted(tmp_path / "new")
    systemd_files.lay_down(boot, want, LOADER.view(boot).own or pytest.fail(), None)
    boot.disk.create("loader/entries/twinboot-new-tb1.conf", b"linux /twinboot/tb1/files/vmlinuz\n")
    for name, data in (("vmlinuz", tiny_kernel(f"kernel {NEW}")),):
        boot.disk.create(f"twinboot/tb1/files/{name}", data)
    with pytest.raises(AssertionError, match="starts"):
        cuts(disk, {OLD_ALWAYS, TRIAL_ONCE}, sparse=True)


def test_a_counted_trial_on_an_esp_the_loader_cannot_write_would_start_for_ever() -> None:
    """Why the flip is no counted entry: the model of one, on firmware whose FAT driver refuses to rename."""
    place = installed(b"")
    files = {p: place.read(p) or b"" for p in place.names if place.names[p] in place.inodes}
    files[f"loader/entries/{ID}-{NEW}+1-0.conf"] = conf_of(NEW, NEW_ROOT)
    files[f"{ID}/{NEW}/linux"] = tiny_kernel(f"kernel {NEW}")
    files[f"{ID}/{NEW}/initrd.img-{NEW}"] = f"initrd {NEW}".encode()
    counted = place_of(files)
    for _ in range(3):
        loader = SdBoot(counted.read, lambda path: children(counted.names, path), {})
        assert f"kernel {NEW}".encode() in loader.start().kernel
        assert loader.renames  # and the firmware does not do it


def test_firmware_that_will_not_clear_the_one_shot_starts_the_trial_again(tmp_path: Path) -> None:
    """Known: then the trial itself takes the variable away (keep-systemd-boot.sh), once it runs that far."""
    disk = after(tmp_path, arm)
    assert starts(disk.live, disk.variables, locked=True) == ("trial", "trial", "trial")
