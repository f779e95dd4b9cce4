"""The one sector that decides."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.boot import env
from appliance.boot.base import BootState
from appliance.errors import BootConfigFailed


def test_a_block_is_what_grub_editenv_reads(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_bytes(env.block(BootState.ARMED, "tb1", "7A11-0C3D", "/EFI/debian/grubx64.efi"))
    done = subprocess.run(["grub-editenv", str(file), "list"], capture_output=True, text=True, check=True)
    assert dict(line.split("=", 1) for line in done.stdout.splitlines()) == {
        "tb_state": "armed",
        "tb_run": "tb1",
        "tb_once": "1",
        "tb_pending": "1",
        "tb_keep": "0",
        "tb_esp": "7A11-0C3D",
        "tb_loader": "/EFI/debian/grubx64.efi",
    }
    subprocess.run(["grub-editenv", str(file), "set", "tb_once=0"], check=True)
    assert env.decode(file.read_bytes())["tb_once"] == "0" and file.stat().st_size == env.SIZE


@pytest.mark.parametrize("state", BootState)
def test_every_state_fits_one_sector_and_reads_back(state: BootState) -> None:
    block = env.block(state, "tb12345", "12345678-1234-1234-1234-123456789abc", "/EFI/" + "x" * 100)
    assert len(block) == env.SIZE and block[env.SECTOR :] == b"#" * env.SECTOR
    values = env.decode(block)
    assert env.state_of(values) is state
    assert (values["tb_once"] == "1") == (state is BootState.ARMED)
    assert (values["tb_pending"] == "1") == (state in (BootState.ARMED, BootState.TRIAL))


def test_what_does_not_fit_or_is_not_plain_is_refused() -> None:
    with pytest.raises(BootConfigFailed, match="one sector"):
        env.block(BootState.ARMED, "t" * 500)
    for hostile in ("a\nb", "a b", "$x", "é", "#"):
        with pytest.raises(BootConfigFailed, match="tb_run"):
            env.block(BootState.ARMED, hostile)


@pytest.mark.parametrize("data", [b"", b"\0" * 1024, b"# GRUB Environment", b"tb_state=armed\n" * 70])
def test_a_damaged_block_is_said(data: bytes) -> None:
    with pytest.raises(BootConfigFailed):
        env.decode(data)
    assert env.values_of(data) == {} and env.state_of({}) is BootState.DAMAGED
