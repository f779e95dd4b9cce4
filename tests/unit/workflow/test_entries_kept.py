"""Entries of loader/entries on their way from the twin's /boot to the trial volume."""

from __future__ import annotations

from pathlib import Path

from appliance.boot.artifacts import find_artifacts
from appliance.workflow.steps.seal import copy_boot_files
from tests.crash.blsmachine import entry
from tests.unit.boot.test_artifacts import VERSIONS, installed


def test_they_go_along_with_the_files_of_their_kernels(tmp_path: Path) -> None:
    root = installed(tmp_path)
    boot, kept = tmp_path / "boot", tmp_path / "kept"
    (boot / "loader/entries").mkdir(parents=True)
    for version in (*VERSIONS, "6.9.0-1-amd64"):
        (boot / f"loader/entries/m-{version}.conf").write_text(entry(version))
    copy_boot_files(root, boot, kept)
    found = find_artifacts(root, kept)
    assert sorted(e.name for e in found.entries) == sorted(f"m-{version}.conf" for version in VERSIONS)
    assert all(Path(e.source).read_text() == entry(e.name[2:-5]) for e in found.entries)


def test_a_boot_without_them_has_no_folder_of_them(tmp_path: Path) -> None:
    root = installed(tmp_path)
    copy_boot_files(root, tmp_path / "boot", tmp_path / "kept")
    assert not (tmp_path / "kept/loader").exists()
    assert find_artifacts(root, tmp_path / "kept").entries == ()
