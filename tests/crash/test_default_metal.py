"""Keep where the root is only its file system's default subvolume: real sh, /boot, GRUB and btrfs.

GRUB's own entries name no subvolume, so that the default one decides what they start; ours name theirs.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from appliance.boot import env
from appliance.boot.place import SECTOR_PATH, Boot, BootPlace
from appliance.boot.rootname import root_of
from appliance.boot.shapes import BootState
from appliance.boot.unnamed import roots_of
from appliance.errors import BootConfigFailed
from appliance.volumes.btrfs_disk import BtrfsDisk
from tests.contract.real_lvm import run
from tests.crash.grubmachine import OLD, start
from tests.crash.lab import HOST, LOADER, NEW, OLD_ROOT, opened, wanted
from tests.crash.metal import Metal

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

WAS, IS = "@rootfs", "twinboot/@rootfs-tb1"
WRITERS = ("btrfs", "ln", "mv", "dd", "grub-mkconfig")
"""Programs that keep writes by; asking btrfs writes nothing."""

DARK = """#!/bin/sh
case "@NAME@ $*" in
"btrfs inspect-internal "* | "btrfs subvolume get-default "*) exec @REAL@ "$@" ;;
esac
read -r done <"@FOLDER@/count"
[ "$done" -lt @LIMIT@ ] || exit 1
echo $((done + 1)) >"@FOLDER@/count"
exec @REAL@ "$@"
"""


@dataclass(frozen=True)
class Root:
    """The file system of the roots, on a loop device."""

    loop: str
    uuid: str
    folder: Path

    @property
    def disk(self) -> BtrfsDisk:
        return BtrfsDisk(HOST, self.loop, self.folder / "at")

    @property
    def default(self) -> str:
        with self.disk.reading() as mounted:
            look = mounted.look()
            return look.path(look.default)

    def turn(self, path: str) -> None:
        with self.disk.writing() as mounted:
            mounted.make_default(mounted.look().at(path))

    def id(self, path: str) -> int:
        with self.disk.reading() as mounted:
            return mounted.look().at(path)

    def called(self, path: str) -> str:
        return f"UUID={self.uuid}[/{path}]"

    def started(self, line: str) -> str:
        """The subvolume that the command line `line` leads to."""
        named = root_of(line)
        return named.partition("[/")[2].rstrip("]") if "[" in named else self.default


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    folder = tmp_path / "root"
    folder.mkdir()
    file = folder / "fs.img"
    with file.open("wb") as out:
        out.truncate(128 << 20)
    run("mkfs.btrfs", "-q", str(file))
    loop = run("losetup", "--find", "--show", str(file)).strip()
    try:
        disk = BtrfsDisk(HOST, loop, folder / "at")
        with disk.writing() as mounted:
            mounted.at("twinboot").mkdir()
            for path in (WAS, IS):
                mounted.create(path)
            mounted.make_default(mounted.look().at(WAS))
            uuid = mounted.look().uuid
        yield Root(loop, uuid, folder)
    finally:
        run("losetup", "-d", loop)


def on(boot: Boot, root: Root) -> Boot:
    """`boot` of a machine with that root; its grub.cfg names the file system alone."""
    place = dataclasses.replace(boot.place, root_device=root.loop, root_fsuuid=root.uuid)
    return dataclasses.replace(boot, place=place, roots=roots_of(HOST, place))


def on_trial(boot: Boot, root: Root, work: Path) -> None:
    config = boot.place.boot / "grub/grub.cfg"
    config.write_text(config.read_text().replace(f"root={OLD_ROOT} ", f"root=UUID={root.uuid} "))
    boot.disk.settle()
    names = {"root": root.called(IS), "old_root": root.called(WAS)}
    LOADER.stage(boot, msgspec.structs.replace(wanted(work / "new"), **names))
    LOADER.arm(boot, "tb1")
    boot.disk.write_sector(SECTOR_PATH, env.block(BootState.TRIAL, "tb1")[: env.SECTOR])
    boot.disk.settle()


def keep(boot: Boot, root: Root, work: Path, limit: int = 10**6, broken: str = "") -> tuple[Metal, int]:
    """The trial's confirm unit, whose programs write nothing more after `limit` writes, `broken` none at all.

    With how many they made.
    """
    dark = work / "dark"
    shutil.rmtree(dark, ignore_errors=True)
    dark.mkdir()
    (dark / "count").write_text("0\n")
    metal = Metal(work / "metal", boot.place.boot, root=root.called(IS), default=root.id(WAS))
    (metal.work / "mkconfig.root").write_text(f"UUID={root.uuid}")
    metal.path, metal.mounted = f"{dark}:", str(work / "running")
    for name in WRITERS:
        real = str(metal.work / "bin" / name) if name == "grub-mkconfig" else shutil.which(name)
        words = {"@NAME@": name, "@REAL@": real, "@FOLDER@": dark, "@LIMIT@": 0 if name == broken else limit}
        text = DARK
        for mark, value in words.items():
            text = text.replace(mark, str(value))
        (dark / name).write_text(text)
        (dark / name).chmod(0o755)
    (work / "running").mkdir(exist_ok=True)
    run("mount", "-o", f"subvol=/{IS}", root.loop, metal.mounted)
    try:
        metal.call("confirm")
    finally:
        run("umount", metal.mounted)
    return metal, int((dark / "count").read_text())


def test_an_entry_without_a_subvolume_means_the_default_one(disk: Path, root: Root, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as plain:
        boot = on(plain, root)
        on_trial(boot, root, tmp_path)
        seen = LOADER.view(boot)
        assert seen.own is not None and seen.own.root == root.called(WAS)
        assert seen.next_boot is not None and seen.next_boot.id == "twinboot-previous"
        assert {entry.root for entry in seen.menu} == {root.called(WAS)}
        root.turn(IS)
        seen = LOADER.view(boot)
        assert seen.own is not None and seen.own.root == root.called(IS)
        assert seen.next_boot is not None and seen.next_boot.root == root.called(WAS), "ours is named"


def test_a_root_by_its_device_is_called_by_its_uuid_and_another_device_is_left_alone(root: Root) -> None:
    place = BootPlace(root.folder / "boot", "", "ext4", "", root_device=root.loop, root_fsuuid=root.uuid)
    means = roots_of(HOST, place)
    assert means.whole(root.loop) == means.whole(f"UUID={root.uuid}") == root.called(WAS)
    for other in ("/dev/mapper/vg0-root", "UUID=ab-12", root.called(IS), f"{root.loop}[/x]", ""):
        assert means.whole(other) == other
    named = roots_of(HOST, BootPlace(root.folder / "boot", "", "ext4", ""))
    assert named.whole(root.loop) == root.loop and named.whole("") == "", "a root that has no parts"


def test_another_file_system_at_that_device_is_no_root(root: Root) -> None:
    place = BootPlace(root.folder / "boot", "", "ext4", "", root_device=root.loop, root_fsuuid="ab-12")
    with pytest.raises(BootConfigFailed, match="is not the file system ab-12"):
        roots_of(HOST, place).whole("UUID=ab-12")


def test_kept_the_default_is_the_new_one_and_back_it_is_as_before(
    disk: Path, root: Root, tmp_path: Path
) -> None:
    with opened(disk, tmp_path) as plain:
        boot = on(plain, root)
        names = {name for name in boot.disk.names("") if boot.disk.is_file(name)}
        on_trial(boot, root, tmp_path)
        first = boot.disk.read("twinboot/tb1/before/grub.cfg.first")
        metal, _ = keep(boot, root, tmp_path)
        seen = LOADER.view(boot)
        assert seen.state is BootState.KEPT, metal.said("console")
        assert seen.next_boot == seen.own and seen.own is not None and seen.own.root == root.called(IS)
        assert "rootflags" not in seen.own.options
    began = start(disk)
    assert (began.kernel, root.started(began.line)) == (f"kernel {NEW}", IS)
    with opened(disk, tmp_path) as plain:
        boot = on(plain, root)
        LOADER.roll_back(boot, "tb1")
    began = start(disk)
    assert (began.kernel, root.started(began.line)) == (f"kernel {OLD}", WAS)
    root.turn(WAS)
    with opened(disk, tmp_path) as plain:
        boot = on(plain, root)
        LOADER.restore(boot, "tb1", tuple(names))
        assert boot.disk.read("grub/grub.cfg") == first, "what keep made goes, though it names no root whole"
        assert {name for name in boot.disk.names("") if boot.disk.is_file(name)} == names
    began = start(disk)
    assert (began.kernel, root.started(began.line)) == (f"kernel {OLD}", WAS)


def test_a_keep_that_is_cut_at_any_write_leaves_a_machine_that_starts_one_whole_system(
    disk: Path, root: Root, tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh.img"
    with opened(disk, tmp_path) as plain:
        on_trial(on(plain, root), root, tmp_path)
    shutil.copy(disk, fresh)
    starts = []
    for limit in range(100):
        shutil.copy(fresh, disk)
        root.turn(WAS)
        with opened(disk, tmp_path) as plain:
            _, written = keep(on(plain, root), root, tmp_path, limit)
        began = start(disk)
        starts.append((began.kernel, root.started(began.line)))
        if written < limit:
            break
    old, new = (f"kernel {OLD}", WAS), (f"kernel {NEW}", IS)
    assert len(starts) >= 12 and set(starts) == {old, new}
    assert starts == sorted(starts, key=lambda each: each == new), "once new, always new"


def test_what_can_not_be_kept_leaves_the_default_as_it_was(disk: Path, root: Root, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as plain:
        boot = on(plain, root)
        on_trial(boot, root, tmp_path)
        (tmp_path / "metal").mkdir()
        (tmp_path / "metal/mkconfig.fails").touch()
        metal, _ = keep(boot, root, tmp_path)
        assert "grub-mkconfig failed" in metal.said("log") and metal.rebooted
        assert LOADER.view(boot).state is BootState.TRIAL
    assert root.default == WAS
    began = start(disk)
    assert (began.kernel, root.started(began.line)) == (f"kernel {OLD}", WAS)


def test_a_default_that_can_not_be_turned_is_said_and_the_trial_given_back(
    disk: Path, root: Root, tmp_path: Path
) -> None:
    with opened(disk, tmp_path) as plain:
        boot = on(plain, root)
        on_trial(boot, root, tmp_path)
        metal, _ = keep(boot, root, tmp_path, broken="btrfs")
        assert metal.rebooted and LOADER.view(boot).state is BootState.TRIAL
        assert "its subvolume could not be made the default one" in metal.said("log")
    assert root.default == WAS
