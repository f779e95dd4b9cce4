"""The domain's XML, one golden file per firmware and bus, and what must hold in all of them."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.model.machine import Bus, Firmware
from appliance.twin.domain import Direct, DiskSpec, DomainSpec, domain_xml, local_mac, machine_uuid

GOLDEN = Path(__file__).parent / "golden"
CASES = [(firmware, bus) for firmware in Firmware for bus in (Bus.VIRTIO, Bus.NVME, Bus.SATA, Bus.SCSI)]


def spec(firmware: Firmware = Firmware.BIOS, bus: Bus = Bus.VIRTIO) -> DomainSpec:
    return DomainSpec(
        name="twinboot-tb1-work",
        firmware=firmware,
        uuid="8d3f2c1b-0a9e-4f7d-8c6b-5a4e3d2c1b0a",
        serial="LAB-0001",
        vendor="Twinboot Lab",
        product="Virtual Bare Metal",
        memory=2048,
        cpus=2,
        disks=(
            DiskSpec(
                "/dev/mapper/twinboot-tb1-work-disk0",
                bus,
                serial="LAB-DISK-1",
                wwn="0x5000c500a1b2c3d4",
                model="LAB DISK" if bus in (Bus.SATA, Bus.SCSI) else "",
            ),
        ),
        tools="/run/twinboot/tb1/work/tools.img",
        log_file="/run/twinboot/tb1/work/console.log",
        mac=local_mac("twinboot-tb1-work"),
        vars_file="/run/twinboot/tb1/work/vars.fd" if firmware is Firmware.UEFI else "",
    )


@pytest.mark.parametrize(("firmware", "bus"), CASES)
def test_golden(firmware: Firmware, bus: Bus) -> None:
    """`TWINBOOT_GOLDEN=write pytest …` writes them anew: read the difference before committing it."""
    xml = domain_xml(spec(firmware, bus))
    golden = GOLDEN / f"{firmware.value}-{bus.value}.xml"
    if os.environ.get("TWINBOOT_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(xml)
    assert xml == golden.read_text()


@pytest.mark.parametrize(("firmware", "bus"), CASES)
def test_nothing_but_the_named_disks_reaches_the_host(firmware: Firmware, bus: Bus) -> None:
    root = ET.fromstring(domain_xml(spec(firmware, bus)))
    assert root.findall(".//hostdev") == root.findall(".//filesystem") == root.findall(".//graphics") == []
    sources = {d.get("dev") or d.get("file") for d in root.findall("./devices/disk/source")}
    assert sources == {"/dev/mapper/twinboot-tb1-work-disk0", "/run/twinboot/tb1/work/tools.img"}
    assert {d.get("type") for d in root.findall("./devices/disk/driver")} == {"raw"}, (
        "formats are never probed"
    )
    assert root.find("./devices/interface").get("type") == "network"
    assert root.find("./devices/interface/link").get("state") == "down"
    assert {root.findtext(e) for e in ("on_poweroff", "on_reboot", "on_crash")} == {"destroy"}


@pytest.mark.parametrize("firmware", list(Firmware))
def test_a_kernel_that_is_started_without_its_loader(firmware: Firmware) -> None:
    line = f'root=/dev/mapper/vg0-root ro "dyndbg=file a +p" {"x" * 80} rdinit=/twinboot/init'
    direct = Direct("/run/twinboot/tb1/work/direct/kernel", "/run/twinboot/tb1/work/direct/initrd", line)
    os = ET.fromstring(domain_xml(replace(spec(firmware), direct=direct))).find("./os")
    assert os is not None
    assert (os.findtext("kernel"), os.findtext("initrd")) == (direct.kernel, direct.initrd)
    assert os.findtext("cmdline") == line
    assert ET.fromstring(domain_xml(spec(firmware))).find("./os/kernel") is None


def test_kvm_and_emulation() -> None:
    assert ET.fromstring(domain_xml(spec())).get("type") == "kvm"
    assert ET.fromstring(domain_xml(replace(spec(), emulate=True))).get("type") == "qemu"


@pytest.mark.parametrize("junk", ["", "Not Settable", "00000000-0000-0000-0000-000000000000", "f" * 32])
def test_a_junk_uuid_is_replaced_by_a_steady_one(junk: str) -> None:
    made = machine_uuid(replace(spec(), uuid=junk))
    assert made == machine_uuid(replace(spec(), uuid=junk))
    assert made not in ("", junk)


@given(st.text(max_size=200))
@settings(deadline=None)
def test_hostile_serials_never_break_the_xml(text: str) -> None:
    odd = replace(spec(), serial=text, vendor=text, product=text)
    odd = replace(odd, disks=(replace(odd.disks[0], serial=text, wwn=text, model=text, bus=Bus.SATA),))
    root = ET.fromstring(domain_xml(odd))
    for entry in root.findall("./sysinfo/system/entry"):
        assert (entry.text or "").isprintable()


def test_every_disk_has_a_name_of_its_own() -> None:
    buses = [Bus.VIRTIO, Bus.SATA, Bus.NVME, Bus.SCSI, Bus.SATA, Bus.USB]
    disks = tuple(DiskSpec(f"/dev/mapper/d{n}", bus, serial=f"S{n}") for n, bus in enumerate(buses))
    root = ET.fromstring(domain_xml(replace(spec(), disks=disks)))
    targets = [t.get("dev") for t in root.findall("./devices/disk/target")]
    assert len(set(targets)) == len(targets) == len(buses) + 1
    orders = [b.get("order") for b in root.findall("./devices/disk/boot")]
    assert orders == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize(
    ("first", "orders"), [(0, ["1", "2", "3"]), (1, ["2", "1", "3"]), (2, ["2", "3", "1"])]
)
def test_the_disk_that_holds_the_loader_s_files_is_started_first(first: int, orders: list[str]) -> None:
    """A physical volume on a disk before it may have the boot code of an older system."""
    disks = tuple(DiskSpec(f"/dev/mapper/d{n}", Bus.SATA) for n in range(3))
    root = ET.fromstring(domain_xml(replace(spec(), disks=disks, first=first)))
    assert [b.get("order") for b in root.findall("./devices/disk/boot")] == orders


def test_the_twins_address_is_local_and_its_own() -> None:
    mac = local_mac("a")
    assert int(mac[:2], 16) & 3 == 2, "locally administered, one receiver"
    assert mac != local_mac("b")
