"""MD RAID: what mdadm says of members, which arrays are read by one leg, a machine whose VG lies on one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.boot.choose import boot_place
from appliance.errors import DamagedData
from appliance.model.machine import Firmware, Layer, LayerKind, Machine, Role, Storage
from appliance.probe import hardware, raid
from appliance.probe.fstab import Known
from appliance.probe.ground import Ground, array_names
from appliance.probe.machine import probe
from appliance.probe.obstacles import of_boot, of_layers, of_mirrors
from appliance.probe.packages import read_packages
from appliance.probe.raid import Member, parse_examine, why_not
from tests.unit.probe.recorded import RecordedMachine
from tests.unit.probe.test_machine import play

SAID = Path(__file__).parents[2] / "fixtures/recorded/mdadm"
UUID = "00010203:04050607:08090a0b:0c0d0e0f"
ARRAY = "/dev/mapper/twinboot-below-md-000102030405060708090a0b0c0d0e0f"
BOOT_UUID = "10111213:14151617:18191a1b:1c1d1e1f"
BOOT_ARRAY = "/dev/mapper/twinboot-below-md-101112131415161718191a1b1c1d1e1f"
BAD_BLOCKS = "  Bad Block Log : 512 entries available at offset 16 sectors - bad blocks present."


def said(name: str) -> str:
    return (SAID / f"{name}.txt").read_text()


def member(name: str, path: str = "") -> Member:
    return parse_examine(said(name), path)


def codes(*names: str) -> list[str]:
    return [t.code for t in why_not([member(name, f"/dev/{name}") for name in names])]


def test_a_leg_says_where_the_arrays_content_lies_in_it() -> None:
    assert member("leg1", "/dev/vdb1") == Member(
        path="/dev/vdb1",
        uuid=UUID,
        name="ledger:0",
        devices=2,
        level="raid1",
        version="1.2",
        offset=1 << 20,
        size=5632000 << 10,
        role=1,
        here=frozenset({0, 1}),
        clean=True,
        events=19,
    )


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (("leg0", "leg1"), []),
        (("leg1", "leg0", "spare"), []),
        (("stopped0", "stopped1"), []),
        (("stopped1",), ["degraded-raid"]),
        (("leg0",), ["degraded-raid"]),
        (("leg0", "spare"), ["degraded-raid"]),
        (("leg0", "leg0"), ["degraded-raid"]),
        (("alone", "leg1"), ["degraded-raid"]),
        (("alone",), ["degraded-raid"]),
        (("dirty0", "dirty1"), ["raid-not-settled"]),
        (("leg0", "dirty1"), ["raid-not-settled"]),
        (("leg0", "damaged1"), ["raid-not-settled"]),
        (("leg0", "recovering"), ["raid-not-settled"]),
        (("raid5", "leg1"), ["raid"]),
    ],
)
def test_only_a_whole_mirror_with_legs_in_step_is_read(names: tuple[str, ...], refused: list[str]) -> None:
    assert codes(*names) == refused
    assert codes(*reversed(names)) in (refused, [])


def test_legs_that_saw_each_other_go_are_no_mirror() -> None:
    """The count of events alone would not tell: each leg ran by itself, and as often."""
    one, other = member("alone"), parse_examine(said("leg1").replace("Events : 19", "Events : 31"))
    assert [t.code for t in why_not([one, other])] == ["degraded-raid"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("Version : 1.2", "Version : 0.90.00", "raid"),
        ("Data Offset : 2048", "Data Offset : 4096", "raid"),
        ("Array Size : 5632000", "Array Size : 5631000", "raid"),
        ("Feature Map : 0x0", "Feature Map : 0x200", "raid"),
        ("Feature Map : 0x0", "Feature Map : 0x4", "raid-not-settled"),
        ("Events : 19", "Events : 18", "degraded-raid"),
        ("    Update Time", f"{BAD_BLOCKS}\n    Update Time", "raid-bad-blocks"),
    ],
)
def test_what_one_leg_says_is_enough_to_refuse(old: str, new: str, code: str) -> None:
    odd = said("leg1").replace(old, new)
    assert odd != said("leg1")
    found = {t.code for t in why_not([member("leg0"), parse_examine(odd)])}
    assert found == {code}


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("Array UUID", "Some UUID", "UUID"),
        ("Raid Devices : 2", "Raid Devices : two", "Raid Devices"),
        ("Data Offset : 2048 sectors", "Data Offset : 99999999999999999999 sectors", "Data Offset"),
        ("Feature Map : 0x0", "Feature Map : odd", "Feature Map"),
    ],
)
def test_a_report_that_does_not_read_is_an_error_that_names_the_field(old: str, new: str, named: str) -> None:
    with pytest.raises(DamagedData, match=named):
        parse_examine(said("leg0").replace(old, new))


@pytest.fixture
def mirrored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedMachine:
    """The recorded machine, its volume group on a mirror of its fourth partition and one of a second disk."""
    monkeypatch.setattr(hardware, "kvm_answers", lambda _: True)
    machine = play("thin-bios", tmp_path)
    on_mirror(machine)
    return machine


def on_mirror(machine: RecordedMachine) -> None:
    report = json.loads(machine.outputs["lsblk"])
    disk = next(d for d in report["blockdevices"] if d["name"] == "vda")
    part = disk["children"][3]
    holds = f"TYPE=LVM2_member\nUUID={part['uuid']}\n"
    part |= {"fstype": "linux_raid_member", "uuid": UUID}
    second = disk | {"name": "vdb", "path": "/dev/vdb", "serial": "LAB-DISK-2", "ptuuid": "2"}
    second["children"] = [
        part | {"name": "vdb1", "path": "/dev/vdb1", "partn": 1, "start": 2048, "partuuid": "2"}
    ]
    report["blockdevices"].append(second)
    machine.answers["lsblk"] = json.dumps(report)
    machine.answers["mdadm /dev/vda4"], machine.answers["mdadm /dev/vdb1"] = said("leg0"), said("leg1")
    machine.answers[f"blkid {ARRAY}"] = f"DEVNAME={ARRAY}\n{holds}"
    machine.answers["lvm fullreport"] = machine.outputs["lvm fullreport"].replace("/dev/vda4", ARRAY)


def boot_on_mirror(machine: RecordedMachine) -> None:
    """/boot, too, on a mirror of its own, of the third partition and the second disk's second one."""
    report = json.loads(machine.answers["lsblk"])
    first, second = (next(d for d in report["blockdevices"] if d["name"] == name) for name in ("vda", "vdb"))
    leg = first["children"][2] | {"fstype": "linux_raid_member", "uuid": BOOT_UUID}
    content, first["children"][2] = first["children"][2], leg
    second["children"].append(
        leg | {"name": "vdb2", "path": "/dev/vdb2", "partn": 2, "start": 4 << 21, "partuuid": "3"}
    )
    machine.answers["lsblk"] = json.dumps(report)
    for number, path in enumerate(("/dev/vda3", "/dev/vdb2")):
        told = said(f"leg{number}").replace(UUID, BOOT_UUID).replace("ledger:0", "ledger:1")
        machine.answers[f"mdadm {path}"] = told.replace("11264000 sectors", "1046528 sectors")
    holds = f"TYPE={content['fstype']}\nUUID={content['uuid']}\n"
    machine.answers[f"blkid {BOOT_ARRAY}"] = told = f"DEVNAME={BOOT_ARRAY}\n{holds}"
    # Where there are both, they are asked for in one call.
    machine.answers[f"blkid {ARRAY}"] = f"{told}\n{machine.answers[f'blkid {ARRAY}']}"


def look(machine: RecordedMachine) -> Machine:
    found = probe(machine, machine.root)
    assert machine.left() == []
    return found


def refused(machine: Machine) -> list[str]:
    return [t.code for t in (*machine.trouble, *(t for s in machine.systems for t in s.trouble)) if t.refuses]


def test_a_system_on_a_mirror_is_seen_by_one_leg(mirrored: RecordedMachine) -> None:
    machine = look(mirrored)
    (system,) = machine.systems
    assert (system.hostname, system.root.device) == ("ledger", "/dev/mapper/vg0-root")
    assert refused(machine) == []
    (layer,) = machine.layers
    assert (layer.kind, layer.path, layer.below) == (LayerKind.RAID1, ARRAY, ("/dev/vda4", "/dev/vdb1"))
    (group,) = machine.volume_groups
    assert [pv.path for pv in group.pvs] == [ARRAY]


@pytest.fixture
def all_mirrored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedMachine:
    """The UEFI machine with everything but its ESP on mirrors."""
    monkeypatch.setattr(hardware, "kvm_answers", lambda _: True)
    machine = play("thin-uefi", tmp_path)
    on_mirror(machine)
    boot_on_mirror(machine)
    return machine


def test_a_boot_that_is_an_array_is_read_by_one_leg_as_well(all_mirrored: RecordedMachine) -> None:
    machine = look(all_mirrored)
    assert refused(machine) == []
    (system,) = machine.systems
    assert (system.boot, system.kernels[0].vmlinuz) == (None, "vmlinuz-6.1.0-50-amd64")
    volume = system.boot_volume
    assert volume is not None
    assert (volume.device, volume.array, volume.place, volume.vg) == (BOOT_ARRAY, "ledger:1", "ledger:1", "")
    (group,) = machine.volume_groups
    assert [layer.name for layer in machine.mirrors_under(group)] == ["ledger:0"]
    assert [layer.name for layer in machine.boot_mirrors(group)] == ["ledger:1"]
    place = boot_place(machine, system, Path("/mnt"))
    assert (place.device, place.prefix) == (BOOT_ARRAY, "")
    assert place.sector is not None and place.sector.device == "/dev/vda2"
    table = "0 11264000 linear /dev/vda3 2048"
    assert place.up == ("dmsetup", "create", "--readonly", BOOT_ARRAY.rpartition("/")[2], "--table", table)


@pytest.mark.parametrize(
    "named",
    ["/dev/md1", "/dev/md/1", f"/dev/disk/by-id/md-uuid-{BOOT_UUID}", "/dev/disk/by-id/md-name-ledger:1"],
)
def test_fstab_may_name_it_as_the_machine_s_own_start_has_it(
    all_mirrored: RecordedMachine, named: str
) -> None:
    fstab = all_mirrored.trees / "twinboot-probe-6/etc/fstab"
    text = fstab.read_text()
    (line,) = (one for one in text.splitlines() if re.match(r"UUID=\S+ +/boot ", one))
    fstab.write_text(text.replace(line, f"{named} /boot ext4 defaults 0 2"))
    machine = look(all_mirrored)
    boot = machine.systems[0].boot_volume
    assert refused(machine) == [] and boot is not None and boot.array == "ledger:1"


def test_what_two_arrays_could_be_called_is_said_of_neither() -> None:
    one = Layer(kind=LayerKind.RAID1, path="/a", uuid=UUID, name="ledger:0", below=(), offset=1, size=1)
    names = array_names((one, replace(one, path="/b", uuid=BOOT_UUID, name="other:0")))
    assert names == {
        "/a": {f"/dev/disk/by-id/md-uuid-{UUID}", "/dev/disk/by-id/md-name-ledger:0"},
        "/b": {f"/dev/disk/by-id/md-uuid-{BOOT_UUID}", "/dev/disk/by-id/md-name-other:0"},
    }
    alone = array_names((replace(one, name="ledger:boot"),))
    assert alone["/a"] >= {"/dev/md/boot"} and not any(name.startswith("/dev/mdb") for name in alone["/a"])


def test_where_its_legs_are_degraded_its_boot_is_not_read(all_mirrored: RecordedMachine) -> None:
    alone = said("alone").replace(UUID, BOOT_UUID).replace("ledger:0", "ledger:1")
    all_mirrored.answers["mdadm /dev/vda3"] = alone
    sentences = [t.sentence for t in look(all_mirrored).trouble if t.refuses]
    assert sentences == ["The RAID array ledger:1 is degraded: 1 of 2 members are here."]


def test_without_an_esp_a_boot_on_an_array_has_no_fallback(mirrored: RecordedMachine) -> None:
    boot_on_mirror(mirrored)
    (trouble,) = (t for t in look(mirrored).systems[0].trouble if t.refuses)
    assert trouble.code == "no-fallback"
    assert "GRUB can read /boot on ledger:1, but not write there" in trouble.sentence


def test_a_boot_on_an_array_beside_a_root_on_a_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "kvm_answers", lambda _: True)
    machine = play("thin-uefi", tmp_path)
    before = machine.outputs["lvm fullreport"]
    on_mirror(machine)
    boot_on_mirror(machine)
    report = json.loads(machine.answers["lsblk"])
    disks = {d["name"]: d for d in report["blockdevices"]}
    own = json.loads(machine.outputs["lsblk"])
    disks["vda"]["children"][3] = next(d for d in own["blockdevices"] if d["name"] == "vda")["children"][3]
    disks["vdb"]["children"] = disks["vdb"]["children"][1:]
    machine.answers |= {"lsblk": json.dumps(report), "lvm fullreport": before}
    assert refused(look(machine)) == ["boot-not-partition"]


def test_nothing_is_assembled_and_the_array_is_shown_by_a_device_that_can_not_write(
    mirrored: RecordedMachine,
) -> None:
    look(mirrored)
    assert {line for line in mirrored.ran if line.startswith("mdadm")} == {
        "mdadm --examine /dev/vda4",
        "mdadm --examine /dev/vdb1",
    }
    name = ARRAY.rpartition("/")[2]
    (made,) = (line for line in mirrored.ran if line.startswith("dmsetup create") and f"'{name}," in line)
    assert made == f"dmsetup create --concise '{name},,,ro,0 11264000 linear /dev/vda4 2048'"


def test_a_failing_disk_under_either_leg_is_named(mirrored: RecordedMachine) -> None:
    mirrored.answers["lsblk"] = mirrored.answers["lsblk"].replace('"tran": "virtio"', '"tran": "sata"')
    mirrored.answers["smartctl /dev/vda"] = '{"smart_status": {"passed": true}}'
    mirrored.answers["smartctl /dev/vdb"] = '{"smart_status": {"passed": false}}'
    assert refused(look(mirrored)) == ["failing-disk"]


def test_a_degraded_mirror_is_not_looked_into(mirrored: RecordedMachine) -> None:
    mirrored.answers["mdadm /dev/vda4"] = said("alone")
    machine = look(mirrored)
    assert (machine.systems, machine.layers) == ((), ())
    assert [t.sentence for t in machine.trouble if t.refuses] == [
        "The RAID array ledger:0 is degraded: 1 of 2 members are here."
    ]


def test_a_member_that_can_not_be_examined_is_named(mirrored: RecordedMachine) -> None:
    mirrored.answers["mdadm /dev/vda4"] = "mdadm: No md superblock detected\n"
    assert [(t.code, t.refuses) for t in look(mirrored).trouble] == [("raid", False), ("degraded-raid", True)]


def test_a_mirror_that_the_kernel_refuses_is_named(mirrored: RecordedMachine) -> None:
    mirrored.fails.add(f"create {ARRAY.rpartition('/')[2]}")
    machine = look(mirrored)
    assert (machine.systems, [t.code for t in machine.trouble]) == ((), ["raid"])


def test_one_that_a_run_has_up_is_used_and_left(mirrored: RecordedMachine) -> None:
    name = ARRAY.rpartition("/")[2]
    mirrored.up(name, readonly=False)
    machine = probe(mirrored, mirrored.root)
    assert len(machine.systems) == 1
    assert mirrored.left() == [name]


def test_what_a_killed_probe_left_is_made_anew(mirrored: RecordedMachine) -> None:
    mirrored.up(ARRAY.rpartition("/")[2], readonly=True)
    assert len(look(mirrored).systems) == 1


def of(machine: Machine, layers: tuple[Layer, ...], **root: object) -> list[str]:
    """The codes of what keeps a root on these layers from being rehearsed."""
    (system,) = machine.systems
    nothing: Any = None
    ground = Ground(nothing, (), machine.volume_groups, (), {}, layers=layers)
    known = Known(path="", names=frozenset(), size=0, fstype="ext4", fsuuid="", vg="vg0", lv="root")
    changed = replace(system, root=replace(system.root, **root)) if root else system
    return [t.code for t in (*of_layers(ground, (known,), None), *of_mirrors(ground, changed, (known,)))]


def test_what_a_twin_can_not_have_is_refused(mirrored: RecordedMachine) -> None:
    machine = look(mirrored)
    (layer,) = machine.layers
    assert of(machine, machine.layers) == []
    assert of(machine, machine.layers, storage=Storage.BTRFS) == ["raid-root"]
    assert of(machine, (replace(layer, offset=0),)) == ["raid-kind"], "metadata 1.0 is behind the content"
    deep = replace(layer, kind=LayerKind.LUKS, below=("/dev/mapper/x",))
    assert of(machine, (replace(layer, path="/dev/mapper/x"), deep)) == ["raid-several"]


def test_a_boot_on_lvm_that_lies_on_a_mirror_is_refused(mirrored: RecordedMachine) -> None:
    """It is no array itself: GRUB finds it in the volume group, and the twin has that in form only."""
    machine = look(mirrored)
    (system,), nothing = machine.systems, None
    volume = replace(system.root, role=Role.BOOT, target="/boot", lv="srv", device="/dev/mapper/vg0-srv")
    esp = replace(machine.disks[0].partitions[1], fsuuid="E5B")
    changed = replace(system, boot=None, volumes=(*system.volumes, volume), esp=esp)
    boot = Known(path=volume.device, names=frozenset(), size=0, fstype="ext4", fsuuid="", vg="vg0", lv="srv")
    there = Known(path=esp.path, names=frozenset(), size=0, fstype="vfat", fsuuid="E5B")
    root = Known(path=system.root.device, names=frozenset(), size=0, fstype="ext4", fsuuid="", vg="vg0")
    ground = Ground(nothing, (), machine.volume_groups, (root, boot, there), {}, layers=machine.layers)  # type: ignore[arg-type]
    assert [t.code for t in of_boot(ground, Firmware.UEFI, changed, boot)] == ["boot-not-partition"]


def test_an_array_that_we_write_to_may_say_that_it_is_at_work(
    mirrored: RecordedMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raid.time, "sleep", lambda _: None)
    mirrored.up(ARRAY.rpartition("/")[2], readonly=False)
    mirrored.answers["mdadm /dev/vda4"] = said("dirty0")
    mirrored.answers["mdadm /dev/vdb1"] = said("dirty1")
    machine = probe(mirrored, mirrored.root)
    assert len(machine.systems) == 1 and machine.layers


def test_legs_read_while_md_counts_on_are_asked_again(
    mirrored: RecordedMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def later(seconds: float) -> None:
        waited.append(seconds)
        mirrored.answers["mdadm /dev/vda4"] = said("leg0").replace("Events : 19", "Events : 20")

    monkeypatch.setattr(raid.time, "sleep", later)
    mirrored.up(ARRAY.rpartition("/")[2], readonly=False)
    mirrored.answers["mdadm /dev/vdb1"] = said("leg1").replace("Events : 19", "Events : 20")
    assert len(probe(mirrored, mirrored.root).systems) == 1
    assert waited == [1]


def test_a_leg_that_fell_out_meanwhile_is_named(
    mirrored: RecordedMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raid.time, "sleep", lambda _: None)
    mirrored.up(ARRAY.rpartition("/")[2], readonly=False)
    mirrored.answers["mdadm /dev/vda4"] = said("alone")
    assert refused(probe(mirrored, mirrored.root)) == ["degraded-raid"]


def test_its_packages_are_read_by_one_leg_as_well(mirrored: RecordedMachine) -> None:
    machine = look(mirrored)
    found = read_packages(mirrored, machine, machine.systems[0], mirrored.root)
    assert any(package.name == "dpkg" for package in found.packages)
    assert mirrored.left() == []
