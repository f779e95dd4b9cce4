"""The root between its two small files is an archive that cpio unpacks as it stands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.image import archive


@pytest.mark.parametrize("name", ["rootfs.squashfs", "a", "ab", "abc", "folder/file"])
@pytest.mark.parametrize("size", [4, 4096, 1 << 20])
def test_it_unpacks_to_the_file_and_nothing_else(tmp_path: Path, name: str, size: int) -> None:
    content = bytes(index % 251 for index in range(size))
    packed = archive.before(name, size) + content + archive.after()
    words = ["cpio", "--quiet", "-i", "-d", "--no-absolute-filenames"]
    subprocess.run(words, input=packed, cwd=tmp_path, check=True)
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()] == [name]
    assert (tmp_path / name).read_bytes() == content
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("name", ["rootfs.squashfs", "a", "ab", "abc"])
def test_every_part_ends_on_a_boundary_and_the_name_ends_in_a_nul(name: str) -> None:
    """Kernels refuse a name without it: "initramfs name without nulterm"."""
    header = archive.before(name, 4096)
    length = int(header[94:102], 16)
    assert header[110 : 110 + length] == name.encode() + b"\0"
    assert len(header) % 4 == len(archive.after()) % 4 == 0


@pytest.mark.parametrize("size", [0, -4, 4095, 1 << 32])
def test_a_size_it_can_not_tell_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"root of {size} bytes"):
        archive.before("root", size)
