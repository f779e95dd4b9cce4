"""The installation VM that loses its disk, played by a program in QEMU's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.installer import install
from tests.lab.native import LabError

PLAYED = """#!/bin/sh
for word; do case "$word" in file:*) log=${word#file:};; esac; done
echo once >> times
[ "$(cat disk)" = prepared ] || { echo "disk: $(cat disk)" >&2; exit 3; }
echo half > disk
[ "$(grep -c once times)" -gt STUCK ] || {
  echo "INFO: task kworker/u2:2:27 blocked for more than 120 seconds." > "$log"
  exec sleep 300
}
echo "LAB-INSTALL-STATUS ok" > "$log"
"""


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "disk").write_text("prepared\n")
    (tmp_path / "initrd").write_bytes(b"")
    return tmp_path / "disk"


def play(disk: Path, stuck: int) -> str:
    program = disk.parent / "qemu-system-x86_64"
    program.write_text(PLAYED.replace("STUCK", str(stuck)))
    program.chmod(0o755)
    return install(disk.parent / "kernel", disk.parent / "initrd", (disk,), None, {}, disk.parent)


def test_a_vm_that_lost_its_disk_is_played_once_more_from_the_disks_as_they_were(
    disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert play(disk, 1) == "LAB-INSTALL-STATUS ok\n"
    assert (disk.parent / "times").read_text() == "once\n" * 2
    assert capsys.readouterr().out.startswith("lab: the disk of the installation VM does not answer")
    assert not list(disk.parent.glob("*.before"))


def test_one_that_loses_it_again_is_an_error_with_what_it_said_last(disk: Path) -> None:
    with pytest.raises(LabError, match=r"blocked for more than 120 seconds"):
        play(disk, 2)
    assert (disk.parent / "times").read_text() == "once\n" * 2


def test_one_that_goes_well_is_played_once(disk: Path) -> None:
    assert play(disk, 0) == "LAB-INSTALL-STATUS ok\n"
    assert (disk.parent / "times").read_text() == "once\n"
