"""Looks into a built dist/: what must be in the image, and what must not."""

from __future__ import annotations

import ast
import hashlib
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from appliance.image.sizes import MIB
from appliance.image.sources import mirrors
from appliance.model.service_messages import LAYOUTS

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root file system of the built image, unpacked."""
    rootfs = DIST / "pxe/rootfs.squashfs"
    assert rootfs.exists(), "run `make image` first"
    out = tmp_path_factory.mktemp("image") / "root"
    subprocess.run(["unsquashfs", "-n", "-q", "-d", out, rootfs], check=True, capture_output=True)
    return out


def files(tree: Path, *below: str) -> Iterator[Path]:
    for folder in below or ("",):
        for path in (tree / folder).rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path


def partition_start(number: int) -> int:
    """Byte offset of a partition of the stick."""
    done = subprocess.run(
        ["sfdisk", "--dump", DIST / "twinboot.img"], capture_output=True, text=True, check=True
    )
    match = re.search(rf"twinboot\.img{number} : start=\s*(\d+)", done.stdout)
    assert match, done.stdout
    return int(match[1]) * 512


# What it holds


def test_the_stick_and_the_network_folder_hold_the_same_root_and_kernel(tmp_path: Path) -> None:
    stick = f"{DIST / 'twinboot.img'}?offset={partition_start(4)}"
    subprocess.run(["debugfs", "-R", f"dump /twinboot/SHA256SUMS {tmp_path}/sums", stick], check=True)
    on_stick = dict(reversed(line.split()) for line in (tmp_path / "sums").read_text().splitlines())
    on_net = dict(reversed(line.split()) for line in (DIST / "pxe/SHA256SUMS").read_text().splitlines())
    assert on_stick["rootfs.squashfs"] == on_net["rootfs.squashfs"]
    assert on_stick["vmlinuz"] == on_net["vmlinuz"]


def test_the_network_folders_sums_are_right_and_its_menus_carry_the_roots() -> None:
    subprocess.run(["sha256sum", "--status", "-c", "SHA256SUMS"], cwd=DIST / "pxe", check=True)
    root = hashlib.sha256((DIST / "pxe/rootfs.squashfs").read_bytes()).hexdigest()
    for menu in ("boot.ipxe", "grub.cfg"):
        assert f"twinboot.sha256={root}" in (DIST / "pxe" / menu).read_text()


def test_the_data_partition_is_a_fat_with_its_folders() -> None:
    where = f"{DIST / 'twinboot.img'}@@{partition_start(1)}"
    done = subprocess.run(["mdir", "-b", "-i", where, "::"], capture_output=True, text=True, check=True)
    found = set(done.stdout.split())
    assert {"::/plans/", "::/bundles/", "::/checks/", "::/reports/", "::/README.txt"} <= found


DRIVERS = [
    "nvme", "ahci", "megaraid_sas", "mpt3sas", "smartpqi", "hpsa", "mpi3mr", "aacraid", "qla2xxx",
    "lpfc", "virtio_blk", "virtio_scsi", "sd_mod", "usb_storage", "uas", "dm_thin_pool",
    "dm_snapshot", "dm_zero", "dm_crypt", "raid1", "raid456", "btrfs", "xfs", "ext4", "vfat", "e1000e", "igb",
    "ixgbe", "i40e", "ice", "bnx2x", "bnxt_en", "tg3", "mlx5_core", "virtio_net", "r8169",
    "bonding", "bridge", "tun", "vhost_net", "kvm_intel", "kvm_amd", "ipmi_si", "ipmi_devintf",
    "iTCO_wdt",
]  # fmt: skip


def test_a_machine_rooms_drivers_are_there(tree: Path) -> None:
    have = {path.stem.replace("-", "_") for path in tree.glob("usr/lib/modules/*/kernel/**/*.ko")}
    assert not set(DRIVERS) - have


def test_every_module_finds_what_it_depends_on(tree: Path) -> None:
    (modules,) = tree.glob("usr/lib/modules/*")
    for line in (modules / "modules.dep").read_text().splitlines():
        for name in line.replace(":", "").split():
            assert (modules / name).exists(), name


OF_THE_BUILD = ("image", "office")
"""Folders whose programs run where images and bundles are made; of these, the stick alone grows elsewhere."""


def programs_called() -> set[str]:
    """Names of the programs that our code on the appliance starts by name."""
    called = set()
    for path in sorted((ROOT / "appliance").rglob("*.py")):
        if path.parent.name in OF_THE_BUILD and path.name != "stick.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="read" | "write"), args=[ast.Constant(value=str(name)), *_]):
                    called.add(name)
    return called


def test_every_program_we_start_is_there(tree: Path) -> None:
    called = programs_called()
    assert {"losetup", "mkfs.vfat", "lvs", "efibootmgr"} <= called, "the search finds what it should"
    there = {path.name for folder in ("usr/bin", "usr/sbin") for path in (tree / folder).iterdir()}
    assert called - there == set()


PROGRAMS = [
    "usr/bin/qemu-system-x86_64", "usr/bin/qemu-img", "usr/sbin/libvirtd", "usr/bin/virsh",
    "usr/sbin/qemu-ga", "usr/sbin/lvm", "usr/sbin/dmsetup", "usr/sbin/thin_check",
    "usr/sbin/mdadm", "usr/sbin/cryptsetup", "usr/bin/btrfs", "usr/sbin/xfs_repair",
    "usr/sbin/e2fsck", "usr/sbin/mkfs.vfat", "usr/bin/efibootmgr", "usr/sbin/parted",
    "usr/bin/ipmitool", "usr/sbin/dmidecode", "usr/sbin/smartctl", "usr/bin/tinyproxy",
    "usr/sbin/dnsmasq", "usr/bin/tmux", "usr/bin/grub-fstest", "usr/bin/grub-editenv",
    "usr/bin/mtools", "usr/bin/curl", "usr/sbin/ip", "usr/bin/python3.13", "usr/sbin/nft",
    "usr/sbin/sshd", "usr/bin/ssh-keygen", "usr/bin/loadkeys", "usr/bin/script", "usr/sbin/ethtool",
    "usr/sbin/chpasswd", "usr/bin/passwd", "usr/bin/dd", "usr/sbin/wipefs", "usr/sbin/blockdev",
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_and_all_its_libraries_are_there(tree: Path, program: str) -> None:
    """Trimming must not take a library away: the image's own loader lists them."""
    path = tree / program
    assert path.exists()
    library = tree / "usr/lib/x86_64-linux-gnu"
    argv = [
        tree / "usr/lib64/ld-linux-x86-64.so.2",
        "--library-path",
        f"{library}:{library}/systemd",
        "--list",
        path,
    ]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0 and "not found" not in done.stdout, done.stdout + done.stderr


def test_a_key_table_for_every_layout_on_offer(tree: Path) -> None:
    have = {path.name.partition(".")[0] for path in tree.glob("usr/share/keymaps/i386/*/*.kmap.gz")}
    assert not {layout.keymap for layout in LAYOUTS} - have


def test_our_code_is_compiled_and_never_checked_against_its_source(tree: Path) -> None:
    site = tree / "opt/twinboot/lib/python3.13/site-packages"
    sources = [path for name in ("appliance", "tui", "textual") for path in (site / name).rglob("*.py")]
    assert len(sources) > 100
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        # PEP 552: flags 0b01, hash-based without checking.
        assert compiled.read_bytes()[4:8] == b"\x01\x00\x00\x00", source


def test_it_stays_within_its_sizes() -> None:
    done = subprocess.run(
        ["unsquashfs", "-s", DIST / "pxe/rootfs.squashfs"], capture_output=True, text=True, check=True
    )
    assert (DIST / "twinboot.img").stat().st_size <= 240e6
    if "compression-level 15" in done.stdout:
        assert (DIST / "pxe/rootfs.squashfs").stat().st_size <= 180e6


# What it must not hold


@pytest.mark.parametrize(
    "unwanted", ["snd", "iwlwifi", "ath9k", "i915", "amdgpu", "nouveau", "btusb", "videodev"]
)
def test_a_driver_for_sound_graphics_or_radio_is_not_there(tree: Path, unwanted: str) -> None:
    assert not list(tree.glob(f"usr/lib/modules/*/kernel/**/{unwanted}.ko*"))


def test_every_account_is_locked(tree: Path) -> None:
    for line in (tree / "etc/shadow").read_text().splitlines():
        assert line.split(":")[1][:1] in {"!", "*"}, line


def test_no_private_key_and_no_authorised_one(tree: Path) -> None:
    key = re.compile(rb"^-----BEGIN [A-Z ]*PRIVATE KEY-----$", re.MULTILINE)
    small = [path for path in files(tree) if path.stat().st_size < MIB]
    assert not [path for path in small if key.search(path.read_bytes())]
    names = {path.name for path in files(tree)}
    assert not names & {"authorized_keys", "random-seed"}
    assert not [name for name in names if name.startswith("ssh_host_")]


def test_ssh_is_there_and_does_not_start(tree: Path) -> None:
    for name in ("ssh.service", "ssh.socket"):
        assert str((tree / "etc/systemd/system" / name).readlink()) == "/dev/null"


def test_identity_is_made_at_each_start(tree: Path) -> None:
    assert (tree / "etc/machine-id").read_bytes() == b""
    assert not (tree / "var/lib/dbus/machine-id").exists()


def test_no_mirror_and_no_trace_of_the_build_machine(tree: Path) -> None:
    used = {urlsplit(mirrors().archive).hostname, urlsplit(mirrors().security).hostname}
    assert not list(tree.glob("etc/apt/sources.list*"))
    for path in files(tree, "etc", "var", "root"):
        content = path.read_bytes()
        for word in used:
            assert word and word.encode() not in content, f"{word} in {path.relative_to(tree)}"
    for path in files(tree, "opt"):
        assert str(ROOT).encode() + b"/" not in path.read_bytes(), path.relative_to(tree)


# What the start goes through; other targets (getty, initrd, sleep) are masked or never reached.
TARGETS = ("sysinit", "basic", "sockets", "local-fs", "paths", "timers", "network", "multi-user", "default")


def wanted_units(tree: Path) -> set[str]:
    """Units that a target of the start wants or requires, without the masked ones."""
    found = set()
    for folder in ("etc/systemd/system", "usr/lib/systemd/system"):
        for target in TARGETS:
            for link in (tree / folder).glob(f"{target}.target.[wr]*s/*"):
                mask = tree / "etc/systemd/system" / link.name
                if not (mask.is_symlink() and str(mask.readlink()) == "/dev/null"):
                    found.add(link.name)
    return found


def test_no_wanted_socket_listens_on_the_network(tree: Path) -> None:
    for name in wanted_units(tree):
        if name.endswith(".socket"):
            unit = tree / "usr/lib/systemd/system" / name
            for address in re.findall(r"^Listen(?:Stream|Datagram)=(\S+)", unit.read_text(), re.MULTILINE):
                assert address.startswith(("/", "@", "%t")), f"{name} listens on {address}"


def test_only_the_expected_units_start_by_themselves(tree: Path) -> None:
    services = {name for name in wanted_units(tree) if name.endswith((".service", ".timer"))}
    assert services == {
        "kmod-static-nodes.service", "systemd-journald.service", "systemd-networkd.service",
        "systemd-resolved.service", "systemd-sysctl.service",
        "systemd-tmpfiles-setup-dev-early.service", "systemd-tmpfiles-setup.service",
        "systemd-udev-trigger.service", "systemd-udevd.service", "twinboot-data.service",
        "twinboot-engine.service",
    }  # fmt: skip


def test_nothing_on_the_machines_disks_is_touched_by_an_event(tree: Path) -> None:
    rules = {path.name for path in (tree / "usr/lib/udev/rules.d").iterdir()}
    assert not rules & {
        "69-lvm.rules",
        "64-md-raid-assembly.rules",
        "70-nvmf-autoconnect.rules",
        "96-e2scrub.rules",
    }
    lvm = (tree / "etc/lvm/lvmlocal.conf").read_text()
    for setting in ("scan_lvs = 0", "event_activation = 0", "auto_activation_volume_list = []"):
        assert setting in lvm
    assert "AUTO -all" in (tree / "etc/mdadm/mdadm.conf").read_text()
    assert (tree / "etc/fstab").read_text() == ""


def test_qemu_is_not_root_and_no_program_becomes_root(tree: Path) -> None:
    assert 'user = "libvirt-qemu"' in (tree / "etc/libvirt/qemu.conf").read_text()
    bits = stat.S_ISUID | stat.S_ISGID
    assert not [path for path in files(tree) if path.stat().st_mode & bits]
