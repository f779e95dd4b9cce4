"""Disks from lsblk's report."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import DamagedData
from appliance.host.run import Command, Output
from appliance.model.machine import Bus
from appliance.probe.lsblk import disk, listed, machine_disks, parse_lsblk


def row(name: str, kind: str = "disk", **more: Any) -> dict[str, Any]:
    return {"name": name, "path": f"/dev/{name}", "type": kind, "size": 1 << 33, "rota": True, **more}


def part(name: str, number: int, start: int, **more: Any) -> dict[str, Any]:
    return row(name, "part", partn=number, start=start, **more)


def report(*rows: dict[str, Any]) -> str:
    return json.dumps({"blockdevices": rows})


def test_a_disk_with_its_partitions_in_order_of_their_start() -> None:
    text = report(
        row(
            "nvme0n1",
            tran="nvme",
            model="X ",
            serial=" S1",
            pttype="gpt",
            ptuuid="u",
            rota=False,
            **{"log-sec": 4096},
            children=[
                part("nvme0n1p3", 3, 4096, fstype="ext4", uuid="f"),
                part("nvme0n1p1", 1, 2048, partuuid="p"),
            ],
        )
    )
    (found,) = machine_disks(parse_lsblk(text))
    shape = disk(found)
    assert (shape.bus, shape.model, shape.serial, shape.sector, shape.rotational) == (
        Bus.NVME,
        "X",
        "S1",
        4096,
        False,
    )
    assert [(p.number, p.start) for p in shape.partitions] == [(1, 2048 * 512), (3, 4096 * 512)]
    assert shape.partitions[1].fsuuid == "f"


@pytest.mark.parametrize(
    ("name", "tran", "bus"),
    [
        ("vda", "virtio", Bus.VIRTIO),
        ("vda", None, Bus.VIRTIO),
        ("sda", "sata", Bus.SATA),
        ("sda", "sas", Bus.SCSI),
        ("sda", None, Bus.SCSI),
        ("sdb", "usb", Bus.USB),
        ("nvme0n1", None, Bus.NVME),
        ("mmcblk0", "mmc", Bus.OTHER),
    ],
)
def test_bus_classes(name: str, tran: str | None, bus: Bus) -> None:
    (found,) = machine_disks(parse_lsblk(report(row(name, tran=tran))))
    assert disk(found).bus is bus


def test_the_appliances_medium_and_what_is_no_disk_never_appear() -> None:
    rows = (
        row("sda", children=[part("sda1", 1, 2048, label="TWINBOOT")]),
        row("sdb", children=[part("sdb1", 1, 2048, partlabel="TWINBOOT")]),
        row("sdc", children=[part("sdc3", 3, 2048, label="TWINBOOT-SYS")]),
        row("sr0", "rom", rm=True, ro=True),
        row("sdd", rm=True, ro=True),
        row("loop0", "loop"),
        row("zram0"),
        row("sde") | {"size": 0},
        row("vda", children=[part("vda1", 1, 2048, label="root")]),
    )
    assert [d.name for d in machine_disks(parse_lsblk(report(*rows)))] == ["vda"]


def test_a_volume_of_the_machine_named_like_the_medium_does_not_hide_its_disk() -> None:
    state = row("vg0-twinboot--state", "lvm", label="TWINBOOT-STATE")
    found = machine_disks(parse_lsblk(report(row("vda", children=[part("vda1", 1, 2048, children=[state])]))))
    assert [d.name for d in found] == ["vda"]


def test_a_partition_without_a_place_is_damage() -> None:
    (found,) = parse_lsblk(report(row("vda", children=[part("vda1", 1, 0) | {"start": None}])))
    with pytest.raises(DamagedData, match="/dev/vda1"):
        disk(found)


def test_a_wrong_type_names_its_key() -> None:
    with pytest.raises(DamagedData, match="size"):
        parse_lsblk(report(row("vda") | {"size": "8G"}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["blockdevices", "name", "path", "type", "size", "children", "start", "partn"]
                ),
                inner,
            )
        ),
        max_leaves=12,
    )
)
@settings(max_examples=200, deadline=None)
def test_hostile_json_is_refused_or_read_never_a_traceback(value: Any) -> None:
    for text in (json.dumps(value), json.dumps({"blockdevices": [value]}), str(value)):
        try:
            for device in machine_disks(parse_lsblk(text)):
                disk(device)
        except DamagedData as error:
            assert "lsblk" in str(error)


def test_udev_has_looked_before_the_disks_are_listed() -> None:
    """Before, a partition may be missing, or its name."""

    class Udev:
        def __init__(self) -> None:
            self.ran = list[tuple[str, ...]]()

        def run(self, command: Command) -> Output:
            self.ran.append(command.argv[:2])
            return Output(0, '{"blockdevices": []}')

    host = Udev()
    assert listed(host) == ()
    assert host.ran == [("udevadm", "settle"), ("lsblk", "--json")]
