"""What a system needs in /boot, and what is inside its initrd."""

from __future__ import annotations

import gzip
import lzma
import subprocess
from pathlib import Path

import pytest

from appliance.boot import artifacts
from appliance.boot.drivers import RootStack, disk_modules, not_in_initrd, root_stack
from appliance.boot.initrd import initrd_names
from appliance.errors import BootConfigFailed
from appliance.host.run import RealHost

VERSIONS = ("6.1.0-9-amd64", "6.1.0-13-amd64", "6.1.0-40-amd64")


def installed(
    tmp_path: Path, versions: tuple[str, ...] = VERSIONS, initrds: tuple[str, ...] = VERSIONS
) -> Path:
    root = tmp_path / "root"
    for version in versions:
        info = root / "var/lib/dpkg/info"
        info.mkdir(parents=True, exist_ok=True)
        names = [f"{kind}-{version}" for kind in ("vmlinuz", "config", "System.map")]
        lines = "".join(f"/boot/{name}\n" for name in names)
        (info / f"linux-image-{version}.list").write_text(f"/.\n/boot\n{lines}/lib/modules/{version}/x.ko\n")
        (root / "lib/modules" / version).mkdir(parents=True)
        boot = tmp_path / "boot"
        boot.mkdir(exist_ok=True)
        for name in names:
            (boot / name).write_text(name)
        if version in initrds:
            (boot / f"initrd.img-{version}").write_text(f"initrd {version}")
    return root


def test_the_highest_version_with_an_initrd_is_the_default(tmp_path: Path) -> None:
    found = artifacts.find_artifacts(installed(tmp_path), tmp_path / "boot")
    assert (found.version, found.kernel) == (VERSIONS[2], f"vmlinuz-{VERSIONS[2]}")
    assert found.initrds == (f"initrd.img-{VERSIONS[2]}",) and len(found.files) == 12
    assert (
        found.file(found.kernel).size
        == len(found.kernel)
        == (tmp_path / "boot" / found.kernel).stat().st_size
    )


def test_versions_are_ordered_as_numbers(tmp_path: Path) -> None:
    assert artifacts.kernel_versions(installed(tmp_path), tmp_path / "boot") == tuple(reversed(VERSIONS))


def test_a_kernel_without_initrd_or_modules_is_not_the_default(tmp_path: Path) -> None:
    root = installed(tmp_path, initrds=VERSIONS[:2])
    assert artifacts.find_artifacts(root, tmp_path / "boot").version == VERSIONS[1]
    (root / "lib/modules" / VERSIONS[1]).rmdir()
    assert artifacts.find_artifacts(root, tmp_path / "boot").version == VERSIONS[0]


def test_files_nobody_owns_are_left_out(tmp_path: Path) -> None:
    root = installed(tmp_path)
    for name in ("vmlinuz-9.9.9", "initrd.img-9.9.9", "memtest.bin"):
        (tmp_path / "boot" / name).write_text("x")
    names = {file.name for file in artifacts.find_artifacts(root, tmp_path / "boot").files}
    assert not names & {"vmlinuz-9.9.9", "initrd.img-9.9.9", "memtest.bin"}
    assert set(artifacts.owned_names(root)) == names


def test_nothing_that_boots_is_an_error_not_a_guess(tmp_path: Path) -> None:
    with pytest.raises(BootConfigFailed, match="no kernel"):
        artifacts.find_artifacts(installed(tmp_path, initrds=()), tmp_path / "boot")


NAMES = [
    "usr/lib/modules/6.1/kernel/drivers/block/virtio_blk.ko",
    "usr/lib/modules/6.1/kernel/drivers/md/dm-thin-pool.ko.xz",
    "usr/lib/modules/6.1/kernel/drivers/md/dm-mod.ko.zst",
    "usr/sbin/lvm",
    "usr/sbin/pdata_tools",
]


def archive(folder: Path, names: list[str]) -> bytes:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 7)
    listing = "\n".join([".", *names]).encode()
    argv = ["cpio", "--quiet", "-o", "-H", "newc"]
    return subprocess.run(argv, input=listing, cwd=folder, capture_output=True, check=True).stdout


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, zstd])
@pytest.mark.parametrize("early", [False, True])
def test_names_in_an_initrd_however_it_is_packed(tmp_path: Path, pack, early: bool) -> None:  # type: ignore[no-untyped-def]
    data = pack(archive(tmp_path / "main", NAMES))
    if early:
        data = archive(tmp_path / "early", ["kernel/x86/microcode/GenuineIntel.bin"]) + data
    file = tmp_path / "initrd"
    file.write_bytes(data)
    found = initrd_names(RealHost(), file)
    assert set(NAMES) <= set(found)
    assert ("kernel/x86/microcode/GenuineIntel.bin" in found) == early


@pytest.mark.parametrize("keep", [0, 5, 300, 900])
def test_a_truncated_initrd_is_said(tmp_path: Path, keep: int) -> None:
    whole = gzip.compress(archive(tmp_path / "main", NAMES))
    file = tmp_path / "initrd"
    file.write_bytes(whole[: min(keep, len(whole) - 20)])
    with pytest.raises(BootConfigFailed):
        initrd_names(RealHost(), file)


def test_what_the_initrd_lacks(tmp_path: Path) -> None:
    (tmp_path / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    stack = RootStack(
        ("virtio_blk", "dm_thin_pool", "dm_mod", "ext4"), (("lvm",), ("thin_check", "pdata_tools"))
    )
    assert not_in_initrd(stack, tuple(NAMES), tmp_path) == ()
    without = tuple(n for n in NAMES if "thin" not in n and "pdata" not in n)
    assert not_in_initrd(stack, without, tmp_path) == (
        "The new initrd lacks the driver dm_thin_pool, which this machine's root disk needs.",
        "The new initrd lacks the program thin_check, which the root volume needs.",
    )


def sysfs(tmp_path: Path) -> Path:
    sys = tmp_path / "sys"
    controller = sys / "devices/pci0000:00/0000:00:17.0"
    target = controller / "ata1/host0/target0:0:0/0:0:0:0"
    (target / "block/sda").mkdir(parents=True)
    (sys / "class/block").mkdir(parents=True)
    (sys / "class/block/sda").symlink_to(target / "block/sda")
    (target / "block/sda/device").symlink_to(target)
    for folder, driver, module in ((controller, "ahci", "ahci"), (target, "sd", "sd_mod")):
        at = sys / "bus/x/drivers" / driver
        at.mkdir(parents=True)
        (sys / "module" / module).mkdir(parents=True)
        (at / "module").symlink_to(sys / "module" / module)
        (folder / "driver").symlink_to(at)
    return sys


def test_the_chain_of_drivers_from_the_disk_to_the_bus(tmp_path: Path) -> None:
    sys = sysfs(tmp_path)
    assert disk_modules("/dev/sda", sys) == ("sd_mod", "ahci")
    stack = root_stack(("/dev/sda",), ("thin", "thin-pool"), "ext4", sys=sys)
    assert stack.modules == ("sd_mod", "ahci", "dm_mod", "dm_thin_pool", "ext4")
    assert stack.programs == (("lvm",), ("thin_check", "pdata_tools"))
