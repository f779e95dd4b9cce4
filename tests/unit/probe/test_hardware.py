"""What names a machine, and what its firmware and cards say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.errors import CommandFailed
from appliance.host.run import Command, Output
from appliance.model.machine import Firmware
from appliance.probe.hardware import (
    bmc_address,
    choose_identity,
    firmware,
    is_junk,
    is_junk_uuid,
    kvm_answers,
    physical_macs,
)

UUID = "8d3f2c1b-0a9e-4f7d-8c6b-5a4e3d2c1b0a"
MAC = "52:54:00:12:34:56"


@pytest.mark.parametrize(
    "serial",
    [
        "",
        "  ",
        "Default string",
        "To be filled by O.E.M.",
        "0123456789",
        "None",
        "System Serial Number",
        "N/A",
        "0000000",
        "........",
        "XXXXXXXX",
        "Not Specified",
        "default string ",
        "-",
    ],
)
def test_placeholders_are_junk(serial: str) -> None:
    assert is_junk(serial)


@pytest.mark.parametrize("serial", ["LAB-0001", "CZ2345ABCD", "5", "VMware-56 4d", "PF0A1B2C"])
def test_real_serials_are_not(serial: str) -> None:
    assert is_junk(serial) is (serial == "5")


@pytest.mark.parametrize(
    "uuid",
    [
        "",
        "x",
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
    ],
)
def test_junk_uuids(uuid: str) -> None:
    assert is_junk_uuid(uuid) and not is_junk_uuid(UUID)


def test_identity_falls_back_step_by_step() -> None:
    serial = choose_identity("LAB-0001", UUID, (MAC,))
    assert (serial.value, serial.serial_is_junk) == ("LAB-0001", False)
    uuid = choose_identity("Default string", UUID.upper(), (MAC,))
    assert (uuid.value, uuid.source, uuid.serial_is_junk) == (UUID, "product UUID", True)
    mac = choose_identity("", "03000200-0400-0500-0006-000700080009", ("00:00:00:00:00:00", MAC))
    assert mac.value == MAC and "network card" in mac.source
    assert choose_identity("", "", ()).value == ""


def test_only_cards_on_a_bus_count_and_in_bus_order(tmp_path: Path) -> None:
    net = tmp_path / "sys/class/net"
    for name, address, bus in (
        ("lo", "00:00:00:00:00:00", ""),
        ("br0", "02:00:00:00:00:01", ""),
        ("eth9", MAC, "0000:00:02.0"),
        ("eth0", "52:54:00:00:00:02", "0000:00:09.0"),
    ):
        (net / name).mkdir(parents=True)
        (net / name / "address").write_text(address + "\n")
        if bus:
            (tmp_path / "sys/devices" / bus).mkdir(parents=True)
            (net / name / "device").symlink_to(tmp_path / "sys/devices" / bus)
    assert physical_macs(tmp_path) == (MAC, "52:54:00:00:00:02")
    assert physical_macs(tmp_path / "nowhere") == ()


def test_firmware_and_secure_boot(tmp_path: Path) -> None:
    assert firmware(tmp_path) == (Firmware.BIOS, False)
    folder = tmp_path / "sys/firmware/efi/efivars"
    folder.mkdir(parents=True)
    assert firmware(tmp_path) == (Firmware.UEFI, False)
    variable = folder / "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    for value, on in ((b"\6\0\0\0\1", True), (b"\6\0\0\0\0", False), (b"\6\0", False)):
        variable.write_bytes(value)
        assert firmware(tmp_path) == (Firmware.UEFI, on)


def test_a_device_node_alone_is_no_kvm(tmp_path: Path) -> None:
    assert not kvm_answers(tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kvm").touch()
    before = len(os.listdir("/proc/self/fd"))
    assert not kvm_answers(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


class Bmc:
    def __init__(self, answer: str | None) -> None:
        self.answer = answer

    def run(self, command: Command) -> Output:
        assert command.argv[0] == "ipmitool"
        if self.answer is None:
            raise CommandFailed("ipmitool could not be started.")
        return Output(0, self.answer)


def test_bmc_address_only_where_there_is_a_bmc(tmp_path: Path) -> None:
    answer = "IP Address              : 10.0.0.9\n"
    assert bmc_address(Bmc(answer), tmp_path) == ""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/ipmi0").touch()
    assert bmc_address(Bmc(answer), tmp_path) == "10.0.0.9"
    assert bmc_address(Bmc(None), tmp_path) == ""
