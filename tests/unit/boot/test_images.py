"""Where a system boots by unified images: which one is its kernel's, and the initrd inside."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from appliance.boot.artifacts import find_artifacts, image_at
from appliance.boot.initrd import initrd_files, initrd_names
from appliance.errors import BootConfigFailed
from appliance.host.run import RealHost
from tests.crash.tinyimage import unified
from tests.unit.boot.test_artifacts import NAMES, VERSIONS, archive, installed

TOKEN = "7f1b3c5d9e2a4b6c8d0e1f2a3b4c5d6e"


def images(tmp_path: Path, versions: tuple[str, ...] = VERSIONS, mark: str = "") -> Path:
    folder = tmp_path / "EFI/Linux"
    folder.mkdir(parents=True)
    for version in versions:
        data = unified(b"kernel", b"initrd", "root=/dev/mapper/vg0-root ro", version)
        (folder / f"{TOKEN}-{version}{mark}.efi").write_bytes(data)
    (folder / "README").write_text("none")
    return folder


def test_it_is_the_image_of_the_kernel_that_is_the_default(tmp_path: Path) -> None:
    folder = images(tmp_path)
    found = find_artifacts(installed(tmp_path), tmp_path / "boot", folder)
    name = f"{TOKEN}-{VERSIONS[2]}.efi"
    assert (found.unified, found.version, found.kernel, found.initrds) == (True, VERSIONS[2], name, ())
    assert [file.name for file in found.loaded] == [file.name for file in found.with_initrds] == [name]
    assert found.file(name).source == str(folder / name) and len(found.files) == 13


def test_a_counter_is_no_part_of_what_it_is_called(tmp_path: Path) -> None:
    found = find_artifacts(installed(tmp_path), tmp_path / "boot", images(tmp_path, mark="+2-1"))
    assert found.kernel == f"{TOKEN}-{VERSIONS[2]}.efi"


@pytest.mark.parametrize("versions", [(), VERSIONS[:2]])
def test_a_kernel_of_which_there_is_no_image_is_said(tmp_path: Path, versions: tuple[str, ...]) -> None:
    folder = images(tmp_path, versions)
    (folder / f"broken-{VERSIONS[2]}.efi").write_bytes(b"MZ")
    with pytest.raises(BootConfigFailed, match=f"no unified image of its kernel {VERSIONS[2]}"):
        find_artifacts(installed(tmp_path), tmp_path / "boot", folder)


def packed(tmp_path: Path, **more: bytes) -> Path:
    file = tmp_path / "image.efi"
    initrd = gzip.compress(archive(tmp_path / "main", NAMES))
    file.write_bytes(unified(b"kernel" * 99, initrd, "root=/dev/mapper/vg0-root", "6.1", **more))
    return file


def test_names_in_the_initrd_of_an_image(tmp_path: Path) -> None:
    early = archive(tmp_path / "early", ["kernel/x86/microcode/GenuineIntel.bin"])
    found = initrd_names(RealHost(), packed(tmp_path, ucode=early))
    assert set(NAMES) <= set(found) and "kernel/x86/microcode/GenuineIntel.bin" in found
    assert initrd_files(RealHost(), packed(tmp_path / "x"), frozenset({NAMES[0]})).keys() == {NAMES[0]}


def test_an_initrd_inside_that_is_damaged_or_not_there_is_said(tmp_path: Path) -> None:
    file = packed(tmp_path)
    whole = file.read_bytes()
    found = image_at(file)
    section = found.section(".initrd") if found else None
    assert section is not None
    file.write_bytes(whole[: section.offset + section.size // 2])
    with pytest.raises(BootConfigFailed):
        initrd_names(RealHost(), file)
    file.write_bytes(unified(b"kernel", b"", "ro", "6.1"))
    with pytest.raises(BootConfigFailed, match=r"image\.efi is empty"):
        initrd_names(RealHost(), file)
    file.write_bytes(unified(b"kernel", lzma.compress(b"junk" * 99), "ro", "6.1"))
    with pytest.raises(BootConfigFailed):
        initrd_names(RealHost(), file)
