"""fstab: one field of one line."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.boot import fstab
from appliance.errors import BootConfigFailed
from appliance.host import attributes

DEBIAN = b"""# /etc/fstab: static file system information.
#
# <file system> <mount point>   <type>  <options>       <dump>  <pass>
/dev/mapper/vg0-root /               ext4    errors=remount-ro 0       1
# /boot was on /dev/vda2 during installation
UUID=5c2ad7a4-3f6e-4b9e-8f6c-0f3c4e3c9f11 /boot           ext4    defaults        0       2
UUID=7A11-0C3D  /boot/efi       vfat    umask=0077      0       1
/dev/mapper/vg0-srv /srv\\040data ext4    defaults        0       2
/dev/mapper/vg0-swap none            swap    sw              0       0
/dev/sr0        /media/cdrom0   udf,iso9660 user,noauto     0       0
"""


def test_parse() -> None:
    found = {entry.target: entry for entry in fstab.parse(DEBIAN)}
    assert len(found) == 6
    assert found["/"].spec == "/dev/mapper/vg0-root" and (found["/"].freq, found["/"].passno) == (0, 1)
    assert found["/srv data"].spec == "/dev/mapper/vg0-srv"
    assert found["none"].fstype == "swap"


def test_only_the_one_field_changes() -> None:
    new = fstab.with_spec(DEBIAN, "/", "/dev/mapper/vg0-root--tb1")
    assert new == DEBIAN.replace(b"/dev/mapper/vg0-root /", b"/dev/mapper/vg0-root--tb1 /")
    assert fstab.with_spec(new, "/", "/dev/mapper/vg0-root") == DEBIAN


@pytest.mark.parametrize("text", [b"", b"# / only a comment\n", DEBIAN + b"/dev/sda1 / ext4 defaults 0 1\n"])
def test_no_line_or_two_lines_for_the_root_is_refused(text: bytes) -> None:
    with pytest.raises(BootConfigFailed, match="exactly one"):
        fstab.with_spec(text, "/", "/dev/sda1")


@pytest.mark.parametrize("spec", ["/dev/sda1 /", "/dev/x\n/dev/y", "", "#", "relative"])
def test_a_spec_that_would_break_the_line_is_refused(spec: str) -> None:
    with pytest.raises(BootConfigFailed):
        fstab.with_spec(DEBIAN, "/", spec)


@given(st.binary(max_size=300))
def test_other_bytes_are_kept_whatever_they_are(junk: bytes) -> None:
    junk = junk.replace(b"\n", b"")
    text = b"#" + junk + b"\n" + DEBIAN + b"#" + junk
    assert fstab.with_spec(fstab.with_spec(text, "/", "UUID=ab-12"), "/", "/dev/mapper/vg0-root") == text


def test_point_root_keeps_the_first_text_and_gives_it_back(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_bytes(DEBIAN)
    first = tmp_path / "var/lib/twinboot/tb1/fstab.first"
    fstab.point(tmp_path, {"/": "/dev/mapper/vg0-root--tb1"}, first)
    fstab.point(tmp_path, {"/": "UUID=aa-bb"}, first)
    assert first.read_bytes() == DEBIAN
    assert b"\nUUID=aa-bb /  " in (tmp_path / "etc/fstab").read_bytes()
    fstab.turn_back(tmp_path, first)
    fstab.turn_back(tmp_path, first)
    assert (tmp_path / "etc/fstab").read_bytes() == DEBIAN


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    """A file system that has attributes, whatever the temporary folder lies on."""
    image, at = tmp_path / "ext4.raw", tmp_path / "root"
    at.mkdir()
    subprocess.run(("mkfs.ext4", "-q", image, "4M"), check=True)
    subprocess.run(("mount", "-o", "loop", image, at), check=True)
    yield at
    subprocess.run(("umount", at), check=True)


@pytest.mark.root
def test_an_immutable_fstab_is_edited_and_immutable_again(ext4: Path) -> None:
    """Hardened machines have one (chattr +i); the trial volume is ours, its protection is theirs."""
    (ext4 / "etc").mkdir()
    file, first = ext4 / "etc/fstab", ext4 / "fstab.first"
    file.write_bytes(DEBIAN)
    subprocess.run(("chattr", "+i", file), check=True)
    with pytest.raises(PermissionError):
        file.write_bytes(b"")
    fstab.point(ext4, {"/": "UUID=aa-bb"}, first)
    assert b"\nUUID=aa-bb /  " in file.read_bytes()
    assert attributes.take(file) == attributes.IMMUTABLE
    attributes.give(file, attributes.IMMUTABLE)
    fstab.turn_back(ext4, first)
    assert file.read_bytes() == DEBIAN
    assert attributes.take(file) == attributes.IMMUTABLE and attributes.take(file) == 0
    assert attributes.take(first) == attributes.take(ext4 / "gone") == 0


def test_a_linked_fstab_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "outside").write_bytes(DEBIAN)
    (tmp_path / "etc/fstab").symlink_to(tmp_path / "outside")
    with pytest.raises(BootConfigFailed, match="symbolic link"):
        fstab.point(tmp_path, {"/": "/dev/sda1"}, tmp_path / "first")
    assert (tmp_path / "outside").read_bytes() == DEBIAN


@pytest.mark.parametrize("spec", ["LABEL=/", r"LABEL=root\040fs", "PARTLABEL=root,1"])
def test_what_named_the_root_before_is_put_back_whatever_it_was(tmp_path: Path, spec: str) -> None:
    """By then the old system is deleted: nothing of its own text may be refused any more."""
    first = f"{spec}\t/\text4 errors=remount-ro 0 1\n".encode()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_bytes(first)
    fstab.point(tmp_path, {"/": "/dev/mapper/vg0-root--tb1"}, tmp_path / "fstab.first")
    assert b"vg0-root--tb1" in (tmp_path / "etc/fstab").read_bytes()
    fstab.turn_back(tmp_path, tmp_path / "fstab.first")
    assert (tmp_path / "etc/fstab").read_bytes() == first


SET = b"# system\n/dev/mapper/vg0-root / ext4 defaults 0 1\n/dev/mapper/vg0-var\t/var  ext4 nodev 0 2 # own\n"


def test_every_volume_of_the_set_is_pointed_and_turned_back_in_one_write_each(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_bytes(SET)
    first = tmp_path / "var/lib/twinboot/tb1/fstab.first"
    devices = {"/": "/dev/mapper/vg0-root--tb1", "/var": "/dev/mapper/vg0-var--tb1"}
    fstab.point(tmp_path, devices, first)
    edited = SET.replace(b"vg0-root ", b"vg0-root--tb1 ").replace(b"vg0-var\t", b"vg0-var--tb1\t")
    assert (tmp_path / "etc/fstab").read_bytes() == edited
    fstab.point_on(tmp_path, {"/var": "UUID=aa-bb"})
    assert (tmp_path / "etc/fstab").read_bytes() == edited.replace(b"/dev/mapper/vg0-var--tb1", b"UUID=aa-bb")
    for _ in range(2):
        fstab.turn_back(tmp_path, first, ("/", "/var"))
        assert (tmp_path / "etc/fstab").read_bytes() == SET == first.read_bytes()


def test_a_volume_without_a_line_leaves_fstab_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_bytes(SET)
    with pytest.raises(BootConfigFailed, match="fstab has 0 lines for /usr"):
        fstab.point(tmp_path, {"/": "/dev/mapper/a-b", "/usr": "/dev/mapper/a-c"}, tmp_path / "first")
    assert (tmp_path / "etc/fstab").read_bytes() == SET


NAMED = b"UUID=ab-12 /\tbtrfs defaults,subvol=@rootfs,noatime 0 0\nUUID=ab-12 /home btrfs subvol=@home 0 0\n"
TRIAL = "UUID=ab-12[/twinboot/@rootfs-tb1]"


def turned_and_back(
    folder: Path, text: bytes, by_admin: tuple[bytes, bytes] = (b"", b"")
) -> tuple[bytes, bytes]:
    """fstab as the trial has it, and once the kept subvolume has its first name."""
    (folder / "etc").mkdir(exist_ok=True)
    file = folder / "etc/fstab"
    file.write_bytes(text)
    (folder / "first").unlink(missing_ok=True)
    for _ in range(2):
        fstab.point(folder, {"/": TRIAL}, folder / "first")
    trial = file.read_bytes()
    file.write_bytes(trial.replace(*by_admin))
    for _ in range(2):
        fstab.turn_back(folder, folder / "first")
    return trial, file.read_bytes()


def test_a_named_subvolume_is_turned_in_its_place_and_others_are_left_alone(tmp_path: Path) -> None:
    trial, back = turned_and_back(tmp_path, NAMED)
    assert trial == NAMED.replace(b"subvol=@rootfs", b"subvol=twinboot/@rootfs-tb1")
    assert back == NAMED


def test_a_default_subvolume_has_no_name_to_be_turned(tmp_path: Path) -> None:
    default = NAMED.replace(b",subvol=@rootfs", b"")
    assert turned_and_back(tmp_path, default) == (default, default)


@pytest.mark.parametrize(
    "options", [b"subvol=/@", b"subvolid=256", b"rw,subvolid=256,subvol=/@", b"subvol=@,ro"]
)
def test_however_a_subvolume_was_named_it_comes_back_byte_for_byte(tmp_path: Path, options: bytes) -> None:
    text = b"LABEL=root / btrfs " + options + b" 0 0 # ours\n"
    trial, back = turned_and_back(tmp_path, text)
    assert b"twinboot/@rootfs-tb1" in trial and trial.startswith(b"LABEL=root / btrfs ") and back == text
    assert trial.count(b"subvol") == 1


def test_options_that_an_admin_has_added_since_stay(tmp_path: Path) -> None:
    _, back = turned_and_back(tmp_path, NAMED, (b"noatime", b"noatime,compress=zstd"))
    assert back == NAMED.replace(b"noatime", b"noatime,compress=zstd")
