"""The copy's file system: real e2fsck on damaged images, and what each exit status means."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.errors import FileSystemFailed
from appliance.host.run import Command, Output, RealHost
from appliance.workflow.steps.fsck import mend

E2FS = pytest.mark.skipif(
    not all(shutil.which(p) for p in ("mke2fs", "debugfs", "e2fsck")), reason="needs e2fsprogs"
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small ext4 with files in it."""
    content = tmp_path / "content"
    (content / "etc").mkdir(parents=True)
    for number in range(20):
        (content / f"etc/{number}").write_text(str(number) * 100)
    made = tmp_path / "root.img"
    subprocess.run(
        ("mke2fs", "-q", "-t", "ext4", "-d", str(content), str(made), "8M"), check=True, timeout=60
    )
    return made


def debugfs(image: Path, *acts: str) -> None:
    for act in acts:
        subprocess.run(("debugfs", "-w", "-R", act, str(image)), check=True, timeout=60, capture_output=True)


def never() -> None:
    raise AssertionError("only XFS is replayed by a mount")


@E2FS
def test_a_healthy_file_system_is_said_to_be_healthy(image: Path) -> None:
    assert mend(RealHost(), str(image), "ext4", never)[-1].startswith("e2fsck: no errors were found")


@E2FS
def test_damage_is_mended_and_a_second_look_finds_none(image: Path) -> None:
    debugfs(image, "clri /etc/3", "ssv free_blocks_count 7", "sif /etc/5 links_count 9")
    assert subprocess.run(("e2fsck", "-fn", str(image)), capture_output=True, check=False).returncode == 4
    said = mend(RealHost(), str(image), "ext4", never)
    assert said[-1] == "e2fsck: errors were corrected; a second look finds none"
    assert any("FILE SYSTEM WAS MODIFIED" in line for line in said)
    assert subprocess.run(("e2fsck", "-fn", str(image)), capture_output=True, check=False).returncode == 0


@E2FS
def test_what_is_no_file_system_is_an_error_and_never_a_clean_bill(tmp_path: Path) -> None:
    empty = tmp_path / "empty.img"
    empty.write_bytes(bytes(1 << 20))
    with pytest.raises(FileSystemFailed) as said:
        mend(RealHost(), str(empty), "ext4", never)
    assert "status 8" in said.value.what and "repair" in said.value.next_actions[0]


class Scripted:
    """Answers each program's calls in turn with a status."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.ran: list[tuple[str, ...]] = []

    def run(self, command: Command) -> Output:
        self.ran.append(command.argv)
        status = self.statuses.pop(0)
        assert status in command.ok, "the status is for us to read"
        return Output(status, f"said {status}\n")


@pytest.mark.parametrize("status", [4, 5, 8, 12, 32, 128])
def test_errors_left_are_never_taken_for_mended(status: int) -> None:
    host = Scripted(status, 0)
    with pytest.raises(FileSystemFailed, match=f"status {status}"):
        mend(host, "/dev/x", "ext4", never)
    assert len(host.ran) == 1


@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_corrected_errors_are_looked_at_again_before_they_are_believed(status: int) -> None:
    host = Scripted(status, 0)
    mend(host, "/dev/x", "ext3", never)
    assert host.ran == [("e2fsck", "-f", "-y", "/dev/x"), ("e2fsck", "-f", "-n", "/dev/x")]
    with pytest.raises(FileSystemFailed, match="second look"):
        mend(Scripted(status, 4), "/dev/x", "ext4", never)


def test_an_xfs_log_is_replayed_by_one_mount_and_never_thrown_away() -> None:
    replayed: list[str] = []
    host = Scripted(2, 0, 0)
    mend(host, "/dev/x", "xfs", lambda: replayed.append("mounted"))
    assert replayed == ["mounted"]
    assert host.ran == [("xfs_repair", "/dev/x"), ("xfs_repair", "/dev/x"), ("xfs_repair", "-n", "/dev/x")]
    with pytest.raises(FileSystemFailed, match="status 2"):
        mend(Scripted(2, 2), "/dev/x", "xfs", lambda: None)
    with pytest.raises(FileSystemFailed, match="second look"):
        mend(Scripted(0, 1), "/dev/x", "xfs", lambda: None)
