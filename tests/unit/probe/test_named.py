"""Names of devices beside fstab and crypttab: what is not here is said, what is here is passed over."""

from __future__ import annotations

import pytest

from tests.unit.probe.recorded import RecordedMachine
from tests.unit.probe.test_machine import BOOT, ROOT, codes, edit, look, only, recorded

__all__ = ["recorded"]

CONF = "etc/initramfs-tools/conf.d/resume"
FILE = "etc/lvm/devices/system.devices"
ON, OFF = "devices {\n\tuse_devicesfile = 1\n}\n", "devices {\n\t# use_devicesfile = 0\n}\n"


def put(machine: RecordedMachine, path: str, text: str) -> None:
    file = machine.trees / f"twinboot-probe-{ROOT}" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def named(machine: RecordedMachine) -> list[str]:
    """The codes of what is not here; none of it stands in the way of a rehearsal."""
    return codes(machine, refusing=False)


@pytest.mark.parametrize("spec", ["", "RESUME=none\n", "RESUME=auto\n", "# RESUME=UUID=0-1\n"])
def test_a_system_that_wakes_from_nothing_names_nothing(recorded: RecordedMachine, spec: str) -> None:
    put(recorded, CONF, spec)
    assert named(recorded) == []


def test_a_swap_area_that_is_here_is_found_however_it_is_named(recorded: RecordedMachine) -> None:
    swap = only(look(recorded)).swap[0]
    for spec in (f"UUID={swap.fsuuid.upper()}", swap.device, f"'/dev/{swap.vg}/{swap.lv}'"):
        put(recorded, CONF, f"RESUME={spec}\n")
        assert named(recorded) == [], spec


def test_a_swap_area_that_is_not_here_is_said(recorded: RecordedMachine) -> None:
    put(recorded, CONF, "RESUME=UUID=0-1\n")
    (said,) = only(look(recorded)).trouble
    assert named(recorded) == ["resume-missing"]
    assert said.sentence.startswith("The system would wake from UUID=0-1, which this machine does not have")


def test_one_that_crypttab_opens_is_passed_over(recorded: RecordedMachine) -> None:
    put(recorded, CONF, "RESUME=/dev/mapper/cswap\n")
    put(recorded, "etc/crypttab", "# <target>\n\ncswap /dev/sdz9 /dev/urandom swap\n")
    assert named(recorded) == []


def test_the_command_line_wins(recorded: RecordedMachine) -> None:
    here = only(look(recorded)).swap[0].device
    put(recorded, CONF, "RESUME=UUID=0-1\n")
    edit(recorded, f"twinboot-probe-{BOOT}/grub/grub.cfg", " ro ", f" ro resume={here} ")
    assert named(recorded) == []


def lines(machine: RecordedMachine, **turned: str) -> str:
    pv = look(machine).volume_groups[0].pvs[0]
    words = {"IDTYPE": "devname", "IDNAME": pv.path, "DEVNAME": pv.path, "PVID": pv.uuid.replace("-", "")}
    return "# LVM uses devices listed in this file.\nVERSION=1.1.2\n" + " ".join(
        f"{key}={word}" for key, word in (words | turned).items()
    )


@pytest.mark.parametrize("conf", [OFF, "", "devices {\n}\n", "use_devicesfile = 0\n# use_devicesfile = 1\n"])
def test_a_devices_file_that_lvm_does_not_look_into_says_nothing(
    recorded: RecordedMachine, conf: str
) -> None:
    put(recorded, "etc/lvm/lvm.conf", conf)
    put(recorded, FILE, "VERSION=1.1.2\n")
    assert named(recorded) == []


@pytest.mark.parametrize(
    "conf", [ON, "# use_devicesfile = 1\n", "# use_devicesfile = 0\nuse_devicesfile=1\n"]
)
def test_one_that_lvm_looks_into_must_name_each_physical_volume(recorded: RecordedMachine, conf: str) -> None:
    put(recorded, "etc/lvm/lvm.conf", conf)
    assert named(recorded) == [], "there is none: LVM looks everywhere"
    put(recorded, FILE, lines(recorded))
    assert named(recorded) == []
    put(recorded, FILE, lines(recorded, PVID="0" * 32))
    (said,) = only(look(recorded)).trouble
    assert named(recorded) == ["lvm-devices"]
    assert "vg0" in said.sentence


@pytest.mark.parametrize(
    ("kind", "file", "own"), [("sys_wwid", "wwid", "t10.ATA  LAB 1"), ("sys_serial", "serial", "LAB-1")]
)
def test_the_name_of_the_hardware_is_this_machine_s(
    recorded: RecordedMachine, kind: str, file: str, own: str
) -> None:
    put(recorded, "etc/lvm/lvm.conf", ON)
    put(recorded, FILE, lines(recorded, IDTYPE=kind, IDNAME="TWIN-1"))
    assert named(recorded) == [], "this disk says nothing of the kind"
    disk = look(recorded).disks[0].path.rpartition("/")[2]
    folder = recorded.root / "sys/block" / disk
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(f"{own}\n")
    assert named(recorded) == ["lvm-devices"]
    put(recorded, FILE, lines(recorded, IDTYPE=kind, IDNAME=own.replace(" ", "_")))
    assert named(recorded) == []
