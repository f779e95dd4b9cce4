"""The firmware's own serial console: tables built after the SPCR specification, read by our script."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[3] / "elements/twinboot-system/static"
SPCR = STATIC / "usr/lib/twinboot/spcr"
CONSOLE = STATIC / "usr/lib/twinboot/console"
IO, MEMORY = 1, 0


def table(space: int, address: int, speed: int, revision: int = 2, exact: int = 0) -> bytes:
    """Header (ACPI 5.2.6), then the fields of the SPCR specification; the checksum makes the sum zero."""
    gas = struct.pack("<BBBBQ", space, 8, 0, 1, address)
    body = struct.pack("<B3x", 0) + gas  # 36 interface type: 16550, 40 base address
    body += struct.pack("<BBI", 1, 4, 4)  # 52 interrupt type, IRQ, global system interrupt
    body += struct.pack(
        "<BBBBBB", speed, 0, 1, 0, 3, 0
    )  # 58 speed, parity, stop bits, flow, terminal, language
    body += struct.pack("<HHBBBIBI", 0xFFFF, 0xFFFF, 0, 0, 0, 0, 0, 0)  # 64 PCI ids and place, segment, clock
    if revision >= 4:
        body += struct.pack("<IHH", exact, 0, 0)  # 80 exact speed, name space string
    head = struct.pack(
        "<4sIBB6s8sI4sI", b"SPCR", 36 + len(body), revision, 0, b"MAKER ", b"SERVER  ", 1, b"MADE", 1
    )
    whole = bytearray(head + body)
    whole[9] = -sum(whole) & 0xFF
    assert len(whole) == (80 if revision < 4 else 88) and sum(whole) & 0xFF == 0
    return bytes(whole)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """ttyS0 and ttyS1 at the usual ports, ttyS2 in memory, as /sys shows them; no table yet."""
    for name, what, value in (
        ("ttyS0", "port", "0x3F8"), ("ttyS1", "port", "0x2F8"), ("ttyS2", "iomem_base", "0xFEDC9000"),
        ("ttyS3", "port", "0x0"),
    ):  # fmt: skip
        folder = tmp_path / "sys/class/tty" / name
        folder.mkdir(parents=True)
        (folder / what).write_text(value + "\n")
    (tmp_path / "acpi").mkdir()
    return tmp_path


def environment(machine: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin", "TWINBOOT_SYS": str(machine / "sys"), "TWINBOOT_ACPI": str(machine / "acpi"),
    }  # fmt: skip


def said(machine: Path, content: bytes | None) -> str:
    if content is not None:
        (machine / "acpi/SPCR").write_bytes(content)
    done = subprocess.run([SPCR], env=environment(machine), capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(["shellcheck", SPCR], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("content", "want"),
    [
        (table(IO, 0x3F8, 7), "ttyS0 115200"),
        (table(IO, 0x2F8, 6), "ttyS1 57600"),
        (table(IO, 0x2F8, 3), "ttyS1 9600"),
        (table(IO, 0x2F8, 4), "ttyS1 19200"),
        (table(MEMORY, 0xFEDC9000, 7), "ttyS2 115200"),
        (table(IO, 0x3F8, 0), "ttyS0 0"),
        (table(IO, 0x2F8, 7, revision=4, exact=0), "ttyS1 115200"),
        (table(IO, 0x2F8, 7, revision=4, exact=38400), "ttyS1 38400"),
        (table(IO, 0x2F8, 7, revision=4, exact=123), "ttyS1 115200"),
    ],
)
def test_the_firmwares_line_and_speed(machine: Path, content: bytes, want: str) -> None:
    assert said(machine, content) == want


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"SPCR",
        table(IO, 0x3F8, 7)[:60],
        b"DBG2" + table(IO, 0x3F8, 7)[4:],
        table(IO, 0x3E8, 7),
        table(IO, 0, 7),
        table(MEMORY, 0x3F8, 7),
        table(2, 0x3F8, 7),
    ],
    ids=["none", "empty", "short", "cut", "another", "no such port", "address 0", "memory", "PCI"],
)
def test_no_table_or_none_that_fits_says_nothing(machine: Path, content: bytes | None) -> None:
    assert said(machine, content) == ""


@pytest.mark.parametrize(
    ("name", "speed"), [("ttyS1", "9600"), ("ttyS0", "115200")], ids=["the firmware's", "another"]
)
def test_a_console_goes_on_at_the_firmwares_speed(machine: Path, name: str, speed: str) -> None:
    (machine / "acpi/SPCR").write_bytes(table(IO, 0x2F8, 3))
    program = machine / "program"
    program.write_text("#!/bin/sh\nstty speed\n")
    program.chmod(0o755)
    done = subprocess.run(
        ["script", "-qec", f"stty 38400; {CONSOLE} {name}", "/dev/null"],
        env={**environment(machine), "TWINBOOT_CONSOLE": str(program), "TWINBOOT_RETRY": "0"},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert speed in done.stdout.split()
