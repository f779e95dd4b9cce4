"""Keep takes a new grub.cfg only where its default is the kernel that was tested (keep.sh: keep_tested)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.boot import confirm

KEEP = Path(confirm.__file__).parent / "keep.sh"
RECORDED = Path(__file__).with_name("debian12-grub.cfg")
NEWEST, OLDER, OTHER = "6.1.0-13-amd64", "6.1.0-12-amd64", "6.1.0-1-amd64"
DEVICE = "5c2ad7a4-3f6e-4b9e-8f6c-0f3c4e3c9f11"
SUBMENU = f"gnulinux-advanced-{DEVICE}"
OLDER_ID = f"gnulinux-{OLDER}-advanced-{DEVICE}"


def keeps(folder: Path, default: str, runs: str) -> bool:
    config = folder / "grub.cfg"
    config.write_text(RECORDED.read_text().replace('set default="0"', f'set default="{default}"'))
    (folder / "uname").write_text(f"#!/bin/sh\necho {runs}\n")
    (folder / "uname").chmod(0o755)
    script = f'PATH="$2:$PATH"; . "{KEEP}"; keep_tested "$1"'
    done = subprocess.run(
        ["dash", "-c", script, "sh", str(config), str(folder)], capture_output=True, text=True, timeout=20
    )
    assert done.stderr == "" and done.returncode in (0, 1)
    return done.returncode == 0


@pytest.mark.parametrize(
    ("default", "kernel"),
    [
        ("0", NEWEST),
        (f"gnulinux-simple-{DEVICE}", NEWEST),
        (f"{SUBMENU}>{OLDER_ID}", OLDER),
        (f"Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux {OLDER}", OLDER),
        (OLDER_ID, OLDER),
        # GRUB takes its first entry where it finds no such name.
        (f"gnulinux-advanced-of-the-twin>{OLDER_ID}", NEWEST),
        (f"{SUBMENU}>gnulinux-{OTHER}-advanced-{DEVICE}", NEWEST),
        ("no such entry", NEWEST),
    ],
)
def test_only_the_kernel_that_the_default_names_is_kept(tmp_path: Path, default: str, kernel: str) -> None:
    assert [keeps(tmp_path, default, runs) for runs in (NEWEST, OLDER, OTHER)] == [
        kernel == NEWEST,
        kernel == OLDER,
        False,
    ]


@pytest.mark.parametrize("default", ["${saved_entry}", "1>2", "2"])
def test_what_only_grub_can_tell_passes(tmp_path: Path, default: str) -> None:
    assert keeps(tmp_path, default, OTHER)
