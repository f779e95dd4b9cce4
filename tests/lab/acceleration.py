"""Whether guests can run on this machine's processor: found out by booting one, not by a look at /dev/kvm."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path

from tests.lab import cache, qemu
from tests.lab.native import LabError, run

LIMIT = 20.0
WORD = "Linux version"


def accelerator(wanted: str = "auto") -> str:
    """ "kvm" or "tcg". `auto` boots a stock kernel under KVM once per start of this machine and remembers."""
    if wanted in ("kvm", "tcg"):
        return wanted
    if wanted != "auto":
        raise LabError(f"there is no acceleration {wanted!r}: it is auto, kvm or tcg.")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    folder = cache.cached("acceleration", cache.key_of(Path(__file__), boot), _probe)
    return (folder / "answer").read_text()


def _probe(folder: Path) -> None:
    works = Path("/dev/kvm").exists() and _boots_under_kvm()
    (folder / "answer").write_text("kvm" if works else "tcg")


def _boots_under_kvm() -> bool:
    """True when a stock kernel gets as far as its first words; it will then panic for want of a root."""
    from tests.lab.pool import offers

    available = offers()
    image = available.kernel_debs(available.installed)[0]
    with tempfile.TemporaryDirectory(prefix="twinboot-kvm-") as name:
        scratch = Path(name)
        run("dpkg-deb", "-x", image, scratch)
        log = scratch / "log"
        argv = [
            *(*qemu.program(), "-machine", "q35", "-accel", "kvm", "-cpu", "host"),
            *("-m", "512", "-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{log}"),
            *("-kernel", str(scratch / f"boot/vmlinuz-{available.installed.release}")),
            *("-append", "console=ttyS0 panic=-1"),
        ]
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):
            subprocess.run(argv, capture_output=True, timeout=LIMIT, check=False)
        text = log.read_text(errors="replace") if log.exists() else ""
        return WORD in text and "Kernel panic" in text
