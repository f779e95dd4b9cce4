"""The short VM that turns a prepared disk into an installed one (system/install.sh is its PID 1)."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

from tests.lab import qemu
from tests.lab.firmware import uefi_code
from tests.lab.native import LabError, tail

HERE = Path(__file__).parent
LIMIT = 900.0


def install(
    kernel: Path,
    initrd: Path,
    disks: tuple[Path, ...],
    variables: Path | None,
    settings: dict[str, object],
    scratch: Path,
) -> str:
    """Run the VM on (disk, root file system, further disks), all raw, and return its console log.

    `variables` is a UEFI machine's variable store, which grub-install adds its boot entry to. LabError
    when it does not say it is done within LIMIT seconds.
    """
    combined = scratch / "initrd.install"
    combined.write_bytes(initrd.read_bytes() + _override(HERE / "system/install.sh"))
    log = scratch / "install.log"
    words = " ".join(f"lab.{name}={value}" for name, value in settings.items())
    argv = [
        *qemu.program(),
        *("-machine", "q35", "-accel", "tcg", "-cpu", "max,-erms,-fsrm", "-m", "1024"),
        *("-display", "none", "-no-reboot"),
        *("-kernel", str(kernel), "-initrd", str(combined), "-nic", "none"),
        *("-append", f"console=ttyS0 quiet panic=1 {words}"),
        *("-serial", f"file:{log}", "-monitor", "none"),
    ]
    for disk in disks:
        argv += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe,discard=unmap"]
    if variables is not None:
        argv += ["-drive", f"if=pflash,format=raw,readonly=on,file={uefi_code()}"]
        argv += ["-drive", f"if=pflash,format=raw,file={variables}"]
    said = _play(argv)
    text = log.read_text(errors="replace") if log.exists() else ""
    if "LAB-INSTALL-STATUS ok" not in text:
        raise LabError(f"the installation VM failed ({said}):\n{tail(text, 60)}")
    return text


def _play(argv: list[str]) -> str:
    """Run QEMU until it ends or LIMIT is over, and return what it said itself."""
    try:
        done = subprocess.run(argv, capture_output=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"it was still running after {LIMIT:.0f} s"
    return done.stderr.decode(errors="replace").strip()


def _override(script: Path) -> bytes:
    """A gzip-compressed cpio archive (newc) that replaces the initrd's /init by `script`."""
    data = script.read_bytes()
    archive = _member("init", 0o100755, data) + _member("TRAILER!!!", 0, b"")
    return gzip.compress(archive)


def _member(name: str, mode: int, data: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % value for value in fields)
    return _padded(header + encoded) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
