"""A power cut at every write of promotion: each disk it may leave starts the old or the new system.

A failing state is named by one string: act, number and kind of the write, and which pending updates had
reached their place (a bit mask).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from appliance.boot import entries, env, flip
from appliance.boot.grub import Grub
from appliance.boot.place import Boot, BootPlace, Sector, SectorPlace
from appliance.boot.shapes import BootState
from tests.crash import blsmachine
from tests.crash.espdisk import ESP, EspDisk, EspRaw, WithEsp
from tests.crash.grubmachine import ESP as ESP_UUID
from tests.crash.grubmachine import GRUB_CFG, OLD
from tests.crash.grubscript import Grub as Script
from tests.crash.grubscript import Loaded
from tests.crash.lab import NEW, NEW_ROOT, OLD_ROOT, wanted
from tests.crash.modeldisk import Change, ModelDisk, ModelRaw, Place, PowerCut
from tests.crash.tinykernel import tiny_kernel

LOADER = Grub(check=lambda text: None)
Act = Callable[[Boot], None]


def installed() -> Place:
    files = {
        "grub/grub.cfg": GRUB_CFG.read_bytes(),
        "grub/grubenv": b"# GRUB Environment Block\n".ljust(1024, b"#"),
    }
    for version in (OLD, "6.1.0-12-amd64"):
        files[f"vmlinuz-{version}"] = tiny_kernel(f"kernel {version}")
        files[f"initrd.img-{version}"] = f"initrd {version}".encode()
    place = Place({"grub": 1}, {})
    for number, (path, data) in enumerate(files.items(), 2):
        place.names[path], place.inodes[number] = number, data
    return place


def installed_on_lvm() -> Place:
    """The same with a /boot that GRUB can not write, and an ESP."""
    place = installed()
    place.names[ESP] = 0
    return place


def boot_on(place: Place, cut: int = -1, **mutant: bool) -> tuple[Boot, ModelDisk]:
    """The machine's /boot, and its ESP where it has one."""
    disk = (WithEsp if ESP in place.names else ModelDisk)(place.after(()), cut, **mutant)
    disk.folders = {n for n in place.names if any(m.startswith(f"{n}/") for m in place.names)} | {"grub"}
    at = BootPlace(mount=Path("/nowhere"), device="", fstype="ext4", fsuuid="")
    if not isinstance(disk, WithEsp):
        return Boot(at, disk, ModelRaw(disk)), disk
    sector = SectorPlace(Path("/nowhere"), "", "vfat", ESP_UUID, "/boot/efi", "twinboot/5c2a/env")
    apart = Sector(EspDisk(disk), EspRaw(disk), sector.path)
    return Boot(replace(at, sector=sector), disk, ModelRaw(disk), apart=apart), disk


def what(loaded: Loaded) -> str:
    """old, new, trial, settle, or what went wrong. Kernel, initrd and root must belong together."""
    words = loaded.line.split()
    root = next((w[5:] for w in words if w.startswith("root=")), "")
    kernel = next((v for v in (OLD, NEW) if f"kernel {v}".encode() in loaded.kernel), "none")
    initrd = loaded.initrd.decode("latin-1").rstrip("\0").removeprefix("initrd ")
    if kernel != initrd:
        return f"kernel {kernel} with initrd {initrd!r}"
    if (kernel, root) == (OLD, OLD_ROOT):
        return "old"
    if (kernel, root) == (NEW, NEW_ROOT):
        return "trial" if "twinboot.trial=tb1" in words else "new"
    return "settle" if (kernel, root) == (NEW, "UUID=aa-bb") else f"kernel {kernel} with root {root}"


def boots(place: Place, times: int = 3) -> tuple[str, ...]:
    """What an unattended machine starts, one start after the other; GRUB's own writes carry over."""
    out: list[str] = []
    for _ in range(times):
        grub = Script(place.read, disks={ESP_UUID: ESP}, bls=blsmachine.FILES)
        out.append(what(grub.start()))
        place = place.after(())
        for path, data in grub.writes.items():
            place.inodes[place.names[path]] = data
    return tuple(out)


class Oracle:
    """`judge`, remembered by everything it has read so far: what is never read cannot matter."""

    def __init__(self, judge: Callable[[Place], tuple[str, ...]]) -> None:
        self.judge = judge
        self.read: set[str] = set()
        self.known: dict[tuple[bytes | None, ...], tuple[str, ...]] = {}

    def __call__(self, place: Place) -> tuple[str, ...]:
        key = tuple(place.read(path) for path in sorted(self.read))
        if key not in self.known:
            before = len(self.read)
            found = self.judge(Watched(place.names, place.inodes, self.read))
            if len(self.read) > before:
                self.known.clear()
                key = tuple(place.read(path) for path in sorted(self.read))
            self.known[key] = found
        return self.known[key]


@dataclass
class Watched(Place):
    """A Place that tells which paths were asked for."""

    asked: set[str] = field(default_factory=set)

    def read(self, path: str) -> bytes | None:
        self.asked.add(path)
        return super().read(path)

    def after(self, changes: tuple[Change, ...]) -> Place:
        plain = super().after(changes)
        return Watched(plain.names, plain.inodes, self.asked)


def cuts(disk: ModelDisk, allowed: set[tuple[str, ...]], sparse: bool = False) -> int:
    """Hold every state against `allowed`; returns how many there were."""
    oracle, count = Oracle(boots), 0
    for moment in disk.moments:
        for name, place in moment.states(sparse):
            count += 1
            found = oracle(place)
            assert found in allowed, f"{name} starts {found}"
    return count


OLD_ALWAYS = ("old", "old", "old")
TRIAL_ONCE = ("trial", "old", "old")
NEW_ALWAYS = ("new", "new", "new")


def staged(tmp: Path, first: Place | None = None) -> Place:
    boot, disk = boot_on(first or installed())
    LOADER.stage(boot, wanted(tmp / "new"))
    return disk.live


def after(tmp: Path, *acts: Act, first: Place | None = None) -> Place:
    place = staged(tmp, first)
    for act in acts:
        boot, disk = boot_on(place)
        act(boot)
        place = disk.live
    return place


def arm(boot: Boot) -> None:
    LOADER.arm(boot, "tb1")


def set_state(state: BootState) -> Act:
    return lambda boot: boot.sector.disk.write_sector(boot.sector.path, env.block(state, "tb1")[: env.SECTOR])


def keep_on_the_metal(boot: Boot) -> None:
    """The same writes as confirm/keep.sh makes (test_block_cuts records what the sh file itself writes)."""
    for version_file in (f"vmlinuz-{NEW}", f"initrd.img-{NEW}", f"config-{NEW}", f"System.map-{NEW}"):
        boot.disk.link(f"twinboot/tb1/files/{version_file}", version_file)
    boot.disk.settle()
    text = (boot.disk.read("grub/grub.cfg") or b"").decode().replace(OLD, NEW).replace(OLD_ROOT, NEW_ROOT)
    flip.replace(boot, "grub/grub.cfg", text.encode(), "twinboot/tb1/before/grub.cfg.kept")
    set_state(BootState.KEPT)(boot)
    boot.sector.disk.settle()


def test_stage(tmp_path: Path) -> None:
    boot, disk = boot_on(installed())
    LOADER.stage(boot, wanted(tmp_path / "new"))
    assert cuts(disk, {OLD_ALWAYS}) > 300
    assert boots(disk.live) == OLD_ALWAYS


def test_arm(tmp_path: Path) -> None:
    boot, disk = boot_on(staged(tmp_path))
    LOADER.arm(boot, "tb1")
    assert cuts(disk, {OLD_ALWAYS, TRIAL_ONCE}) >= 3
    assert boots(disk.live) == TRIAL_ONCE


def test_disarm_and_restore(tmp_path: Path) -> None:
    boot, disk = boot_on(after(tmp_path, arm))
    LOADER.disarm(boot, "tb1")
    cuts(disk, {OLD_ALWAYS, TRIAL_ONCE})
    boot, disk = boot_on(disk.live)
    LOADER.restore(boot, "tb1")
    cuts(disk, {OLD_ALWAYS})
    assert {p: disk.live.read(p) for p in disk.live.names} == {
        p: installed().read(p) for p in installed().names
    }


def test_keep(tmp_path: Path) -> None:
    boot, disk = boot_on(after(tmp_path, arm, set_state(BootState.TRIAL)))
    keep_on_the_metal(boot)
    cuts(disk, {OLD_ALWAYS, NEW_ALWAYS})
    assert boots(disk.live) == NEW_ALWAYS


def test_roll_back_then_restore(tmp_path: Path) -> None:
    place = after(tmp_path, arm, set_state(BootState.TRIAL), keep_on_the_metal)
    boot, disk = boot_on(place)
    LOADER.roll_back(boot, "tb1")
    cuts(disk, {OLD_ALWAYS, NEW_ALWAYS})
    assert boots(disk.live) == OLD_ALWAYS
    boot, disk = boot_on(disk.live)
    LOADER.restore(boot, "tb1", tuple(installed().names))
    cuts(disk, {OLD_ALWAYS})
    assert {p: disk.live.read(p) for p in disk.live.names} == {
        p: installed().read(p) for p in installed().names
    }


def test_restore_after_a_keep_that_was_cut(tmp_path: Path) -> None:
    """grub.cfg may boot the new root already while the sector still says trial: restore must see it."""
    place = after(tmp_path, arm, set_state(BootState.TRIAL))
    total = len(boot_and_run(place, keep_on_the_metal).moments) - 1
    for cut in range(total):
        boot, disk = boot_on(place, cut)
        with pytest.raises(PowerCut):
            keep_on_the_metal(boot)
        # Linux replays the journal at the next mount: what it sees is all that was fsynced.
        boot, disk = boot_on(disk.live)
        if LOADER.view(boot).state is BootState.KEPT:
            continue
        LOADER.restore(boot, "tb1")
        cuts(disk, {OLD_ALWAYS}, sparse=True)


def boot_and_run(place: Place, act: Act) -> ModelDisk:
    boot, disk = boot_on(place)
    act(boot)
    return disk


def test_settle_and_settled(tmp_path: Path) -> None:
    place = after(tmp_path, arm, set_state(BootState.TRIAL), keep_on_the_metal)
    boot, disk = boot_on(place)
    LOADER.settle(boot, "tb1", "aa-bb")
    settle = ("settle",) * 3
    cuts(disk, {NEW_ALWAYS, settle})
    assert boots(disk.live) == settle
    boot, disk = boot_on(disk.live)
    LOADER.settled(boot, "tb1", NEW_ROOT, "/dev/mapper/vg0-first")
    first = (f"kernel {NEW} with root /dev/mapper/vg0-first",) * 3
    cuts(disk, {settle, first})
    assert boots(disk.live) == first and "twinboot" not in disk.live.names


ACTS: dict[str, tuple[tuple[Act, ...], Act]] = {
    "arm": ((), arm),
    "roll back": ((arm,), lambda boot: LOADER.roll_back(boot, "tb1")),
    "disarm": ((arm,), lambda boot: LOADER.disarm(boot, "tb1")),
    "restore": ((arm,), lambda boot: LOADER.restore(boot, "tb1")),
    "keep": ((arm, set_state(BootState.TRIAL)), lambda boot: LOADER.keep(boot, "tb1")),
    "settle": (
        (arm, set_state(BootState.TRIAL), keep_on_the_metal),
        lambda boot: LOADER.settle(boot, "tb1", "aa-bb"),
    ),
    "settled": (
        (arm, set_state(BootState.TRIAL), keep_on_the_metal, lambda b: LOADER.settle(b, "tb1", "aa-bb")),
        lambda boot: LOADER.settled(boot, "tb1", NEW_ROOT, "/dev/mapper/vg0-first"),
    ),
}


def finishes_when_repeated(place: Place, act: Act, name: str) -> None:
    """Cut at any write and begun again, `act` on `place` ends where it ends without a cut."""
    whole = boot_and_run(place, act)
    for cut in range(len(whole.moments) - 1):
        boot, disk = boot_on(place, cut)
        with pytest.raises(PowerCut):
            act(boot)
        again, disk = boot_on(disk.live)
        act(again)
        assert boots(disk.live) == boots(whole.live), f"{name} cut at write {cut}"


@pytest.mark.parametrize("name", ["stage", *ACTS])
def test_an_act_cut_at_any_write_finishes_when_repeated(tmp_path: Path, name: str) -> None:
    if name == "stage":
        place, act = installed(), lambda boot: LOADER.stage(boot, wanted(tmp_path / "new"))
    else:
        before, act = ACTS[name]
        place = after(tmp_path, *before)
    finishes_when_repeated(place, act, name)


def test_a_stage_cut_at_any_write_is_undone(tmp_path: Path) -> None:
    want = wanted(tmp_path / "new")
    total = len(boot_and_run(installed(), lambda boot: LOADER.stage(boot, want)).moments) - 1
    for cut in range(total):
        boot, disk = boot_on(installed(), cut)
        with pytest.raises(PowerCut):
            LOADER.stage(boot, want)
        boot, disk = boot_on(disk.live)
        LOADER.restore(boot, "tb1")
        cuts(disk, {OLD_ALWAYS}, sparse=True)
        assert "twinboot" not in disk.live.names and "grub/custom.cfg" not in disk.live.names


def test_a_second_run_on_a_kept_one_and_back(tmp_path: Path) -> None:
    place = after(tmp_path, arm, set_state(BootState.TRIAL), keep_on_the_metal)
    second = wanted(tmp_path / "second", run="tb2", tag="")
    boot, disk = boot_on(place)
    LOADER.stage(boot, second)
    cuts(disk, {NEW_ALWAYS})
    view = LOADER.view(boot)
    assert (view.state, view.run) == (BootState.KEPT, "tb1") and "tb2" in view.runs
    LOADER.arm(boot, "tb2")
    assert LOADER.view(boot).state is BootState.ARMED
    first, *rest = boots(disk.live)
    assert "tb2" in first and set(rest) == {"new"}
    LOADER.disarm(boot, "tb2")
    assert boots(disk.live) == NEW_ALWAYS
    LOADER.arm(boot, "tb2")
    LOADER.roll_back(boot, "tb2")
    LOADER.restore(boot, "tb2")
    assert boots(disk.live) == NEW_ALWAYS and "twinboot/tb2" not in disk.live.names
    assert (LOADER.view(boot).state, LOADER.view(boot).run) == (BootState.KEPT, "tb1")
    LOADER.roll_back(boot, "tb1")
    assert boots(disk.live) == OLD_ALWAYS


def test_no_entry_of_ours_ever_names_a_missing_file(tmp_path: Path) -> None:
    boot, disk = boot_on(installed())
    LOADER.stage(boot, wanted(tmp_path / "new"))
    LOADER.arm(boot, "tb1")
    LOADER.roll_back(boot, "tb1")
    LOADER.restore(boot, "tb1")
    oracle = Oracle(dangling)
    for moment in disk.moments:
        for name, place in moment.states():
            assert not oracle(place), name
    assert len(oracle.known) >= 6


def dangling(place: Place) -> tuple[str, ...]:
    """Entries of ours in the menu that do not load whole."""
    grub = Script(place.read)
    grub.start()
    wrong: list[str] = []
    for choice in grub.menu:
        if choice.id.startswith("twinboot-"):
            inner = Script(place.read, variables=dict(grub.variables))
            inner._run_lines(choice.lines)
            if not (inner.loaded.kernel and inner.loaded.initrd):
                wrong.append(choice.id)
    return tuple(wrong)


# -- mutants: leaving out any part of the order must be caught ----------------------------------------


def test_mutant_without_freeze_is_caught(tmp_path: Path) -> None:
    boot, disk = boot_on(installed(), frozen_does_nothing=True)
    LOADER.stage(boot, wanted(tmp_path / "new"))
    LOADER.arm(boot, "tb1")
    with pytest.raises(AssertionError, match="starts"):
        cuts(disk, {OLD_ALWAYS, TRIAL_ONCE})


def test_mutant_that_flips_first_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = env.block

    def early(state: BootState, run: str, *rest: str) -> bytes:
        return real(BootState.ARMED if state is BootState.STAGED else state, run, *rest)

    monkeypatch.setattr(env, "block", early)
    boot, disk = boot_on(installed())
    LOADER.stage(boot, wanted(tmp_path / "new"))
    with pytest.raises(AssertionError, match="starts"):
        cuts(disk, {OLD_ALWAYS})


def test_mutant_replace_without_a_name_for_the_old_inode_is_caught(tmp_path: Path) -> None:
    boot, disk = boot_on(after(tmp_path, arm, set_state(BootState.TRIAL)))
    text = (boot.disk.read("grub/grub.cfg") or b"").replace(OLD_ROOT.encode(), NEW_ROOT.encode())
    boot.disk.create("grub/grub.cfg.new", text)
    boot.disk.settle()
    boot.disk.rename("grub/grub.cfg.new", "grub/grub.cfg")
    boot.disk.settle()
    with pytest.raises(AssertionError, match="starts"):
        cuts(disk, {OLD_ALWAYS})


def test_mutant_restore_that_removes_the_files_first_is_caught(tmp_path: Path) -> None:
    boot, disk = boot_on(after(tmp_path, arm))
    flip.remove_tree(boot.disk, entries.FOLDER)
    boot.disk.remove("grub/custom.cfg")
    boot.disk.settle()
    with pytest.raises(AssertionError, match="starts"):
        cuts(disk, {TRIAL_ONCE, OLD_ALWAYS})
