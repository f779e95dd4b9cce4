"""Real Debian kernels in packages small enough that dpkg in an emulated guest unpacks them in seconds.

Each package is Debian's own (its signed vmlinuz, System.map and config in /boot, maintainer scripts), with
three
differences: only the modules a lab machine can need, `+lab1` after the version, and a finished initrd,
which the
postinst copies to /boot as update-initramfs would have left it, so that no initrd is built in the guest.
Everything else in /etc/kernel/postinst.d, update-grub first of all, runs as on any Debian.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.lab.archive import PrivateApt
from tests.lab.native import LabError, run
from tests.lab.suite import Suite

REVISION = "+lab1"

KEPT_MODULES = re.compile(
    r"^kernel/(arch/x86/(crypto|kvm)/|virt/|crypto/|lib/|fs/(ext4|jbd2|xfs|btrfs|fat|nls|isofs|fuse|overlayfs|squashfs"
    r"|autofs|efivarfs|configfs|mbcache|binfmt_misc)|drivers/(virtio|nvme/host|md|usb/(host|storage|common|core)|hid/usbhid|virt"
    r"|char/(hw_random|ipmi)|watchdog/(i6300esb|iTCO_wdt|softdog)|scsi/(mpt3sas|megaraid))/?"
    r"|drivers/block/(virtio_blk|loop|nbd|zram/)|drivers/ata/(ahci|libahci|libata|ata_piix|ata_generic)\.ko"
    r"|drivers/scsi/(virtio_scsi|sd_mod|sr_mod|sg|scsi_mod|scsi_common|scsi_transport_(sas|spi)|raid_class"
    r"|vmw_pvscsi)\.ko|drivers/net/(virtio_net|net_failover|dummy|tun|veth)\.ko|net/(core|packet|bridge|802|llc|vmw_vsock)/"
    r"|drivers/net/ethernet/(intel/(e1000|e1000e|igb)|realtek)/|drivers/cdrom/|drivers/firmware/|drivers/acpi/button"
    r"|drivers/hid/(hid|hid-generic)\.ko|drivers/input/(evdev|serio/|mouse/psmouse)|drivers/char/virtio_console"
    r"|drivers/parport/|drivers/i2c/busses/i2c-i801|drivers/rtc/)"
)

SHIPPED_INITRD = """
# The initrd was made beforehand: leave it as `update-initramfs -c` would have.
cp /usr/lib/linux-lab/initrd.img-$version /boot/initrd.img-$version
mkdir -p /var/lib/initramfs-tools
sha1sum /boot/initrd.img-$version > /var/lib/initramfs-tools/$version
INITRD=No
export INITRD
"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of the Debian archive: its release ("6.1.0-50-amd64") and package version ("6.1.176-1")."""

    release: str
    version: str

    @property
    def lab_version(self) -> str:
        return self.version + REVISION


def choose(apt: PrivateApt, suite: Suite) -> tuple[Kernel, Kernel, Kernel]:
    """The kernel of `suite` itself, then the two newest ABIs of its security updates, older first.

    Just after a point release there are no two newer ones: then the three newest there are.
    """
    names = (line.split()[0] for line in apt.names(f"^linux-image-{suite.kernels}$"))
    releases = sorted({name.removeprefix("linux-image-") for name in names}, key=_numbers)
    if len(releases) < 3:
        raise LabError(f"the archive does not offer three kernels of {suite}.")
    own = _of_release(apt, suite)
    first = own if own in releases[:-2] else releases[-3]
    chosen = [Kernel(r, apt.candidates(f"linux-image-{r}")[0][0]) for r in (first, *releases[-2:])]
    return chosen[0], chosen[1], chosen[2]


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release))


def _of_release(apt: PrivateApt, suite: Suite) -> str:
    """The kernel the release itself has, without its security updates."""
    offers = apt.candidates("linux-image-amd64")
    version = next(version for version, origin in offers if f"{suite}/main" in origin)
    depends = apt.field("linux-image-amd64", version, "Depends")
    match = re.match(r"linux-image-(\S+) \(= \S+\)", depends)
    if match is None:
        raise LabError(f"linux-image-amd64 depends on {depends!r}, not on one kernel.")
    return match[1]


def unpack_trimmed(deb: Path, folder: Path, chroot: Path, release: str) -> None:
    """Unpack `deb` into `folder` (with DEBIAN/) and drop the modules KEPT_MODULES does not ask for.

    `chroot` is a root tree whose depmod resolves what the kept modules depend on.
    """
    run("dpkg-deb", "-R", deb, folder)
    modules = folder / "lib/modules" / release
    if not modules.is_dir():
        # A release whose packages know of one /usr only.
        modules = folder / "usr/lib/modules" / release
    place = chroot / "lib/modules" / release
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(modules, place)
    run("chroot", chroot, "depmod", release)
    needed = _closure((place / "modules.dep").read_text())
    for file in place.rglob("*.ko*"):
        if str(file.relative_to(place)) not in needed:
            file.unlink()
    run("find", place, "-type", "d", "-empty", "-delete")
    run("chroot", chroot, "depmod", release)
    shutil.copytree(place, modules, symlinks=True)
    for index in modules.glob("modules.*"):
        if index.name not in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            index.unlink()


def _closure(modules_dep: str) -> set[str]:
    """Paths of the kept modules and of all they depend on (modules.dep lists the whole closure per line)."""
    kept: set[str] = set()
    for line in modules_dep.splitlines():
        path, _, depends = line.partition(":")
        if KEPT_MODULES.match(path):
            kept.update((path, *depends.split()))
    return kept


def initrd(chroot: Path, release: str, config: Path, target: Path) -> None:
    """Build the initrd of `release`, whose modules lie in `chroot`, and move it to `target`."""
    shutil.copy(config, chroot / "boot" / config.name)
    run("chroot", chroot, "mkinitramfs", "-o", "/tmp/initrd", release, timeout=300)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(chroot / "tmp/initrd", target)
    (chroot / "boot" / config.name).unlink()


def repack(folder: Path, kernel: Kernel, pool: Path) -> Path:
    """Make the .deb of an unpacked, trimmed kernel that already holds its initrd; returns its path."""
    shutil.rmtree(folder / "usr/share", ignore_errors=True)
    control = (folder / "DEBIAN/control").read_text()
    control = control.replace(f"Version: {kernel.version}\n", f"Version: {kernel.lab_version}\n")
    control = re.sub(r"^(Recommends|Suggests): .*\n", "", control, flags=re.MULTILINE)
    size = int(run("du", "-sk", "--exclude=DEBIAN", folder).split()[0])
    control = re.sub(r"^Installed-Size: .*$", f"Installed-Size: {size}", control, flags=re.MULTILINE)
    (folder / "DEBIAN/control").write_text(control)
    script = folder / "DEBIAN/postinst"
    text = script.read_text()
    anchor = f"depmod {'$version'}\n"
    if anchor not in text:
        raise LabError("the kernel's postinst no longer runs depmod where the laboratory expects it.")
    script.write_text(text.replace(anchor, anchor + SHIPPED_INITRD, 1))
    files = sorted(p for p in folder.rglob("*") if p.is_file() and "DEBIAN" not in p.parts)
    sums = run("md5sum", *(p.relative_to(folder) for p in files), cwd=folder)
    (folder / "DEBIAN/md5sums").write_text(sums)
    return build_deb(folder, pool)


def meta(kernel: Kernel, scratch: Path, pool: Path) -> Path:
    """The `linux-image-amd64` that pulls `kernel` in, as Debian's does."""
    folder = scratch / f"meta-{kernel.release}"
    (folder / "DEBIAN").mkdir(parents=True)
    (folder / "DEBIAN/control").write_text(
        "Package: linux-image-amd64\n"
        f"Version: {kernel.lab_version}\n"
        "Architecture: amd64\nSection: kernel\nPriority: optional\n"
        "Source: linux-signed-amd64\n"
        "Maintainer: Twinboot laboratory <lab@localhost>\n"
        f"Depends: linux-image-{kernel.release} (= {kernel.lab_version})\n"
        "Description: Linux for 64-bit PCs (meta-package)\n"
    )
    return build_deb(folder, pool)


def build_deb(folder: Path, pool: Path) -> Path:
    """Pack `folder` into `pool`, owned by root, compressed so that an emulated guest unpacks it fast."""
    pool.mkdir(parents=True, exist_ok=True)
    out = run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z3", "--build", folder, pool, timeout=300)
    match = re.search(r"in '([^']+)'", out)
    if match is None:
        raise LabError(f"dpkg-deb said {out!r}.")
    return Path(match[1])
