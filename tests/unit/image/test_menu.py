"""The menus against golden files, and GRUB's own checker on their syntax."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.image.esp import ON_STICK, on_disc, start_script
from appliance.image.menu import ENTRIES, ipxe_script, loopback_menu, medium_menu, network_menu

GOLDEN = Path(__file__).parent / "golden"
BUILD = "0123abcd-4567cdef"
SHA256 = "5f" * 32
TEXTS = {
    "medium-grub.cfg": medium_menu(BUILD),
    "loopback.cfg": loopback_menu(BUILD),
    "esp-stick.cfg": start_script(ON_STICK),
    "esp-disc.cfg": start_script(on_disc(BUILD)),
    "pxe-grub.cfg": network_menu(BUILD, SHA256),
    "boot.ipxe": ipxe_script(BUILD, SHA256),
}


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_the_text_is_the_golden_one(name: str) -> None:
    """A wanted change: write the new text with `python -m tests.unit.image.test_menu` and read the diff."""
    assert TEXTS[name] == (GOLDEN / name).read_text()


@pytest.mark.parametrize("name", sorted(set(TEXTS) - {"boot.ipxe"}))
def test_grub_accepts_the_syntax(name: str, tmp_path: Path) -> None:
    checker = shutil.which("grub-script-check")
    assert checker, "grub-common is one of the project's packages"
    path = tmp_path / name
    path.write_text(TEXTS[name])
    result = subprocess.run([checker, path], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_no_placeholder_is_left(name: str) -> None:
    assert not re.findall(r"@[A-Z0-9]+@", TEXTS[name])


def test_every_kernel_line_names_the_build_and_takes_extra_arguments() -> None:
    for name in ("medium-grub.cfg", "loopback.cfg"):
        lines = [line for line in TEXTS[name].splitlines() if line.strip().startswith("linux ")]
        assert len(lines) == len(ENTRIES)
        for line in lines:
            assert f"twinboot.build={BUILD}" in line and line.endswith("$extra_args") and "noresume" in line
            assert ("twinboot.iso=$iso_path" in line) == (name == "loopback.cfg")


def test_no_serial_console_is_asked_of_the_kernel_unless_chosen() -> None:
    """`console=ttyS0` on a machine without that line hangs or delays its start."""
    by_name = {entry.name: entry.more for entry in ENTRIES}
    assert [name for name, more in by_name.items() if "console=tty" in more] == ["com1", "com2"]


def test_a_root_from_the_network_is_never_used_without_its_hash() -> None:
    for name in ("pxe-grub.cfg", "boot.ipxe"):
        for line in TEXTS[name].splitlines():
            if "twinboot.root=" in line and "set args" not in line:
                assert f"twinboot.sha256={SHA256}" in TEXTS[name]


def test_a_pending_trial_makes_the_machine_the_default_after_ten_seconds() -> None:
    text = TEXTS["medium-grub.cfg"]
    block = text[text.index('if [ "$pending" = 1 ]') :]
    assert "set default=machine" in block and "set timeout=10" in block and "10 seconds" in block


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for file, content in TEXTS.items():
        (GOLDEN / file).write_text(content)
