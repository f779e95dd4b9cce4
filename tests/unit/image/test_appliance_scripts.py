"""The sh files of the appliance: which consoles start, what a terminal gets, which stick is mounted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[3] / "elements/twinboot-system/static"
GENERATOR = STATIC / "usr/lib/systemd/system-generators/twinboot-consoles"
CONSOLE = STATIC / "usr/lib/twinboot/console"
DATA = STATIC / "usr/lib/twinboot/data"


@pytest.mark.parametrize("script", [GENERATOR, CONSOLE, DATA], ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def consoles(tmp_path: Path, cmdline: str) -> set[str]:
    """Which consoles start on a machine with tty1, hvc0, chips at ttyS0 and ttyS1, and none at ttyS2."""
    for name, kind in (("tty1", None), ("ttyS0", "4"), ("ttyS1", "4"), ("ttyS2", "0"), ("hvc0", None)):
        folder = tmp_path / "sys/class/tty" / name
        folder.mkdir(parents=True)
        if kind is not None:
            (folder / "type").write_text(kind + "\n")
    (tmp_path / "cmdline").write_text(cmdline + "\n")
    environment = {
        "TWINBOOT_SYS": str(tmp_path / "sys"),
        "TWINBOOT_CMDLINE": str(tmp_path / "cmdline"),
        "PATH": "/usr/bin:/bin",
    }
    out = tmp_path / "units"
    subprocess.run([GENERATOR, out, out, out], env=environment, check=True, timeout=20)
    links = list((out / "sysinit.target.wants").iterdir())
    return {link.name.removeprefix("twinboot-console@").removesuffix(".service") for link in links}


def test_a_console_on_the_screen_and_on_every_serial_line_that_has_a_chip(tmp_path: Path) -> None:
    assert consoles(tmp_path, "quiet boot=twinboot") == {"tty1", "ttyS0", "ttyS1", "hvc0"}


def test_a_line_taken_by_a_debug_shell_gets_no_console(tmp_path: Path) -> None:
    assert consoles(tmp_path, "quiet systemd.debug_shell=ttyS1") == {"tty1", "ttyS0", "hvc0"}


def test_a_line_can_be_left_to_something_else(tmp_path: Path) -> None:
    assert consoles(tmp_path, "twinboot.noconsole=ttyS0 twinboot.noconsole=/dev/hvc0") == {"tty1", "ttyS1"}


def run_console(
    tmp_path: Path, name: str, body: str, more: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    environment = {"PATH": path, "TWINBOOT_CONSOLE": str(program), "TWINBOOT_RETRY": "0", **(more or {})}
    return subprocess.run(
        ["script", "-qec", f"stty rows 0 cols 0; {CONSOLE} {name}", "/dev/null"],
        env=environment, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "term"), [("tty1", "linux"), ("ttyS0", "vt220")])
def test_a_terminal_gets_its_kind_and_a_size(tmp_path: Path, name: str, term: str) -> None:
    done = run_console(tmp_path, name, 'echo "$TERM $LINES $COLUMNS $(stty size)"')
    assert f"{term} 24 80 24 80" in done.stdout


@pytest.mark.parametrize(
    ("name", "mode", "font"),
    [
        ("tty1", "U:1024x768p-0", "twinboot-16"),
        ("tty2", "U:3840x2160p-60", "twinboot-32"),
        ("tty1", "", "twinboot-16"),
        ("ttyS0", "U:1024x768p-0", ""),
    ],
)
def test_a_screen_gets_our_font_before_the_console(tmp_path: Path, name: str, mode: str, font: str) -> None:
    (tmp_path / "graphics/fb0").mkdir(parents=True)
    (tmp_path / "graphics/fb0/modes").write_text(mode + "\n")
    (tmp_path / "class").symlink_to(tmp_path)
    for size in (16, 32):
        (tmp_path / f"twinboot-{size}.psf").write_text("")
    setfont = tmp_path / "setfont"
    setfont.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked; exit 1\n')
    setfont.chmod(0o755)
    more = {"TWINBOOT_FONTS": str(tmp_path), "TWINBOOT_SYS": str(tmp_path)}
    done = run_console(tmp_path, name, f"cat {tmp_path}/asked 2>/dev/null; echo started", more)
    asked = f"-C /dev/{name} {tmp_path}/{font}.psf" if font else ""
    assert asked in done.stdout and "started" in done.stdout and ("psf" in done.stdout) == bool(font)


def test_a_console_that_ends_is_explained_in_words(tmp_path: Path) -> None:
    done = run_console(tmp_path, "ttyS0", "exit 3")
    assert "Twinboot is starting on ttyS0" in done.stdout
    assert "The console on ttyS0 ended (status 3)" in done.stdout
    assert done.returncode == 1


def mount_data(
    tmp_path: Path, medium: str | None, label: str = "TWINBOOT", kind: str = "vfat", last: int = 999
) -> tuple[str, str]:
    """Output of `data start`, and what was mounted, on a machine with two sticks, sda and sdb.

    Each has 1,000 sectors; the second copy of its partition table lies in sector `last`.
    """
    for disk in ("sda", "sdb"):
        for number in (1, 2):
            part = tmp_path / f"sys/class/block/{disk}/{disk}{number}"
            part.mkdir(parents=True)
            (part / "partition").write_text(f"{number}\n")
        (tmp_path / f"sys/class/block/{disk}/size").write_text("1000\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = {
        "mount": f'echo "$*" >>{tmp_path}/mounts',
        "blkid": f'case "$*" in *TYPE*) echo {kind} ;; *) echo {label} ;; esac',
        "od": f"echo ' {last}'",
    }
    for name, body in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    run = tmp_path / "run"
    run.mkdir()
    if medium:
        (run / "medium").write_text(medium + "\n")
    environment = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "TWINBOOT_RUN": str(run),
        "TWINBOOT_SYS": str(tmp_path / "sys"),
    }
    done = subprocess.run([DATA, "start"], env=environment, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    mounts = tmp_path / "mounts"
    return done.stdout, mounts.read_text() if mounts.exists() else ""


def test_only_the_stick_we_came_from_is_mounted(tmp_path: Path) -> None:
    _, mounts = mount_data(tmp_path, "/dev/sdb")
    assert mounts.count("\n") == 1 and f"/dev/sdb1 {tmp_path}/run/data" in mounts
    assert "nosuid,nodev,noexec" in mounts


def test_a_network_boot_mounts_nothing(tmp_path: Path) -> None:
    said, mounts = mount_data(tmp_path, None)
    assert not mounts and "No stick" in said and (tmp_path / "run/data").is_dir()


def test_a_first_partition_with_another_label_is_left_alone(tmp_path: Path) -> None:
    said, mounts = mount_data(tmp_path, "/dev/sdb", label="SOMEONE")
    assert not mounts and "not labelled TWINBOOT" in said


@pytest.mark.parametrize("changed", [{"kind": "iso9660"}, {"label": "TWINBOOT-SYS"}])
def test_nothing_grows_on_a_stick_written_from_the_disc(tmp_path: Path, changed: dict[str, str]) -> None:
    """It has room behind the image as a new stick has, but its first partition is the system."""
    said, mounts = mount_data(tmp_path, "/dev/sdb", last=499, **changed)  # type: ignore[arg-type]
    assert not mounts and "in memory" in said and "not grown" not in said


def test_a_stick_of_ours_grows_before_it_is_mounted(tmp_path: Path) -> None:
    said, mounts = mount_data(tmp_path, "/dev/sdb", last=499)
    assert "was not grown" in said, "there is no /opt/twinboot here"
    assert mounts.count("\n") == 1
