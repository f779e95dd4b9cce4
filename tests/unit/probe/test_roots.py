"""In which subvolume of a btrfs file system an installed root lies, and what stands in its way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import DamagedData
from appliance.host.files import mounted_readonly
from appliance.host.run import RealHost, write
from appliance.model.btrfs import BtrfsRoot, Subvolume
from appliance.model.machine import FstabEntry, InstalledSystem
from appliance.probe.btrfs import as_started
from appliance.probe.btrfs_ours import Tag, read_ours
from appliance.probe.obstacles import of_subvolumes
from appliance.probe.roots import part_of, roots_in, tree_of
from appliance.probe.tree import Tree
from appliance.volumes.btrfs_tags import Tags
from tests.fixtures.machines.derive import load

HOST = RealHost()


def run(*argv: str) -> str:
    return HOST.run(write(*argv)).stdout.strip()


class Made:
    """A btrfs on a loop device, mounted until it is looked at."""

    def __init__(self, folder: Path) -> None:
        self.image, self.at = folder / "image", folder / "at"
        self.at.mkdir()
        with self.image.open("wb") as out:
            out.truncate(128 << 20)
        run("mkfs.btrfs", "-q", str(self.image))
        self.device = run("losetup", "-f", "--show", str(self.image))
        run("mount", "-o", "subvolid=5", self.device, str(self.at))

    def root(self, path: str, *, subvolume: bool = True) -> None:
        folder = self.at / path
        folder.parent.mkdir(parents=True, exist_ok=True)
        if subvolume:
            run("btrfs", "subvolume", "create", str(folder))
        (folder / "etc").mkdir(parents=True)
        (folder / "etc/os-release").write_text(f"ID={path.replace('/', '-')}\n")
        (folder / "etc/fstab").write_text("UUID=x / btrfs defaults 0 0\n")

    def make_default(self, path: str) -> None:
        run("btrfs", "subvolume", "set-default", str(self.at / path))

    def roots(self) -> list[tuple[str, str]]:
        """(path of the subvolume, first words of its os-release), read from the unmounted device."""
        self.unmount()
        before = self.image.read_bytes()
        with mounted_readonly(HOST, self.device, "btrfs", self.at, part_of("btrfs")) as top:
            found = []
            for root in roots_in(HOST, Tree(top), "btrfs"):
                assert root.btrfs is not None
                found.append((root.btrfs.path(root.btrfs.root), root.tree.text("/etc/os-release") or ""))
                system = replace(load("thin-bios").systems[0], btrfs=root.btrfs)
                again = tree_of(system, Tree(top))
                assert again is not None and again.base == root.tree.base
        assert self.image.read_bytes() == before, "a look writes nothing"
        return found

    def unmount(self) -> None:
        if self.at.is_mount():
            run("umount", str(self.at))

    def close(self) -> None:
        self.unmount()
        run("losetup", "-d", self.device)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    it = Made(tmp_path)
    yield it
    it.close()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
class TestOnRealFileSystems:
    @pytest.mark.parametrize("path", ["@", "@rootfs", "root"])
    def test_the_usual_names(self, made: Made, path: str) -> None:
        made.root(path)
        assert made.roots() == [(path, f"ID={path}\n")]

    def test_the_default_subvolume_comes_first(self, made: Made) -> None:
        made.root("@")
        made.root("@/.snapshots/1/snapshot")
        made.make_default("@/.snapshots/1/snapshot")
        assert [path for path, _ in made.roots()] == ["@/.snapshots/1/snapshot", "@"]

    def test_a_root_at_the_top_level(self, made: Made) -> None:
        made.root("", subvolume=False)
        assert [path for path, _ in made.roots()] == [""]

    def test_one_of_ours_that_may_be_started(self, made: Made) -> None:
        made.root("@")
        for name, role in (("@-tb1", "trial"), ("@-tb1-sealed", "sealed"), ("not-ours", "")):
            path = f"twinboot/{name}"
            (made.at / path).parent.mkdir(exist_ok=True)
            run("btrfs", "subvolume", "snapshot", str(made.at / "@"), str(made.at / path))
            if role:
                Tags(made.at).put(name, Tag(run="tb1", role=role, origin="@", path=path))
        assert [path for path, _ in made.roots()] == ["@", "twinboot/@-tb1"]

    def test_what_a_run_was_made_of_is_found_by_any_name_where_its_trial_is_the_default(
        self, made: Made
    ) -> None:
        made.root("system")
        (made.at / "twinboot").mkdir()
        for name, role in (("system-tb1", "trial"), ("system-tb1-base", "base")):
            path = f"twinboot/{name}"
            run("btrfs", "subvolume", "snapshot", str(made.at / "system"), str(made.at / path))
            Tags(made.at).put(name, Tag(run="tb1", role=role, origin="system", path=path))
        made.make_default("twinboot/system-tb1")
        assert [path for path, _ in made.roots()] == ["twinboot/system-tb1", "system"]

    def test_what_a_file_beside_it_says_of_one_of_ours(self, tmp_path: Path) -> None:
        top = Tree(tmp_path)
        assert read_ours(top) == ()
        Tags(tmp_path).put("@-tb1", Tag(run="tb1", role="trial", origin="@", path="twinboot/@-tb1"))
        (found,) = read_ours(top)
        assert (found.name, found.path, found.role, found.run) == ("@-tb1", "twinboot/@-tb1", "trial", "tb1")
        (tmp_path / "twinboot/.tags/@-tb2").write_text("{")
        with pytest.raises(DamagedData, match="the tag of @-tb2"):
            read_ours(top)

    def test_a_plain_folder_of_a_usual_name_is_no_root(self, made: Made) -> None:
        made.root("@", subvolume=False)
        assert made.roots() == []


AT = Subvolume(id=256, path="@", uuid="a")
HOME = Subvolume(id=257, path="@home", uuid="h")


def system(
    found: BtrfsRoot, *entries: FstabEntry, command_line: str = "root=UUID=x rootflags=subvol=@"
) -> InstalledSystem:
    base = load("thin-bios").systems[0]
    root = replace(base.root, vg="", lv="", device="/dev/vda2", fstype="btrfs")
    return replace(base, root=root, fstab=entries, btrfs=as_started(found, command_line))


def mount(target: str, options: str) -> FstabEntry:
    return FstabEntry(spec="UUID=x", target=target, fstype="btrfs", options=options)


def codes(system: InstalledSystem, tree: Path) -> list[str]:
    found = of_subvolumes(system, Tree(tree))
    assert all(t.refuses and t.sentence.endswith(".") for t in found)
    return [t.code for t in found]


ROOT = BtrfsRoot(uuid="u", root=256, subvolumes=(AT, HOME))


def test_a_root_that_boot_entry_and_fstab_agree_on_is_in_nobodys_way(tmp_path: Path) -> None:
    assert (
        codes(system(ROOT, mount("/", "defaults,subvol=@"), mount("/home", "subvol=@home")), tmp_path) == []
    )
    assert codes(system(ROOT, mount("/", "defaults")), tmp_path) == []
    assert codes(replace(system(ROOT), btrfs=None), tmp_path) == []


@pytest.mark.parametrize("command_line", ["root=UUID=x", "root=UUID=x rootflags=subvol=@gone"])
def test_a_boot_entry_that_starts_another_subvolume_refuses(tmp_path: Path, command_line: str) -> None:
    assert codes(system(ROOT, command_line=command_line), tmp_path) == ["another-subvolume"]


def test_an_fstab_that_names_another_subvolume_refuses(tmp_path: Path) -> None:
    assert codes(system(ROOT, mount("/", "subvol=/@home")), tmp_path) == ["another-subvolume"]
    (found,) = of_subvolumes(system(ROOT, mount("/", "subvolid=5")), Tree(tmp_path))
    assert found.sentence == (
        "The system on /dev/vda2 lies in the subvolume @, but its boot entry or its /etc/fstab names another "
        "one: put that right first."
    )


def test_the_default_subvolume_needs_no_name(tmp_path: Path) -> None:
    found = system(replace(ROOT, default=256), mount("/", "defaults"), command_line="root=UUID=x")
    assert found.btrfs is not None and not found.btrfs.named
    assert codes(found, tmp_path) == []


def test_more_than_one_device_and_btrfs_inside_lvm_refuse(tmp_path: Path) -> None:
    assert codes(system(replace(ROOT, devices=2)), tmp_path) == ["btrfs-devices"]
    plain = system(ROOT)
    assert codes(replace(plain, root=replace(plain.root, vg="vg0", lv="root")), tmp_path) == ["btrfs-in-lvm"]


def test_a_subvolume_inside_the_root_refuses_only_with_files_and_unmounted(tmp_path: Path) -> None:
    inside = tuple(
        Subvolume(id=300 + n, path=f"@/{path}", uuid=str(n), parent=256)
        for n, path in enumerate(("var/lib/machines", "srv", "opt", ".snapshots"))
    )
    for path in ("var/lib/machines", "srv/data", "opt/data", ".snapshots/1"):
        (tmp_path / path).mkdir(parents=True)
    found = system(replace(ROOT, subvolumes=(AT, *inside)), mount("/opt", "subvol=@/opt"))
    assert [t.sentence.partition(" ")[0] for t in of_subvolumes(found, Tree(tmp_path))] == ["/srv"]
    assert codes(found, tmp_path) == ["subvolume-inside"]
