"""A Debian 13 whose systemd-boot starts unified kernel images that its own kernel-install makes.

Made of one with plain entries, on the running system, as its administrator would do it.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.lab import cache
from tests.lab.firmware import UEFI
from tests.lab.installed import SYSTEMD_BOOT, InstalledSystem, SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.native import run, stage
from tests.lab.suite import TRIXIE

WITH_UKIFY = replace(TRIXIE, packages=(*TRIXIE.packages, "systemd-ukify", "systemd-boot-efi"))
"""The latter has the stub that ukify puts in front."""
UNIFIED = SystemSpec(firmware=UEFI, loader=SYSTEMD_BOOT, suite=WITH_UKIFY)
ESP = "/boot/efi"
IMAGES = f"{ESP}/EFI/Linux"

# What kernel-install(8) asks for: the layout, and the command line, which else is the running system's own.
# With another layout it would leave the plain entries and their kernels where they are: they go first.
TURN = """
set -e
versions=$(cd /boot && ls vmlinuz-* | sed s/vmlinuz-//)
for version in $versions; do kernel-install remove "$version"; done
echo layout=uki >/etc/kernel/install.conf
tr ' ' '\\n' </proc/cmdline | grep -v -e ^BOOT_IMAGE= -e ^initrd= | paste -sd ' ' >/etc/kernel/cmdline
for version in $versions; do kernel-install add "$version" "/boot/vmlinuz-$version"; done
sync
"""


def unified_system() -> InstalledSystem:
    """It, built when the cache does not hold it: the one with plain entries, and one start of that."""
    plain = installed_system(UNIFIED)
    key = cache.key_of(plain.disk.parent.name, Path(__file__))
    name = f"system-{UEFI}-unified{WITH_UKIFY.unusual}"
    folder = cache.cached(name, key, lambda place: _build(place, plain))
    return replace(plain, disk=folder / "disk.qcow2", variables=folder / "vars.fd")


def _build(folder: Path, plain: InstalledSystem) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="twinboot-unified-", dir="/var/tmp") as scratch,
        stage("unified kernel images, on the running system"),
        Machine.with_system(plain, folder=Path(scratch)) as machine,
    ):
        machine.power_on()
        shell = machine.shell()
        shell.run("systemctl is-system-running --wait", limit=900)
        shell.read(f"cat >/tmp/turn <<'END'{TURN}END", limit=60)
        (folder / "turn.log").write_text(shell.read("sh -x /tmp/turn && ls -lR /boot", limit=900))
        machine.power_off()
        run("qemu-img", "convert", "-O", "qcow2", machine.disk, folder / "disk.qcow2", timeout=300)
        shutil.copy(machine.folder / "vars.fd", folder / "vars.fd")
    for path in folder.iterdir():
        path.chmod(0o444)
