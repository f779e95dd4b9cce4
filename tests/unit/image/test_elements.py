"""The elements: diskimage-builder's own linter, shellcheck, and no name of a mirror."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ELEMENTS = Path(__file__).parents[3] / "elements"
SCRIPTS = [path for path in ELEMENTS.glob("*/*.d/[0-9]*") if "environment.d" not in path.parts]


def test_dib_lint_passes() -> None:
    linter = Path(sys.executable).parent / "dib-lint"
    environment = {"PATH": f"{linter.parent}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["bash", linter], cwd=ELEMENTS.parent, env=environment, capture_output=True, text=True, timeout=100
    )
    ours = [
        line
        for line in done.stdout.splitlines()
        if line.startswith("ERROR") and "elements/README.md" not in line
    ]
    assert not ours, "\n".join(ours)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_script_names_a_server() -> None:
    for path in ELEMENTS.rglob("*"):
        if path.is_file():
            found = re.findall(r"https?://[a-z0-9.-]+\.[a-z]+", path.read_text())
            assert not found, f"{path}: {found}"


def modules_tree(tmp_path: Path) -> Path:
    """A kernel with an Ethernet driver and what it needs, a GPU, sound, and a driver of a dropped kind."""
    modules = tmp_path / "usr/lib/modules/6.0-test"
    files = [
        "kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko",
        "kernel/drivers/gpu/drm/i915/i915.ko",
        "kernel/drivers/obscure/helper.ko",
        "kernel/lib/needed_softly.ko",
        "kernel/sound/core/snd.ko",
        "kernel/drivers/net/ethernet/netronome/nfp/nfp.ko",
    ]
    for name in files:
        (modules / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / name).write_text("")
    (modules / "modules.dep").write_text(
        "kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko: kernel/drivers/obscure/helper.ko\n"
        + "".join(f"{name}:\n" for name in files if "e1000e" not in name)
    )
    (modules / "modules.softdep").write_text("# made\nsoftdep helper pre: snd\n")
    return modules


def test_a_kept_driver_keeps_what_it_needs_and_nothing_else_stays(tmp_path: Path) -> None:
    trim = runpy.run_path(str(ELEMENTS / "twinboot-trim/bin/twinboot-keep-modules"))
    modules = modules_tree(tmp_path)
    trim["trim_modules"](modules)
    left = {path.name for path in modules.rglob("*.ko")}
    assert left == {"e1000e.ko", "helper.ko", "snd.ko", "needed_softly.ko"}
    assert not (modules / "kernel/drivers/gpu").exists()
