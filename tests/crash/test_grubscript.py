"""The oracle of the model tests against GRUB itself: same disk, same start."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import env
from appliance.boot.place import SECTOR_PATH, Boot
from appliance.boot.shapes import BootState
from tests.crash.grubmachine import OLD, start
from tests.crash.grubscript import Grub
from tests.crash.lab import LOADER, NEW, opened, wanted

pytestmark = pytest.mark.root


def as_the_oracle_says(boot: Boot, *, writable: bool = True) -> tuple[str, str, str]:
    def file(path: str) -> bytes | None:
        at = boot.place.boot / path
        return at.read_bytes() if at.is_file() else None

    loaded = Grub(file, writable=writable).start()
    kernel = next((f"kernel {v}" for v in (OLD, NEW) if f"kernel {v}".encode() in loaded.kernel), "")
    return kernel, loaded.line, loaded.initrd.rstrip(b"\0").decode()


HARM = {
    "nothing": "",
    "kernel gone": f"twinboot/tb1/files/vmlinuz-{NEW}",
    "initrd gone": f"twinboot/tb1/files/initrd.img-{NEW}",
    "custom.cfg gone": "grub/custom.cfg",
    "env gone": "twinboot/env",
    "entries gone": "twinboot/tb1/entries.cfg",
    "own kernel gone": f"vmlinuz-{OLD}",
}
STATES = (BootState.ARMED, BootState.TRIAL, BootState.ROLLED_BACK, BootState.KEPT, BootState.STAGED)
CASES = [(BootState.ARMED, harm) for harm in HARM] + [(state, "nothing") for state in STATES[1:]]


@pytest.mark.parametrize(("state", "harm"), CASES)
def test_oracle_and_grub_agree(disk: Path, tmp_path: Path, state: BootState, harm: str) -> None:
    with opened(disk, tmp_path) as boot:
        LOADER.stage(boot, wanted(tmp_path / "new"))
        boot.disk.write_sector(SECTOR_PATH, env.block(state, "tb1")[: env.SECTOR])
        if HARM[harm]:
            (boot.place.boot / HARM[harm]).unlink()
        boot.disk.settle()
        foretold = as_the_oracle_says(boot)
        seen = LOADER.view(boot).next_boot
    started = start(disk)
    words = started.line.split(" ", 1)  # BOOT_IMAGE= stands first
    assert (started.kernel, words[1], started.initrd) == foretold
    assert seen is not None and started.root == seen.root  # and the view foretells the same


def test_they_agree_on_a_disk_that_refuses_writes(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        LOADER.stage(boot, wanted(tmp_path / "new"))
        LOADER.arm(boot, "tb1")
        foretold = as_the_oracle_says(boot, writable=False)
    started = start(disk, readonly=True)
    assert (started.kernel, started.line.split(" ", 1)[1], started.initrd) == foretold
