"""Holding a system at an older kernel: GRUB's own name for it, the file, and what is staged because of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.boot import grubcfg, pin
from appliance.boot.artifacts import find_artifacts, kernel_versions, kernels_with_modules
from appliance.errors import BootConfigFailed
from tests.unit.boot.test_grubcfg import ADVANCED, DEBIAN, OLDER

OLD, NEW = "6.1.0-12-amd64", "6.1.0-13-amd64"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with two packaged kernels; /boot in it."""
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / "boot").mkdir()
    for version in (OLD, NEW):
        (info / f"linux-image-{version}.list").write_text(f"/boot\n/boot/vmlinuz-{version}\n")
        (tmp_path / "usr/lib/modules" / version).mkdir(parents=True)
        for name in ("vmlinuz", "initrd.img"):
            (tmp_path / f"boot/{name}-{version}").write_text(f"{name} {version}")
    return tmp_path


def test_the_choice_is_the_one_grub_itself_resolves() -> None:
    choice = pin.choice_of(DEBIAN, "", OLD)
    assert choice == f"{ADVANCED}>{OLDER}"
    entry = grubcfg.default_entry(DEBIAN.replace('set default="0"', f'set default="{choice}"'))
    assert entry is not None and entry.kernel == f"vmlinuz-{OLD}"
    assert "single" not in entry.options, "never the recovery entry"


def test_a_kernel_without_an_entry_and_a_menu_that_takes_no_choice_are_refused() -> None:
    with pytest.raises(BootConfigFailed, match=r"no entry for the kernel 5\.10"):
        pin.choice_of(DEBIAN, "", "5.10")
    with pytest.raises(BootConfigFailed, match="takes no choice"):
        pin.choice_of("menuentry 'x' {\n linux /vmlinuz-5.10 root=/dev/sda\n}\n", "", "5.10")


def test_a_held_system_is_staged_with_that_kernel_and_keeps_its_newer_files(root: Path) -> None:
    assert find_artifacts(root, root / "boot").version == NEW
    pin.place(root, OLD, f"{ADVANCED}>{OLDER}")
    text = (root / pin.FILE).read_text()
    assert f'\nGRUB_DEFAULT="{ADVANCED}>{OLDER}"\n' in text and "Delete this file" in text
    found = find_artifacts(root, root / "boot")
    assert (found.version, found.kernel, found.initrds) == (OLD, f"vmlinuz-{OLD}", (f"initrd.img-{OLD}",))
    assert f"vmlinuz-{NEW}" in {file.name for file in found.files}
    assert kernel_versions(root, root / "boot") == (OLD, NEW)


DEVICE = "/dev/mapper/vg0-root"
LIB = Path("/usr/share/grub/grub-mkconfig_lib")
STANDS_FOR_LIB = 'grub_get_device_id() { echo "$1"; }'


@pytest.mark.parametrize(
    "lib",
    [
        STANDS_FOR_LIB,
        pytest.param(
            f"grub_probe=false; . {LIB}", marks=pytest.mark.skipif(not LIB.is_file(), reason="no GRUB here")
        ),
    ],
)
def test_where_grub_names_entries_by_device_it_is_that_of_whoever_runs_update_grub(
    root: Path, lib: str
) -> None:
    """The twin's root is vg0-root; the promoted one's on the metal is not."""
    pin.place(root, OLD, f"gnulinux-advanced-{DEVICE}>gnulinux-{OLD}-advanced-{DEVICE}")
    told = f'set -e; GRUB_DEVICE={DEVICE}--tb1; {lib}; . {root / pin.FILE}; echo "$GRUB_DEFAULT"'
    said = subprocess.run(("sh", "-c", told), check=True, capture_output=True, text=True, timeout=30)
    assert said.stdout == f"gnulinux-advanced-{DEVICE}--tb1>gnulinux-{OLD}-advanced-{DEVICE}--tb1\n"
    assert pin.pinned(root) == OLD


def test_read_by_somebody_else_the_file_changes_nothing(root: Path) -> None:
    pin.place(root, OLD, f"gnulinux-advanced-{DEVICE}>gnulinux-{OLD}-advanced-{DEVICE}")
    told = f'set -eu; GRUB_DEFAULT=0; . {root / pin.FILE}; echo "$GRUB_DEFAULT"'
    said = subprocess.run(("sh", "-c", told), check=True, capture_output=True, text=True, timeout=30)
    assert (said.stdout, said.stderr) == ("0\n", "")


def test_a_name_that_would_not_be_found_on_the_metal_is_refused(root: Path) -> None:
    with pytest.raises(BootConfigFailed, match="promoted, its root has another name"):
        pin.place(root, OLD, f"special-{DEVICE}>{OLD}")
    assert not (root / pin.FILE).exists()


def test_a_kernel_whose_initrd_is_gone_can_still_get_one(root: Path) -> None:
    (root / f"boot/initrd.img-{NEW}").unlink()
    assert kernel_versions(root, root / "boot") == (OLD,)
    assert kernels_with_modules(root, root / "boot") == (NEW, OLD)


def test_a_symbolic_link_leads_nowhere(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (root / "etc/default/grub.d").symlink_to(outside)
    with pytest.raises(BootConfigFailed, match="symbolic link"):
        pin.place(root, OLD, "0")
    assert list(outside.iterdir()) == []
    assert pin.pinned(root) == ""
