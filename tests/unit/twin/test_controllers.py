"""Which controller the twin gets for a disk: the machine's own where this QEMU plays it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.model.codec import from_json, to_json
from appliance.model.machine import Bus, Disk, Firmware
from appliance.twin.controllers import ALWAYS, RAID, can_stand_in, devices_of, played
from appliance.twin.domain import domain_xml
from appliance.twin.setup import disk_spec
from tests.unit.twin.test_domain import spec

DEVICES = devices_of((Path(__file__).parents[2] / "fixtures/recorded/qemu_devices.txt").read_text())


def disk(driver: str, bus: Bus = Bus.SCSI, path: str = "/dev/sda") -> Disk:
    return Disk(path=path, size=1 << 30, bus=bus, driver=driver, serial="LAB-1", wwn="0x5000c500a1b2c3d4")


def test_debian_s_qemu_has_all_of_them() -> None:
    assert {one.device for one in (*ALWAYS, *RAID)} <= DEVICES


def test_the_machine_s_own_controller_where_qemu_plays_it() -> None:
    for one in (*ALWAYS, *RAID):
        assert played(disk(one.driver, one.bus), Firmware.BIOS, DEVICES) == one


@pytest.mark.parametrize("driver", ["mpt3sas", "hpsa", "smartpqi", "aacraid", "ata_piix", "usb-storage"])
def test_what_qemu_has_not_is_not_played(driver: str) -> None:
    assert played(disk(driver), Firmware.BIOS, DEVICES) is None


def test_what_this_qemu_was_built_without_is_not_played() -> None:
    assert played(disk("megaraid_sas"), Firmware.BIOS, DEVICES - {"megasas"}) is None
    assert played(disk("ahci", Bus.SATA), Firmware.BIOS, frozenset()) is not None, "nobody is asked for it"


def test_what_the_firmware_does_not_start_from_is_not_played() -> None:
    """Debian's OVMF has no driver for one of these; SeaBIOS starts from each."""
    for one in RAID:
        assert played(disk(one.driver), Firmware.UEFI, DEVICES) is None
    for one in ALWAYS:
        assert played(disk(one.driver, one.bus), Firmware.UEFI, frozenset()) == one


def test_a_machine_recorded_without_drivers_is_known_by_its_buses() -> None:
    old = to_json(disk("")).replace(b'"driver":"",', b"")
    known: Disk = from_json(old, Disk, "a disk")
    assert b"driver" not in old and known.driver == ""
    found = played(known, Firmware.UEFI, frozenset())
    assert found is not None and found.driver == "virtio_scsi"


def test_what_may_stand_in_begins_with_what_is_likest() -> None:
    assert [one.driver for one in can_stand_in(disk("ata_piix", Bus.SATA))] == ["ahci", "virtio_scsi"]
    assert [one.driver for one in can_stand_in(disk("mpt3sas"))] == ["virtio_scsi", "ahci"]


def shown(*disks: Disk, stand_in: str = "") -> ET.Element:
    specs = tuple(disk_spec(one, f"/dev/mapper/{one.path[-3:]}", stand_in) for one in disks)
    return ET.fromstring(domain_xml(replace(spec(), disks=specs)))


@pytest.mark.parametrize(("driver", "model"), [(one.driver, one.model) for one in RAID])
def test_the_domain_has_that_controller(driver: str, model: str) -> None:
    root = shown(disk(driver))
    (controller,) = root.findall("./devices/controller[@type='scsi']")
    assert controller.attrib == {"type": "scsi", "index": "0", "model": model}
    assert root.findtext("./devices/disk/serial") == "LAB-1"
    assert root.findtext("./devices/disk/wwn") == "5000c500a1b2c3d4"


def places(root: ET.Element) -> list[tuple[str, str, str]]:
    found = root.findall("./devices/disk/address")
    return [(a.attrib["controller"], a.attrib["target"], a.attrib["unit"]) for a in found]


def test_two_disks_of_one_raid_controller_are_targets_of_it_and_of_a_parallel_one_units() -> None:
    both = ("/dev/sda", "/dev/sdb")
    root = shown(*(disk("megaraid_sas", path=path) for path in both))
    assert places(root) == [("0", "0", "0"), ("0", "1", "0")]
    assert places(shown(*(disk("sym53c8xx", path=path) for path in both))) == [
        ("0", "0", "0"),
        ("0", "0", "1"),
    ]


def test_two_controllers_each_have_their_own_disks() -> None:
    drivers = ("megaraid_sas", "virtio_scsi", "megaraid_sas")
    root = shown(*(disk(driver, path=f"/dev/sd{'abc'[n]}") for n, driver in enumerate(drivers)))
    models = [c.get("model") for c in root.findall("./devices/controller[@type='scsi']")]
    assert models == ["lsisas1078", "virtio-scsi"]
    assert places(root) == [("0", "0", "0"), ("1", "0", "0"), ("0", "1", "0")]


def test_a_stand_in_is_shown_in_its_place() -> None:
    root = shown(disk("ata_piix", Bus.SATA), stand_in="ahci")
    assert root.find("./devices/disk/target").get("bus") == "sata"
    root = shown(disk("hpsa"), stand_in="virtio_scsi")
    (controller,) = root.findall("./devices/controller[@type='scsi']")
    assert controller.get("model") == "virtio-scsi"
