"""The tools disk is large enough for whatever a bundle brings, and little larger."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.host.run import Command, Output, RealHost
from appliance.twin.tools import ROOM, build_tools

pytestmark = pytest.mark.skipif(shutil.which("mke2fs") is None, reason="needs e2fsprogs")
MIB = 1 << 20


@dataclass
class Here:
    """This machine, with an agent that needs nothing but its program interpreter."""

    loader: Path

    def run(self, command: Command) -> Output:
        if command.argv[0] == "ldd":
            return Output(0, f"\t{self.loader} (0x00007f0000000000)\n")
        return RealHost().run(command)


def sparse(path: Path, size: int) -> None:
    """Data in each block of a file's map, so that the map is all there."""
    with path.open("wb") as out:
        for at in range(0, size, 4 * MIB):
            out.seek(at)
            out.write(b"x")
        out.truncate(size)


def many_packages(folder: Path) -> None:
    for number in range(220):
        (folder / f"package-{number}_1.0-1_amd64.deb").write_bytes(os.urandom(700 << 10))


def many_names(folder: Path) -> None:
    for number in range(3000):
        (folder / f"{'n' * 60}{number}").write_bytes(b"1")


@pytest.mark.parametrize(
    "fill", [many_packages, many_names, lambda folder: sparse(folder / "one", 600 * MIB)]
)
def test_a_bundle_of_any_shape_fits(tmp_path: Path, fill: Callable[[Path], None]) -> None:
    bundle, image = tmp_path / "bundle", tmp_path / "tools.img"
    agent, loader = tmp_path / "agent", tmp_path / "ld-linux-x86-64.so.2"
    bundle.mkdir()
    fill(bundle)
    for file in (agent, loader):
        file.write_bytes(b"program")
    files_given = {"bundle": bundle, "health.sh": b"true"}
    build_tools(Here(loader), image, tmp_path / "gather", files_given, str(agent))
    files = sum(path.stat().st_size for path in bundle.iterdir())
    entries = len(list(bundle.iterdir())) + 20
    assert files <= image.stat().st_size <= files + entries * 5 * 4096 + ROOM + MIB
    assert not (tmp_path / "gather").exists()
