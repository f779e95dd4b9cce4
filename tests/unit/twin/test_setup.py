"""What of ours goes into the twin's root: into the subvolume the system lies in, and into no other."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from appliance.host.run import Command, Output
from appliance.model.btrfs import BtrfsRoot
from appliance.model.machine import InstalledSystem
from appliance.twin.setup import TwinSetup, archive_runtime, place_ours
from tests.unit.twin.machines import plain


class Mounts:
    """What was mounted, and how; a folder stands for the volume."""

    def __init__(self) -> None:
        self.options: list[list[str]] = []

    def run(self, command: Command) -> Output:
        if command.argv[0] == "mount":
            self.options.append(command.argv[command.argv.index("-o") + 1].split(","))
        return Output(0, "")


def _setup(system: InstalledSystem) -> TwinSetup:
    return TwinSetup(
        plain(),
        system,
        "tb1",
        "work",
        {"part4": "/dev/copy"},
        "/dev/scratch",
        base="/dev/base",
        root_part=system.root_part,
        base_part=system.root_part,
    )


def _mounted(system: InstalledSystem, folder: Path) -> list[list[str]]:
    host, at = Mounts(), folder / "root"
    (folder / "base").mkdir()
    at.mkdir()
    archive_runtime(host, _setup(system), folder / "archive")
    place_ours(host, _setup(system), at, slow=False)
    assert any(at.rglob("*")), "our unit is in it"
    return host.options


def test_a_root_that_is_its_volume_is_mounted_as_it_is(tmp_path: Path) -> None:
    (system,) = plain().systems
    found = _mounted(system, tmp_path)
    assert len(found) == 2 and not any("subvol" in option for options in found for option in options)


def test_a_root_in_a_subvolume_is_mounted_by_its_id_both_times(tmp_path: Path) -> None:
    (system,) = plain().systems
    root = replace(system.root, fstype="btrfs")
    held = replace(system, root=root, btrfs=BtrfsRoot(uuid="u", root=257))
    reading, writing = _mounted(held, tmp_path)
    assert "subvolid=257" in reading and "ro" in reading
    assert "subvolid=257" in writing and "ro" not in writing
