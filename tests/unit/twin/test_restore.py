"""Run-time state back to the origin's content, tried with real tar and sh on folders."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.errors import TwinFailed
from appliance.host.run import RealHost
from appliance.twin import restore
from appliance.twin.quiet import RESTORED
from appliance.twin.restore import archive_runtime, restore_script
from tests.unit.twin.fake_guest import FakeAgent, guest


def _write(root: Path, path: str, text: str) -> None:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def _run(root: Path, archive: Path, skipped: tuple[str, ...] = ()) -> int:
    script = restore_script(str(archive), skipped, str(root))
    return subprocess.run(["sh", "-s"], input=script, capture_output=True, check=False).returncode


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    root = tmp_path / "origin"
    _write(root, "/var/spool/cron/atjobs/a0001", "echo once")
    _write(root, "/var/lib/systemd/timers/stamp-x.timer", "")
    _write(root, "/var/lib/dhcp/odd name; rm -rf", "lease")
    _write(root, "/etc/lvm/archive/vg0_1.vg", "text")
    return root


def test_the_twin_s_own_doings_are_undone(origin: Path, tmp_path: Path) -> None:
    archive = tmp_path / "runtime.tar"
    assert archive_runtime(RealHost(), origin, archive) == ()
    twin = tmp_path / "twin"
    subprocess.run(["cp", "-a", str(origin), str(twin)], check=True)
    (twin / "var/spool/cron/atjobs/a0001").unlink()
    _write(twin, "/var/lib/systemd/timers/stamp-y.timer", "")
    _write(twin, "/var/spool/exim4/input/1", "a mail the twin made")
    _write(twin, "/etc/lvm/archive/vg0_2.vg", "the twin's text")
    _write(twin, "/var/lib/ledger/data", "data of a service stays")
    assert _run(twin, archive) == 0
    assert (twin / "var/spool/cron/atjobs/a0001").read_text() == "echo once"
    assert not (twin / "var/lib/systemd/timers/stamp-y.timer").exists()
    assert not (twin / "var/spool/exim4").exists()
    assert not (twin / "etc/lvm/archive/vg0_2.vg").exists()
    assert (twin / "var/lib/ledger/data").read_text() == "data of a service stays"
    assert (twin / "var/lib/dhcp/odd name; rm -rf").read_text() == "lease"


def test_an_empty_origin_is_restored_too(tmp_path: Path) -> None:
    origin, twin, archive = tmp_path / "origin", tmp_path / "twin", tmp_path / "runtime.tar"
    origin.mkdir()
    archive_runtime(RealHost(), origin, archive)
    _write(twin, "/var/spool/cron/atjobs/a1", "x")
    assert _run(twin, archive) == 0
    assert not (twin / "var/spool/cron/atjobs").exists()


def test_a_spool_too_big_is_said_and_left_alone(origin: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(restore, "LARGEST", 100)
    _write(origin, "/var/spool/postfix/deferred/1", "x" * 5000)
    archive = tmp_path / "runtime.tar"
    left = archive_runtime(RealHost(), origin, archive)
    assert "/var/spool/postfix" in left
    twin = tmp_path / "twin"
    _write(twin, "/var/spool/postfix/deferred/2", "stays")
    _run(twin, archive, left)
    assert (twin / "var/spool/postfix/deferred/2").exists()


def test_a_link_is_never_followed(origin: Path, tmp_path: Path) -> None:
    archive, twin, elsewhere = tmp_path / "runtime.tar", tmp_path / "twin", tmp_path / "elsewhere"
    archive_runtime(RealHost(), origin, archive)
    _write(elsewhere, "/keep", "mine")
    (twin / "var/lib").mkdir(parents=True)
    (twin / "var/lib/dhcp").symlink_to(elsewhere)
    _run(twin, archive)
    assert (elsewhere / "keep").read_text() == "mine"


def test_a_failed_restore_is_an_error() -> None:
    agent = FakeAgent(lambda argv, stdin: (3, b"DIFFERS /var/lib/dhcp\n", b""))
    with pytest.raises(TwinFailed, match="DIFFERS /var/lib/dhcp"):
        restore.restore(guest(agent), "/x.tar")


def test_a_damaged_archive_is_an_error(origin: Path, tmp_path: Path) -> None:
    archive = tmp_path / "runtime.tar"
    archive.write_bytes(b"no tar" * 1000)
    twin = tmp_path / "twin"
    _write(twin, "/var/spool/cron/atjobs/a1", "the twin's")
    assert _run(twin, archive) != 0
    assert (twin / "var/spool/cron/atjobs/a1").exists(), (
        "nothing is removed for an archive that can not be read"
    )
    assert all(path.startswith(("/var/", "/etc/lvm/")) for path in RESTORED)
