"""Devices and network cards from a sysfs like a recorded one, and names from lspci's own words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.errors import CommandFailed
from appliance.host.run import Command, Effect, Output
from appliance.probe.bus_devices import read_cards, read_devices

# A virtual machine's, as lspci 3.13 and its sysfs had it.
LSPCI = """\
0000:00:00.0 "Host bridge [0600]" "Intel Corporation [8086]" "Device [0d57]" -p00 "" ""
0000:00:03.0 "Ethernet controller [0200]" "Red Hat, Inc. [1af4]" "Virtio 1.0 network device [1041]" -r01 -p00 "Red Hat, Inc. [1af4]" "Virtio 1.0 network device [1041]"
"""  # noqa: E501
BRIDGE = "pci:v00008086d00000D57sv00000000sd00000000bc06sc00i00"
NETWORK = "pci:v00001AF4d00001041sv00001AF4sd00001041bc02sc00i00"
CHILD = "virtio:d00000001v00001AF4"


@dataclass
class Desk:
    said: str = LSPCI

    def run(self, command: Command) -> Output:
        assert command.effect is Effect.READ and command.argv == ("lspci", "-D", "-mm", "-nn")
        if not self.said:
            raise CommandFailed("lspci could not be started: No such file or directory.")
        return Output(0, self.said)


def put(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")
    return folder


@pytest.fixture
def sys(tmp_path: Path) -> Path:
    """Two PCI devices, a keyboard and a root hub, a card on each bus, the loopback and a bridge."""
    pci, devices = tmp_path / "bus/pci/devices", tmp_path / "devices/pci0000:00"
    pci.mkdir(parents=True)
    put(devices / "0000:00:00.0", modalias=BRIDGE, vendor="0x8086", device="0x0d57", **{"class": "0x060000"})
    card = put(
        devices / "0000:00:03.0", modalias=NETWORK, vendor="0x1af4", device="0x1041", **{"class": "0x020000"}
    )
    put(card / "virtio2", modalias=CHILD)
    for each in devices.iterdir():
        (pci / each.name).symlink_to(each)
    put(tmp_path / "bus/virtio/drivers/virtio_net")
    (card / "virtio2/driver").symlink_to(tmp_path / "bus/virtio/drivers/virtio_net")
    hub = put(tmp_path / "devices/pci0000:00/0000:00:14.0/usb1", bDeviceClass="09", idVendor="1d6b")
    keys = put(hub / "1-4", bDeviceClass="00", idVendor="0627", idProduct="0001", product="QEMU USB Keyboard")
    put(keys / "1-4:1.0", modalias="usb:v0627p0001d0000dc00dsc00dp00ic03isc01ip01in00")
    put(hub / "1-5", bDeviceClass="09")
    put(hub / "1-5/1-5:1.0", modalias="usb:v8087p0024d0000dc09dsc00dp01ic09isc00ip00in00")
    usb = tmp_path / "bus/usb/devices"
    usb.mkdir(parents=True)
    for each in (hub, keys, hub / "1-5", keys / "1-4:1.0"):
        (usb / each.name).symlink_to(each)
    net(tmp_path, card / "virtio2", "eth0", "02:fc:00:00:00:01")
    net(tmp_path, keys / "1-4:1.0", "eth1", "00:E0:4C:68:00:01", assigned="4")
    for name in ("lo", "br0"):
        put(tmp_path / f"class/net/{name}", address="00:00:00:00:00:00")
    return tmp_path


def net(sys: Path, device: Path, name: str, mac: str, assigned: str = "1") -> None:
    at = put(device / "net" / name, address=mac, name_assign_type=assigned)
    (at / "device").symlink_to(device)
    (sys / "class/net").mkdir(parents=True, exist_ok=True)
    (sys / "class/net" / name).symlink_to(at)


def test_every_device_but_hubs_with_its_modaliases_and_its_name(sys: Path) -> None:
    found = {device.place: device for device in read_devices(Desk(), sys)}
    assert set(found) == {"0000:00:00.0", "0000:00:03.0", "1-4"}
    assert found["0000:00:03.0"].modaliases == (NETWORK, CHILD)
    assert found["0000:00:03.0"].name == "Ethernet controller: Red Hat, Inc. Virtio 1.0 network device [1041]"
    assert found["1-4"].name == "USB: QEMU USB Keyboard [0627:0001]"
    assert found["1-4"].modaliases == ("usb:v0627p0001d0000dc00dsc00dp00ic03isc01ip01in00",)


@pytest.mark.parametrize("said", ["", 'no "quote', "one\n\n", '0000:00:03.0 "x"\n'])
def test_without_names_a_device_has_its_numbers(sys: Path, said: str) -> None:
    found = {device.place: device.name for device in read_devices(Desk(said), sys)}
    assert found["0000:00:03.0"] == "PCI class 0200 [1af4:1041]"


def test_cards_on_a_bus_with_place_driver_and_whether_their_first_name_is_known(sys: Path) -> None:
    onboard, dongle = read_cards(sys)
    assert (onboard.link, onboard.mac, onboard.place, onboard.path, onboard.driver, onboard.renamed) == (
        *("eth0", "02:fc:00:00:00:01", "0000:00:03.0", "pci-0000:00:03.0", "virtio_net", False),
    )
    assert (dongle.link, dongle.mac, dongle.place, dongle.path, dongle.driver, dongle.renamed) == (
        *("eth1", "00:e0:4c:68:00:01", "1-4", "", "", True),
    )


def test_a_machine_without_buses_has_none(tmp_path: Path) -> None:
    assert read_devices(Desk(), tmp_path) == () and read_cards(tmp_path) == ()


def test_what_a_device_says_of_itself_is_made_plain(sys: Path) -> None:
    (sys / "bus/usb/devices/1-4/product").write_text("\x1b[2JKeys\x07\n")
    names = [device.name for device in read_devices(Desk(), sys)]
    assert "USB: Keys [0627:0001]" in names
