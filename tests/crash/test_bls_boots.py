"""GRUB 2.14 itself on a disk whose entries lie in loader/entries: promoted, kept, taken back, retired."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot import env
from appliance.boot.place import SECTOR_PATH, Boot
from appliance.boot.shapes import BootState
from appliance.errors import Refused
from tests.crash.blsmachine import OLDER, entry, file_of, grubenv, name_of, wanted
from tests.crash.grubmachine import OLD, Started, start
from tests.crash.lab import LOADER, NEW, NEW_ROOT, OLD_ROOT, opened
from tests.crash.metal import Metal

pytestmark = pytest.mark.root


def on_trial(boot: Boot, work: Path) -> None:
    """Stage, arm, and what GRUB does when it starts the trial."""
    LOADER.stage(boot, wanted(work / "new"))
    LOADER.arm(boot, "tb1")
    boot.disk.write_sector(SECTOR_PATH, env.block(BootState.TRIAL, "tb1")[: env.SECTOR])
    boot.disk.settle()


def kept(boot: Boot, work: Path) -> Metal:
    on_trial(boot, work)
    metal = Metal(work / "metal", boot.place.boot)
    (metal.work / "owned").write_text(f"vmlinuz-{OLD}\n")
    assert metal.call("confirm") == 0, metal.said("stderr") + metal.said("console")
    return metal


def everything(boot: Boot) -> dict[str, bytes | None]:
    """What this system's packages and tools wrote into /boot."""
    paths = [name for name in boot.disk.names("") if boot.disk.is_file(name)]
    paths += [f"loader/entries/{name}" for name in boot.disk.names("loader/entries")]
    return {path: boot.disk.read(path) for path in (*paths, "grub/grub.cfg", "grub/grubenv")}


def came(started: Started) -> tuple[str, str]:
    return started.kernel.removeprefix("kernel "), started.root


def test_the_view_is_what_grub_starts(bls_disk: Path, tmp_path: Path) -> None:
    with opened(bls_disk, tmp_path) as boot:
        view = LOADER.view(boot)
        assert view.own is not None and view.own.id == name_of(OLD)
        assert (view.own.kernel, view.own.root) == (f"vmlinuz-{OLD}", OLD_ROOT)
        assert [e.id for e in view.menu] == [name_of(OLD), name_of(OLDER)]
        assert LOADER.why_not(boot) == ()
    assert came(start(bls_disk)) == (OLD, OLD_ROOT)


def test_staged_it_starts_as_before_and_armed_the_trial_once(bls_disk: Path, tmp_path: Path) -> None:
    with opened(bls_disk, tmp_path) as boot:
        first = everything(boot)
        LOADER.stage(boot, wanted(tmp_path / "new"))
        assert LOADER.staged(boot, wanted(tmp_path / "new")) and everything(boot) == first
    started = start(bls_disk)
    assert came(started) == (OLD, OLD_ROOT) and "twinboot" not in started.line
    with opened(bls_disk, tmp_path) as boot:
        LOADER.arm(boot, "tb1")
    started = start(bls_disk)
    assert came(started) == (NEW, NEW_ROOT) and "twinboot.trial=tb1" in started.line
    for _ in range(2):
        started = start(bls_disk)
        assert came(started) == (OLD, OLD_ROOT) and "noresume" not in started.line


def test_kept_every_kernel_of_the_new_system_starts_its_root(bls_disk: Path, tmp_path: Path) -> None:
    with opened(bls_disk, tmp_path) as boot:
        config = boot.disk.read("grub/grub.cfg")
        metal = kept(boot, tmp_path)
        view = LOADER.view(boot)
        assert view.state is BootState.KEPT and view.own is not None
        assert (view.own.id, view.own.root) == (name_of(NEW), NEW_ROOT)
        roots = {e.id: e.root for e in view.menu}
        assert roots == {name_of(NEW): NEW_ROOT, name_of(OLD): NEW_ROOT}, "the older one's modules are gone"
        assert boot.disk.read("grub/grub.cfg") == config
        assert f"saved_entry={name_of(NEW)}\n".encode() in (boot.disk.read("grub/grubenv") or b"")
        assert metal.call("confirm") == 0 and metal.call("keep") == 0  # safe to repeat
        assert not [n for n in boot.disk.names("loader/entries") if not n.endswith(".conf")]
    started = start(bls_disk)
    assert came(started) == (NEW, NEW_ROOT) and "twinboot" not in started.line


def test_kept_its_next_kernel_starts_by_the_entry_its_packages_make(bls_disk: Path, tmp_path: Path) -> None:
    following = "6.1.0-41-amd64"
    with opened(bls_disk, tmp_path) as boot:
        kept(boot, tmp_path)
        at = boot.place.boot
        (at / f"vmlinuz-{following}").write_bytes(
            (at / f"vmlinuz-{NEW}").read_bytes().replace(NEW.encode(), following.encode())
        )
        (at / f"initrd.img-{following}").write_bytes(f"initrd {following}".encode() + b"\0" * 5000)
        (at / file_of(following)).write_text(entry(following, NEW_ROOT))
        (at / "grub/grubenv").write_bytes(grubenv(name_of(following)))
        boot.disk.settle()
        own = LOADER.view(boot).next_boot
        assert own is not None and own.id == name_of(following)
    assert came(start(bls_disk)) == (following, NEW_ROOT)


def test_kept_then_rolled_back_then_retired_all_is_as_before(bls_disk: Path, tmp_path: Path) -> None:
    with opened(bls_disk, tmp_path) as boot:
        first = everything(boot)
        kept(boot, tmp_path)
        LOADER.roll_back(boot, "tb1")
    assert came(start(bls_disk)) == (OLD, OLD_ROOT)
    with opened(bls_disk, tmp_path) as boot:
        owned = tuple(name for name in first if "/" not in name)
        LOADER.restore(boot, "tb1", owned)
        LOADER.restore(boot, "tb1", owned)
        assert everything(boot) == first
        assert LOADER.view(boot).state is BootState.ABSENT
    started = start(bls_disk)
    assert came(started) == (OLD, OLD_ROOT) and "twinboot" not in started.line


def test_rolled_back_what_the_old_system_has_installed_since_stays(bls_disk: Path, tmp_path: Path) -> None:
    since = "6.1.0-41-amd64"
    with opened(bls_disk, tmp_path) as boot:
        kept(boot, tmp_path)
        LOADER.roll_back(boot, "tb1")
        at = boot.place.boot
        for name in (f"vmlinuz-{since}", f"initrd.img-{since}"):
            (at / name).write_bytes((at / name.replace(since, NEW)).read_bytes())
        (at / file_of(since)).write_text(entry(since))
        (at / "grub/grubenv").write_bytes(grubenv(name_of(since)))
        owned = [f"{kind}-{v}" for kind in ("vmlinuz", "initrd.img") for v in (OLD, OLDER, since)]
        LOADER.restore(boot, "tb1", tuple(owned))
        view = LOADER.view(boot)
        assert {e.id: e.root for e in view.menu} == dict.fromkeys(map(name_of, (since, OLD, OLDER)), OLD_ROOT)
        assert view.own is not None and view.own.id == name_of(since)


def test_kept_then_retired_the_entries_name_the_first_name(bls_disk: Path, tmp_path: Path) -> None:
    with opened(bls_disk, tmp_path) as boot:
        kept(boot, tmp_path)
        LOADER.settle(boot, "tb1", "1234-abcd")
        LOADER.settle(boot, "tb1", "1234-abcd")
    assert came(start(bls_disk)) == (NEW, "UUID=1234-abcd")
    with opened(bls_disk, tmp_path) as boot:
        LOADER.settled(boot, "tb1", NEW_ROOT, OLD_ROOT)
        LOADER.settled(boot, "tb1", NEW_ROOT, OLD_ROOT)
        view = LOADER.view(boot)
        assert view.state is BootState.ABSENT and {e.root for e in view.menu} == {OLD_ROOT}
        assert "twinboot" not in boot.disk.names("") and boot.disk.read("grub/custom.cfg") is None
    started = start(bls_disk)
    assert came(started) == (NEW, OLD_ROOT) and "twinboot" not in started.line


def test_a_machine_that_saves_nothing_starts_the_newest_and_nothing_is_saved(
    bls_disk: Path, tmp_path: Path
) -> None:
    with opened(bls_disk, tmp_path) as boot:
        (boot.place.boot / "grub/grubenv").write_bytes(grubenv())
        boot.disk.settle()
        kept(boot, tmp_path)
        assert boot.disk.read("grub/grubenv") == grubenv()
    assert came(start(bls_disk)) == (NEW, NEW_ROOT)


def test_a_saved_name_of_letters_chooses_and_is_put_back(bls_disk: Path, tmp_path: Path) -> None:
    """The older kernel is what the machine starts, by its name: kept, the tested one."""
    letters = "b" * 32
    with opened(bls_disk, tmp_path) as boot:
        at = boot.place.boot
        for version in (OLD, OLDER):
            (at / file_of(version)).rename(at / file_of(version, letters))
        (at / "grub/grubenv").write_bytes(grubenv(name_of(OLDER, letters)))
        boot.disk.settle()
        first = everything(boot)
        own = LOADER.view(boot).own
        assert own is not None and own.id == name_of(OLDER, letters)
    assert came(start(bls_disk)) == (OLDER, OLD_ROOT)
    with opened(bls_disk, tmp_path) as boot:
        LOADER.stage(boot, wanted(tmp_path / "new", id=letters))
        LOADER.arm(boot, "tb1")
        boot.disk.write_sector(SECTOR_PATH, env.block(BootState.TRIAL, "tb1")[: env.SECTOR])
        boot.disk.settle()
        metal = Metal(tmp_path / "metal", boot.place.boot)
        assert metal.call("confirm") == 0, metal.said("stderr")
    assert came(start(bls_disk)) == (NEW, NEW_ROOT)
    with opened(bls_disk, tmp_path) as boot:
        LOADER.roll_back(boot, "tb1")
        LOADER.restore(boot, "tb1", tuple(name for name in first if "/" not in name))
        assert everything(boot) == first
    assert came(start(bls_disk)) == (OLDER, OLD_ROOT)


def test_a_saved_name_that_is_another_thing_for_each_grub_is_refused(bls_disk: Path, tmp_path: Path) -> None:
    with opened(bls_disk, tmp_path) as boot:
        (boot.place.boot / "grub/grubenv").write_bytes(grubenv(name_of(OLDER)))
        boot.disk.settle()
        assert LOADER.view(boot).own is None
        assert "can not be told" in " ".join(LOADER.why_not(boot))
    assert came(start(bls_disk)) == (OLD, OLD_ROOT), "7f1b... is the number 7 for GRUB 2.14"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("kernelopts", "takes its root from grubenv"),
        ("words", "what GRUB lists is not known"),
        ("no entry", "has no entry in /boot/loader/entries for its vmlinuz-"),
        ("another root", "boots another root than"),
        ("older", "GRUB would take another entry by default"),
    ],
)
def test_refused_and_nothing_is_written(bls_disk: Path, tmp_path: Path, harm: str, said: str) -> None:
    with opened(bls_disk, tmp_path) as boot:
        at, want = boot.place.boot, wanted(tmp_path / "new")
        if harm == "kernelopts":
            (at / "grub/grubenv").write_bytes(
                grubenv().replace(b"Block\n", f"Block\nkernelopts=root={OLD_ROOT} ro\n".encode())[:1024]
            )
            for version in (OLD, OLDER):
                (at / file_of(version)).write_text(entry(version).replace(f"root={OLD_ROOT}", "$kernelopts"))
        elif harm == "words":
            config = at / "grub/grub.cfg"
            config.write_text(config.read_text().replace("\nblscfg\n", "\nblscfg\nblscfg --show-default\n"))
        elif harm == "older":
            (at / file_of("6.9.0-1-amd64")).write_text(entry("6.9.0-1-amd64"))
        elif harm == "no entry":
            older = tuple(e for e in want.artifacts.entries if OLD in e.name)
            want = replace(want, artifacts=replace(want.artifacts, entries=older))
        else:
            (tmp_path / "new" / file_of(NEW)).write_text(entry(NEW, "/dev/mapper/vg0-other"))
        boot.disk.settle()
        before = boot.disk.names("")
        with pytest.raises(Refused, match=said):
            LOADER.stage(boot, want)
        assert boot.disk.names("") == before


HARM = {
    "another kernel": "no entry boots",
    "another root": "no entry boots",
    "a newer one came": "takes another kernel by default",
    "no blscfg": "does not read loader/entries",
    "no editenv": "could not be saved",
}


@pytest.mark.parametrize("harm", HARM)
def test_what_can_not_be_kept_is_given_back(bls_disk: Path, tmp_path: Path, harm: str) -> None:
    with opened(bls_disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        at = boot.place.boot
        metal = Metal(tmp_path / "metal", at)
        if harm == "another kernel":
            (metal.work / "release").write_text("6.1.0-39-amd64\n")
        elif harm == "another root":
            file = at / "twinboot/tb1/bls" / f"{name_of(NEW)}.conf"
            file.write_text(entry(NEW, OLD_ROOT))
        elif harm == "a newer one came":
            (at / file_of("6.9.0-1-amd64")).write_text(entry("6.9.0-1-amd64", OLD_ROOT))
        elif harm == "no blscfg":
            config = at / "grub/grub.cfg"
            config.write_text(config.read_text().replace("\nblscfg\n", "\n"))
        else:
            (metal.work / "bin").mkdir()
            for name in ("grub-editenv", "grub2-editenv"):
                (metal.work / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
                (metal.work / "bin" / name).chmod(0o755)
        boot.disk.settle()
        assert metal.call("confirm") == 1 and metal.rebooted
        view = LOADER.view(boot)
        assert view.state is BootState.TRIAL and HARM[harm] in view.result
    assert came(start(bls_disk)) == (OLD, OLD_ROOT)
