"""The installation of a lab system, on a QEMU that is played by a script: what it says decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import qemu
from tests.lab.installer import install
from tests.lab.native import LabError

PLAYED = """#!/bin/sh
for word; do case $word in file:*) log=${word#file:} ;; esac; done
echo "INSTALLED" > "$log"
echo "no such device" >&2
"""


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "initrd").write_bytes(b"")
    (tmp_path / "disk").write_text("prepared\n")
    return tmp_path / "disk"


def play(disk: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> str:
    script = disk.parent / "played"
    script.write_text(PLAYED.replace("INSTALLED", says))
    script.chmod(0o755)
    monkeypatch.setattr(qemu, "program", lambda: (str(script),))
    return install(disk.parent / "kernel", disk.parent / "initrd", (disk,), None, {}, disk.parent)


def test_one_that_says_it_is_installed_is(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert play(disk, monkeypatch, "LAB-INSTALL-STATUS ok") == "LAB-INSTALL-STATUS ok\n"


def test_one_that_does_not_is_an_error_with_what_it_and_its_qemu_said_last(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LabError, match=r"no such device\):\nmkfs: no space"):
        play(disk, monkeypatch, "mkfs: no space")
