"""Devices of the real machine against the module indexes of two systems: recorded ones, and what breaks them.

modules/ holds parts of two Debian kernels' own indexes (depmod, modinfo of kmod 34), see its README.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.checks.devices import NAME, Side, compare_devices, judge_devices
from appliance.checks.module_info import firmware_of, has_firmware, parse
from appliance.checks.modules import Modules, read_modules
from appliance.errors import CommandFailed, DamagedData
from appliance.host.run import Command, Effect, Output
from appliance.model.metal import Device, DeviceFate, Fate
from appliance.model.verdict import Outcome
from appliance.probe.tree import Tree

RECORDED = Path(__file__).with_name("recorded") / "modules"
OLD, NEW = "6.1.0-50-amd64", "6.1.0-56-amd64"

# Modaliases as sysfs has them: the lab machine's own are VIRTIO and AHCI.
VIRTIO = Device(
    place="0000:00:03.0",
    name="Ethernet controller: Red Hat, Inc. Virtio network device [1000]",
    modaliases=("pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00", "virtio:d00000001v00001AF4"),
)
E1000E = Device(
    place="0000:00:19.0",
    name="Ethernet controller: Intel Corporation 82574L [10d3]",
    modaliases=("pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00",),
)
REALTEK = Device(
    place="0000:02:00.0",
    name="Ethernet controller: Realtek RTL8168 [8168]",
    modaliases=("pci:v000010ECd00008168sv00001043sd00008554bc02sc00i00",),
)
AHCI = Device(
    place="0000:00:1f.2",
    name="SATA controller: Intel Corporation ICH9 [2922]",
    modaliases=("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",),
)
STICK = Device(
    place="1-4",
    name="USB: Cypress [04b4:b708]",
    modaliases=("usb:v04B4pB708d0001dc00dsc00dp00icFFisc00ip00in00",),
)
BRIDGE = Device(place="0000:00:00.0", name="Host bridge", modaliases=("pci:v00008086d00000D57bc06sc00i00",))


def side(root: Path, version: str = OLD, command_line: str = "", firmware: bool = True) -> Side:
    """One system below `root` with the recorded kernel's modules, as depmod left them there."""
    folder = root / "usr/lib/modules" / version
    if not folder.exists():
        shutil.copytree(RECORDED / version, folder)
        (root / "lib").symlink_to("usr/lib")
    named = {"r8169": ("rtl_nic/rtl8168h-2.fw", "rtl_nic/rtl8125b-2.fw")} if firmware else {}
    return Side(version, Tree(root), read_modules(root, folder, command_line), named)


def configure(root: Path, text: str, file: str = "etc/modprobe.d/site.conf") -> None:
    at = root / file
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(text)


def fate(device: Device, before: Side, after: Side) -> DeviceFate:
    (found,) = [f for f in compare_devices((device,), before, after) if f.place == device.place]
    return found


# Which driver.


@pytest.mark.parametrize(
    ("device", "drivers"),
    [
        (VIRTIO, ("virtio_net", "virtio_pci")),
        (E1000E, ("e1000e",)),
        (REALTEK, ("r8169",)),
        (AHCI, ("ahci",)),
        (STICK, ()),
        (BRIDGE, ()),
    ],
)
def test_a_recorded_index_names_the_driver(tmp_path: Path, device: Device, drivers: tuple[str, ...]) -> None:
    assert side(tmp_path).modules.drivers(device.modaliases) == drivers


def test_two_kernels_of_one_series_are_the_same_and_what_has_no_driver_is_left_out(tmp_path: Path) -> None:
    fates = compare_devices(
        (BRIDGE, AHCI, VIRTIO, E1000E, STICK), side(tmp_path / "a"), side(tmp_path / "b", NEW)
    )
    assert [(f.place, f.fate) for f in fates] == [
        ("0000:00:1f.2", Fate.SAME),
        ("0000:00:03.0", Fate.SAME),
        ("0000:00:19.0", Fate.SAME),
        ("1-4", Fate.SAME),  # the newer kernel knows it, which is no loss
    ]
    check = judge_devices(fates)
    assert (check.name, check.outcome, check.before, check.after, check.why) == (
        *(NAME, Outcome.SAME, "3 with a driver", "4 with a driver", ""),
    )


def test_a_driver_that_the_new_kernel_lacks_is_none_and_worse(tmp_path: Path) -> None:
    before, after = side(tmp_path / "a"), side(tmp_path / "b", NEW)
    index = tmp_path / "b/usr/lib/modules" / NEW / "modules.alias"
    index.write_text("".join(x for x in index.open() if not x.endswith(" r8169\n")))
    after = side(tmp_path / "b", NEW)
    found = fate(REALTEK, before, after)
    assert (found.fate, found.before, found.after) == (Fate.NONE, "r8169", "")
    assert found.why == f"The kernel {NEW} of the patched system has no driver for it; it was r8169."
    check = judge_devices((found,))
    assert check.outcome is Outcome.WORSE and "Rehearse again." in check.fix
    assert check.why.startswith("Ethernet controller: Realtek RTL8168 [8168] (0000:02:00.0): The kernel")


def test_another_driver_is_told_and_not_worse(tmp_path: Path) -> None:
    before, after = side(tmp_path / "a"), side(tmp_path / "b", NEW)
    line = "alias pci:v000010ECd00008168sv*sd*bc02sc00i* r8168"
    configure(tmp_path / "b", f"{line}\nblacklist r8169\n")
    after = side(tmp_path / "b", NEW)
    found = fate(REALTEK, before, after)
    assert (found.fate, found.why) == (Fate.OTHER, "r8169 drove it, r8168 will.")
    assert judge_devices((found,)).outcome is Outcome.NOT_TESTED


@pytest.mark.parametrize(
    ("text", "command_line"),
    [
        ("blacklist e1000e\n", ""),
        ("# our policy\nblacklist \\\n e1000e\n", ""),
        ("install e1000e /bin/false\n", ""),
        ("install e1000e /usr/bin/true # never\n", ""),
        ("", "root=/dev/vg0/root ro modprobe.blacklist=pcspkr,e1000e quiet"),
        ("", "module_blacklist=e1000e"),
    ],
)
def test_what_is_barred_is_no_driver_and_the_sentence_says_so(
    tmp_path: Path, text: str, command_line: str
) -> None:
    configure(tmp_path / "b", text)
    found = fate(E1000E, side(tmp_path / "a"), side(tmp_path / "b", NEW, command_line))
    assert found.fate is Fate.NONE
    assert found.why == (
        "The patched system has the driver e1000e, and its modprobe.d or its kernel command line bars it."
    )


def test_a_file_in_etc_takes_the_place_of_the_package_s_own(tmp_path: Path) -> None:
    configure(tmp_path, "blacklist e1000e\n", "usr/lib/modprobe.d/vendor.conf")
    assert side(tmp_path).modules.drivers(E1000E.modaliases) == ()
    configure(tmp_path, "", "etc/modprobe.d/vendor.conf")
    assert side(tmp_path).modules.drivers(E1000E.modaliases) == ("e1000e",)


def test_what_is_built_in_is_a_driver_whatever_modprobe_is_told(tmp_path: Path) -> None:
    """As kernels of other makers have it (modules.builtin.modinfo, kernel 5.2 and newer)."""
    side(tmp_path)
    folder = tmp_path / "usr/lib/modules" / OLD
    alias = "sky2.alias=pci:v000011ABd00004362sv*sd*bc*sc*i*"
    (folder / "modules.builtin.modinfo").write_bytes(f"sky2.license=GPL\0{alias}\0sky2.file=x\0".encode())
    (folder / "modules.builtin").write_text("kernel/drivers/net/ethernet/marvell/sky2.ko\n")
    configure(tmp_path, "blacklist sky2\n")
    modules = side(tmp_path).modules
    assert modules.drivers(("pci:v000011ABd00004362sv00001462sd0000058Cbc02sc00i00",)) == ("sky2",)
    assert modules.outside("sky2") == ""


# Modules from outside.


def with_dkms(root: Path, version: str, *paths: str) -> Side:
    side(root, version)
    index = root / "usr/lib/modules" / version / "modules.dep"
    kept = [
        x
        for x in index.open()
        if x.rpartition("/")[2].split(".")[0] not in {p.rpartition("/")[2][:-3] for p in paths}
    ]
    index.write_text("".join(kept) + "".join(f"{path}:\n" for path in paths))
    return side(root, version)


def test_a_dkms_module_that_gave_way_to_the_kernel_s_own_is_other(tmp_path: Path) -> None:
    before = with_dkms(tmp_path / "a", OLD, "updates/dkms/e1000e.ko")
    found = fate(E1000E, before, side(tmp_path / "b", NEW))
    assert found.fate is Fate.OTHER and found.why == "e1000e came by DKMS and comes by the kernel now."
    assert fate(E1000E, before, with_dkms(tmp_path / "c", NEW, "updates/dkms/e1000e.ko")).fate is Fate.SAME


def test_a_dkms_module_without_a_device_is_told_when_it_is_gone(tmp_path: Path) -> None:
    before = with_dkms(tmp_path / "a", OLD, "updates/dkms/zfs.ko", "extra/site-hsm.ko")
    after = with_dkms(tmp_path / "b", NEW, "extra/site-hsm.ko")
    (found,) = compare_devices((), before, after)
    assert (found.place, found.name, found.fate, found.before) == ("module", "zfs", Fate.NONE, "DKMS")
    assert found.why == f"It came by DKMS, and was not built for the kernel {NEW}."


# Firmware.


def firmware(root: Path, *names: str) -> None:
    for name in names:
        at = root / "usr/lib/firmware" / name
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(b"x")


def test_firmware_that_was_there_and_is_gone_is_other(tmp_path: Path) -> None:
    before, after = side(tmp_path / "a"), side(tmp_path / "b", NEW)
    firmware(tmp_path / "a", "rtl_nic/rtl8168h-2.fw")
    found = fate(REALTEK, before, after)
    assert found.fate is Fate.OTHER
    assert found.why == "The firmware rtl_nic/rtl8168h-2.fw of r8169 was there and is gone."
    firmware(tmp_path / "b", "rtl_nic/rtl8168h-2.fw.zst")
    assert fate(REALTEK, before, after).fate is Fate.SAME


def test_firmware_that_never_was_there_is_no_loss(tmp_path: Path) -> None:
    assert fate(REALTEK, side(tmp_path / "a"), side(tmp_path / "b", NEW)).fate is Fate.SAME


@pytest.mark.parametrize("name", ["/etc/passwd", "../../etc/passwd", "a/../../../etc/passwd"])
def test_no_name_leads_out_of_the_firmware_folder(tmp_path: Path, name: str) -> None:
    side(tmp_path)
    firmware(tmp_path, "a/x")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root")
    assert not has_firmware(Tree(tmp_path), OLD, name)


def test_a_link_out_of_the_system_is_no_firmware(tmp_path: Path) -> None:
    side(tmp_path / "a")
    outside = tmp_path / "outside.fw"
    outside.write_text("x")
    (tmp_path / "a/usr/lib/firmware").mkdir()
    (tmp_path / "a/usr/lib/firmware/x.fw").symlink_to(outside)
    assert not has_firmware(Tree(tmp_path / "a"), OLD, "x.fw")


def test_modinfo_s_own_words_about_several_modules() -> None:
    found = parse((RECORDED / "modinfo.txt").read_text())
    assert set(found) == {"i8042", "virtio_net", "r8169"}
    assert found["i8042"] == found["virtio_net"] == ()
    assert len(found["r8169"]) == 20 and "rtl_nic/rtl8168h-2.fw" in found["r8169"]


def test_modinfo_looks_only_into_that_system(tmp_path: Path) -> None:
    ran: list[Command] = []

    class Desk:
        def run(self, command: Command) -> Output:
            ran.append(command)
            return Output(1, (RECORDED / "modinfo.txt").read_text(), "modinfo: ERROR: Module x not found.")

    assert firmware_of(Desk(), tmp_path, OLD, ("r8169", "x"))["r8169"]
    assert ran[0].argv == ("modinfo", "-b", str(tmp_path), "-k", OLD, "--", "r8169", "x")
    assert ran[0].effect is Effect.READ
    assert firmware_of(Desk(), tmp_path, OLD, ()) == {}


def test_without_modinfo_no_firmware_is_known(tmp_path: Path) -> None:
    class Desk:
        def run(self, command: Command) -> Output:
            raise CommandFailed("modinfo could not be started")

    assert firmware_of(Desk(), tmp_path, OLD, ("r8169",)) == {}


# Hostile input.


def test_a_kernel_without_an_index_is_said(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/modules" / OLD).mkdir(parents=True)
    with pytest.raises(DamagedData, match="nobody ran depmod there"):
        read_modules(tmp_path, tmp_path / "usr/lib/modules" / OLD, "")


def test_a_link_to_the_appliance_s_own_index_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "a/usr/lib/modules" / OLD
    folder.mkdir(parents=True)
    for name in ("modules.alias", "modules.dep"):
        (folder / name).symlink_to(RECORDED / OLD / name)
    with pytest.raises(DamagedData, match=r"no modules\.alias"):
        read_modules(tmp_path / "a", folder, "")


def test_patterns_made_to_take_for_ever_do_not(tmp_path: Path) -> None:
    side(tmp_path)
    index = tmp_path / "usr/lib/modules" / OLD / "modules.alias"
    index.write_text(f"alias pci:{'*a' * 200} x\nalias pci:[ y\nalias pci:* {'z' * 9}\nalias\nalias pci:v*\n")
    assert side(tmp_path).modules.drivers((f"pci:{'a' * 400}b",)) == ("zzzzzzzzz",)


def test_more_than_three_are_counted(tmp_path: Path) -> None:
    gone = DeviceFate(place="1", name="a", fate=Fate.NONE, before="x", after="", why="Gone.")
    assert judge_devices((gone,) * 5).why.endswith("And 2 more: see the report.")


@given(st.lists(st.text(max_size=40), max_size=8), st.text(max_size=80))
def test_any_patterns_and_modaliases_are_answered(patterns: list[str], alias: str) -> None:
    found = Modules(tuple(("", pattern, "m") for pattern in patterns)).drivers((alias,))
    assert found in ((), ("m",))


@given(st.text(max_size=300))
def test_any_text_of_modinfo_is_read(text: str) -> None:
    assert all(name for name in parse(text))
