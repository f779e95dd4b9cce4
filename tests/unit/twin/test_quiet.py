"""What is put into the snapshot, and that all of it is gone afterwards."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.errors import TwinFailed
from appliance.twin.domain import TOOLS_PATH, TOOLS_SERIAL
from appliance.twin.quiet import (
    PATIENCE_FILE,
    QUIET_UNITS,
    SETTLE_UNIT,
    TOOLS_MOUNT,
    place,
    placed_files,
    removal_script,
    remove,
    still_placed,
)
from tests.unit.twin.fake_guest import FakeAgent, guest


def _tree(root: Path) -> dict[str, str]:
    """Every file, link and folder below `root` with its content."""
    tree = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            tree[name] = f"-> {path.readlink()}"
        else:
            tree[name] = path.read_text() if path.is_file() else "folder"
    return tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a drop-in folder of the machine's own for cron."""
    own = tmp_path / "etc/systemd/system/cron.service.d"
    own.mkdir(parents=True)
    (own / "site.conf").write_text("[Service]\nNice=5\n")
    (tmp_path / "etc/systemd/system/nginx.service").write_text("[Service]\n")
    return tmp_path


def _remove_in(root: Path) -> subprocess.CompletedProcess[bytes]:
    script = removal_script().replace(b"'/etc/", f"'{root}/etc/".encode())
    return subprocess.run(["sh", "-s"], input=script, capture_output=True, check=True)


def test_placed_and_removed_leaves_what_was_there(root: Path) -> None:
    before = _tree(root)
    place(root, patient=True)
    assert set(still_placed(root)) == {item.path for item in placed_files()}
    said = _remove_in(root)
    assert still_placed(root) == ()
    assert b"REMAINS" not in said.stdout
    assert _tree(root) == before


def test_placing_twice_is_placing_once(root: Path) -> None:
    place(root)
    once = _tree(root)
    place(root)
    assert _tree(root) == once


def test_every_file_hangs_on_the_tools_disk() -> None:
    for item in placed_files(patient=False):
        assert (
            item.link
            or item.path.endswith(SETTLE_UNIT)
            or f"ConditionPathExists={TOOLS_PATH}" in item.content.replace("=!", "=")
        )
    assert TOOLS_SERIAL in TOOLS_PATH


def test_the_agent_is_wanted_by_the_disk_and_systemd_accepts_the_unit(root: Path) -> None:
    place(root)
    units = root / "etc/systemd/system"
    wants = next(path for path in units.glob("dev-disk*/*"))
    assert (units / "sysinit.target.wants" / SETTLE_UNIT).resolve() == (units / SETTLE_UNIT).resolve()
    assert wants.resolve() == (units / "twinboot-agent.service").resolve()
    escaped = subprocess.run(
        ["systemd-escape", "--path", "--suffix=device", TOOLS_PATH],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert wants.parent.name == f"{escaped}.wants"


def test_timers_and_every_listed_unit_are_kept_still(root: Path) -> None:
    place(root)
    units = root / "etc/systemd/system"
    for name in ("timer", "cron.service", "atd.service", "exim4.service", "qemu-guest-agent.service"):
        assert (
            f"ConditionPathExists=!{TOOLS_PATH}" in (units / f"{name}.d/50-twinboot-quiet.conf").read_text()
        )
    assert len(set(QUIET_UNITS)) == len(QUIET_UNITS)


def test_longer_limits_only_where_asked_for(root: Path) -> None:
    place(root)
    assert not (root / PATIENCE_FILE.lstrip("/")).exists()
    place(root, patient=True)
    assert "DefaultDeviceTimeoutSec" in (root / PATIENCE_FILE.lstrip("/")).read_text()


def test_a_folder_that_leads_out_of_the_snapshot_is_refused(root: Path, tmp_path_factory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (root / "etc/systemd/system/timer.d").symlink_to(outside)
    with pytest.raises(TwinFailed, match=r"timer\.d"):
        place(root)
    assert not list(outside.iterdir())


def test_a_file_of_ours_that_was_made_a_link_is_replaced_not_followed(root: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (root / "etc/systemd/system/twinboot-agent.service").symlink_to(victim)
    place(root)
    assert victim.read_text() == "mine"


def test_what_remains_is_an_error() -> None:
    agent = FakeAgent(lambda argv, stdin: (0, b"REMAINS /etc/systemd/system/twinboot-agent.service\n", b""))
    with pytest.raises(TwinFailed, match=r"twinboot-agent\.service"):
        remove(guest(agent))


def test_a_removal_that_did_not_run_is_an_error() -> None:
    with pytest.raises(TwinFailed):
        remove(guest(FakeAgent(lambda argv, stdin: (127, b"", b"sh: not found"))))


def test_an_immutable_file_is_reported(root: Path) -> None:
    place(root)
    target = root / "etc/systemd/system/twinboot-agent.service"
    target.unlink()
    target.mkdir()
    said = subprocess.run(
        ["sh", "-s"],
        input=removal_script().replace(b"'/etc/", f"'{root}/etc/".encode()).replace(
            b"REMAINS /etc/", f"REMAINS {root}/etc/".encode()
        ),
        capture_output=True,
        check=True,
    )  # fmt: skip
    assert b"REMAINS" in said.stdout
    assert TOOLS_MOUNT.startswith("/run/")
