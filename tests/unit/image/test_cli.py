"""The front of image building: help that helps, and refusals as sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.image.build import Request, why_not
from appliance.image.cli import main


def test_help_says_how_to_write_the_stick_and_serve_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    for word in ("dd if=dist/twinboot.img", "boot.ipxe", "twinbootx64.efi", "--fast", "TWINBOOT_MIRROR"):
        assert word in text


def test_a_folder_that_is_no_checkout_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--checkout", str(tmp_path), "--dist", str(tmp_path / "dist")]) == 3
    assert "is not a checkout of Twinboot" in capsys.readouterr().err
    assert not (tmp_path / "dist").exists()


def test_missing_programs_are_all_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.image.build._path", lambda: str(tmp_path))
    (reason,) = [text for text in why_not(Request(tmp_path, tmp_path)) if text.startswith("Missing")]
    for package in ("squashfs-tools", "mtools", "mmdebstrap"):
        assert package in reason
