"""GRUB's own menu where its entries lie in loader/entries: what matters is the same for both GRUBs."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from appliance.boot import artifacts
from appliance.boot.grub_menu import Menu, is_default, kernel_in, read_menu, root_in
from appliance.boot.grubcfg import number
from appliance.boot.place import Boot, BootPlace
from appliance.boot.rootname import entry_turned
from appliance.probe.bls import BlsEntry, in_upstream_order, parse_name
from tests.crash.blsmachine import ID, OLDER, config, entry, grubenv, name_of
from tests.crash.grubmachine import OLD
from tests.crash.lab import NEW_ROOT, OLD_ROOT
from tests.crash.modeldisk import ModelDisk, ModelRaw, Place
from tests.unit.boot.test_artifacts import installed

CORPUS = Path(__file__).parents[2] / "fixtures/corpus/boot"
FEDORA = "fedora-40-server-lvm-xfs"


def on(files: dict[str, bytes], folder: str = "grub") -> Boot:
    place = Place({folder: 1, "loader": 1, "loader/entries": 1}, {})
    for at, (path, data) in enumerate(files.items(), 2):
        place.names[path], place.inodes[at] = at, data
    disk = ModelDisk(place)
    return Boot(BootPlace(Path("/nowhere"), "", "ext4", "", folder=folder), disk, ModelRaw(disk))


def menu(saved: str, *versions: str, id: str = ID, text: str | None = None) -> Menu:
    files = {f"loader/entries/{id}-{v}.conf": entry(v).encode() for v in versions}
    return read_menu(on({**files, "grub/grubenv": grubenv(saved)}), text or config())


def test_fedora_s_own_files_are_read_as_grub_reads_them() -> None:
    at = CORPUS / FEDORA / "boot"
    files = {str(p.relative_to(at)): p.read_bytes() for p in at.rglob("*") if p.is_file()}
    found = read_menu(on(files, "grub2"), files["grub2/grub.cfg"].decode())
    assert found.own is not None and found.own.root == "/dev/mapper/fedora-root"
    assert found.own.kernel == "vmlinuz-6.8.5-301.fc40.x86_64"
    assert found.own.initrds == ("initramfs-6.8.5-301.fc40.x86_64.img",)
    assert len(found.entries) == len(found.bls) == 2 and not found.rootless and not found.oddly


def test_what_is_saved_is_the_default_by_its_name() -> None:
    letters = "c" * 32
    found = menu(f"{letters}-{OLDER}", OLD, OLDER, id=letters)
    assert found.own is not None and found.own.kernel == f"vmlinuz-{OLDER}"


@pytest.mark.parametrize("saved", ["", "gone", name_of(OLD), "0"])
def test_else_the_newest(saved: str) -> None:
    found = menu(saved, OLDER, OLD)
    assert found.own is not None and found.own.kernel == f"vmlinuz-{OLD}"


def test_a_name_that_is_a_number_for_one_of_them_is_no_answer() -> None:
    assert menu(name_of(OLDER), OLD, OLDER).own is None
    one = "1" + ID[1:]
    assert menu(f"{one}-{OLD}", OLD, OLDER, id=one).own is None, "the second one, for GRUB 2.14"


def test_without_blscfg_loader_entries_is_not_looked_at() -> None:
    text = config().replace("\nblscfg\n", "\n# blscfg\n")
    found = menu("", OLD, text=text)
    assert (found.own, found.bls, found.entries) == (None, (), ())


@pytest.mark.parametrize("line", ["blscfg non-default", "blscfg --path /x", "  blscfg", "\tblscfg"])
def test_blscfg_called_in_another_way_is_told(line: str) -> None:
    assert menu("", OLD, text=config().replace("\nblscfg\n", f"\n{line}\n")).oddly


def test_a_root_that_comes_from_grubenv_is_told() -> None:
    text = entry(OLD).replace(f"root={OLD_ROOT} ro", "$kernelopts")
    block = grubenv().replace(b"Block\n", f"Block\nkernelopts=root={OLD_ROOT} ro\n".encode())[:1024]
    file = f"{name_of(OLD)}.conf"
    found = read_menu(on({f"loader/entries/{file}": text.encode(), "grub/grubenv": block}), config())
    assert found.own is not None and found.own.root == OLD_ROOT and found.rootless == (file,)


@pytest.mark.parametrize(
    ("choice", "said"),
    [("7f1b-6.1", "7"), ("0x1fz", "31"), ("017", "15"), ("09", "9"), ("af", "af"), ("", ""), ("0", "0")],
)
def test_strtoul(choice: str, said: str) -> None:
    assert number(choice) == said


def test_what_keep_would_make_the_default() -> None:
    older, newer = (f"{ID}-{v}.conf" for v in ("6.1.0-9-amd64", "6.1.0-40-amd64"))
    assert is_default(newer, (older, newer), 0, saved=True)
    assert is_default(newer, (older, newer), 0, saved=False)
    assert not is_default(older, (older, newer), 0, saved=True), "seven is too large: the first one"
    assert not is_default(newer, (older, newer), 8, saved=True), "seven is another entry of the menu"
    a, b = (f"a{v}.conf" for v in ("-6.1.0-9-amd64", "-6.1.0-40-amd64"))
    assert is_default(a, (a, b), 0, saved=True) and not is_default(a, (a, b), 0, saved=False)


NAMES = [
    "m-6.12.116+deb13-amd64.conf",
    "m-6.12.48+deb13-amd64.conf",
    "m-0-rescue-m.conf",
    "m-5.14.0-70.el9.x86_64.conf",
    "m-5.14.0-70.13.1.el9_0.x86_64.conf",
    "m-5.14.0-427.el9.x86_64.conf",
    "m-6.1.0-9-amd64.conf",
    "m-6.1.0-13-amd64.conf",
    "m-6.1~rc1-amd64.conf",
    "m-6.1-amd64.conf",
    "opensuse-tumbleweed-6.11.8-1-default-9.conf",
    "opensuse-tumbleweed-6.11.8-1-default-42.conf",
]


def test_the_order_of_grub_2_14_is_that_of_coreutils() -> None:
    """Both are gnulib's filevercmp."""
    for pair in itertools.combinations(NAMES, 2):
        said = subprocess.run(["sort", "-rV"], input="\n".join(pair), capture_output=True, text=True).stdout
        found = in_upstream_order(BlsEntry(file=name, name=parse_name(name)) for name in pair)
        assert [e.file for e in found] == said.split()


def test_turned_an_entry_names_the_new_root_and_nothing_else_changes() -> None:
    text = entry(OLD)
    turned = entry_turned(text, OLD_ROOT, NEW_ROOT)
    assert turned == text.replace(OLD_ROOT, NEW_ROOT) and root_in(turned) == NEW_ROOT
    assert kernel_in(turned) == f"vmlinuz-{OLD}"
    assert entry_turned(text, "/dev/mapper/vg0-other", NEW_ROOT) == text
    assert entry_turned(turned, NEW_ROOT, OLD_ROOT) == text


def test_the_entries_of_a_system_are_those_of_its_own_kernels(tmp_path: Path) -> None:
    root = installed(tmp_path)
    folder = tmp_path / "boot/loader/entries"
    folder.mkdir(parents=True)
    for version in ("6.1.0-40-amd64", "6.1.0-77-amd64"):
        (folder / f"m-{version}.conf").write_text(entry(version))
    (folder / "other.txt").write_text(entry("6.1.0-40-amd64"))
    (folder / "link.conf").symlink_to(folder / "m-6.1.0-40-amd64.conf")
    found = artifacts.find_artifacts(root, tmp_path / "boot")
    assert [e.name for e in found.entries] == ["m-6.1.0-40-amd64.conf"]
    assert "m-6.1.0-40-amd64.conf" not in {f.name for f in found.files}
