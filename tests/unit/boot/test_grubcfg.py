"""Reading GRUB's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.boot import grubcfg

DEBIAN = (Path(__file__).parent / "debian12-grub.cfg").read_text()


def test_the_default_entry_of_a_generated_grub_cfg() -> None:
    entry = grubcfg.default_entry(DEBIAN)
    assert entry is not None
    assert (entry.kernel, entry.initrds) == ("vmlinuz-6.1.0-13-amd64", ("initrd.img-6.1.0-13-amd64",))
    assert entry.root == "/dev/mapper/vg0-root"
    assert entry.options == "root=/dev/mapper/vg0-root ro  quiet"
    assert entry.prelude[:2] == ("load_video", "insmod gzio") and "insmod part_gpt" in entry.prelude
    assert not any("search" in line or "set root" in line for line in entry.prelude)


def test_every_entry_is_found_submenus_included() -> None:
    found = grubcfg.read_entries(DEBIAN)
    assert len(found) == 5
    assert found[2].options.endswith("ro single")


ADVANCED = "gnulinux-advanced-5c2ad7a4-3f6e-4b9e-8f6c-0f3c4e3c9f11"
OLDER = "gnulinux-6.1.0-12-amd64-advanced-5c2ad7a4-3f6e-4b9e-8f6c-0f3c4e3c9f11"


@pytest.mark.parametrize(
    ("choice", "kernel"),
    [
        ("0", "vmlinuz-6.1.0-13-amd64"),
        ("1>2", "vmlinuz-6.1.0-12-amd64"),
        (f"{ADVANCED}>{OLDER}", "vmlinuz-6.1.0-12-amd64"),
        ("Advanced options for Debian GNU/Linux>2", "vmlinuz-6.1.0-12-amd64"),
    ],
)
def test_grub_default_by_number_id_and_title(choice: str, kernel: str) -> None:
    entry = grubcfg.default_entry(DEBIAN.replace('set default="0"', f'set default="{choice}"'))
    assert entry is not None and entry.kernel == kernel


def test_saved_default_comes_from_grubenv() -> None:
    text = DEBIAN.replace('set default="0"', 'set default="${saved_entry}"')
    entry = grubcfg.default_entry(text, saved=f"{ADVANCED}>{OLDER}")
    assert entry is not None and entry.kernel == "vmlinuz-6.1.0-12-amd64"
    entry = grubcfg.default_entry(text)
    assert entry is not None and entry.kernel == "vmlinuz-6.1.0-13-amd64"


@pytest.mark.parametrize("choice", ["9", "1>9", "no such entry"])
def test_a_default_that_is_not_there_is_not_guessed(choice: str) -> None:
    assert grubcfg.default_entry(DEBIAN.replace('set default="0"', f'set default="{choice}"')) is None


def test_boot_inside_the_root_file_system() -> None:
    text = DEBIAN.replace("\t/vmlinuz", "\t/boot/vmlinuz").replace("\t/initrd", "\t/boot/initrd")
    entry = grubcfg.default_entry(text, "/boot")
    assert entry is not None and entry.kernel == "vmlinuz-6.1.0-13-amd64"


def test_41_custom_is_looked_for_where_it_acts() -> None:
    assert grubcfg.sources_custom(DEBIAN)
    assert not grubcfg.sources_custom(DEBIAN.replace("source ${config_directory}/custom.cfg", "true").replace(
        "source $prefix/custom.cfg", "true"))  # fmt: skip
    assert not grubcfg.sources_custom("# source ${config_directory}/custom.cfg\n")


def test_turning_the_root_changes_only_that_word() -> None:
    turned = grubcfg.with_root(DEBIAN, "/dev/mapper/vg0-root", "/dev/mapper/vg0-first")
    assert turned.count("root=/dev/mapper/vg0-first") == 5 and "vg0-root" not in turned
    assert grubcfg.with_root(turned, "/dev/mapper/vg0-first", "/dev/mapper/vg0-root") == DEBIAN
    longer = DEBIAN.replace("vg0-root ", "vg0-root--tb1 ")
    assert grubcfg.with_root(longer, "/dev/mapper/vg0-root", "/dev/sda1") == longer


ON_BTRFS = DEBIAN.replace(
    "root=/dev/mapper/vg0-root ", "root=UUID=ab-12 ro rootflags=noatime,subvol=@rootfs "
)


def test_a_root_in_a_subvolume_is_named_with_it_and_turned_with_it() -> None:
    own = grubcfg.default_entry(ON_BTRFS)
    assert own is not None and own.root == "UUID=ab-12[/@rootfs]"
    turned = grubcfg.with_root(ON_BTRFS, own.root, "UUID=ab-12[/twinboot/@rootfs-tb1]")
    assert turned == ON_BTRFS.replace("subvol=@rootfs", "subvol=twinboot/@rootfs-tb1") != ON_BTRFS
    assert grubcfg.with_root(turned, "UUID=ab-12[/twinboot/@rootfs-tb1]", own.root) == ON_BTRFS
    assert grubcfg.with_root(ON_BTRFS, "UUID=ab-12", "UUID=ab-12[/x]") == ON_BTRFS, "that is another root"


@given(st.text(max_size=400))
def test_any_text_reads_as_something_or_nothing(text: str) -> None:
    grubcfg.default_entry(text)
    grubcfg.read_entries(text)
    grubcfg.default_entry(DEBIAN.replace("menuentry 'Debian", f"menuentry '{text}Debian"))
