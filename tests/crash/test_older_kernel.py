"""The older kernel by GRUB's own script: once by its env block, then by the default that the copy names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.boot import pin
from tests.crash.grubmachine import GRUB_CFG
from tests.crash.grubscript import Grub as Script
from tests.crash.test_cuts import installed

OLDER = "6.1.0-12-amd64"

pytestmark = pytest.mark.skipif(shutil.which("grub-editenv") is None, reason="needs grub-editenv")


def kernel_of(place: object) -> tuple[str, dict[str, bytes]]:
    """Which kernel an unattended start takes, and what GRUB writes on the way."""
    grub = Script(place.read)  # type: ignore[attr-defined]
    loaded = grub.start()
    said = loaded.kernel.partition(b"kernel ")[2]
    return said[: len(OLDER)].decode(), grub.writes


def test_the_twin_takes_it_once_and_the_copys_own_default_for_good(tmp_path: Path) -> None:
    choice = pin.choice_of(GRUB_CFG.read_text(), "", OLDER)
    place = installed()
    assert kernel_of(place)[0] != OLDER
    block = tmp_path / "grubenv"
    block.write_bytes(place.read("grub/grubenv") or b"")
    subprocess.run(("grub-editenv", str(block), "set", f"next_entry={choice}"), check=True, timeout=30)
    place.inodes[place.names["grub/grubenv"]] = block.read_bytes()
    kernel, writes = kernel_of(place)
    assert kernel == OLDER
    (written,) = writes.values()
    assert choice.encode() not in written, "GRUB clears it: the boot after that is the system's own choice"
    # What update-grub writes for GRUB_DEFAULT="submenu>entry" (00_header of GRUB 2.06 and 2.12).
    config = GRUB_CFG.read_text().replace('set default="0"', f'set default="{choice}"')
    assert config != GRUB_CFG.read_text()
    held = installed()
    held.inodes[held.names["grub/grub.cfg"]] = config.encode()
    assert kernel_of(held)[0] == OLDER
