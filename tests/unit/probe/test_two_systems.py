"""A second system on a second disk: both are found, and neither is taken for the other."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from appliance.errors import Refused
from appliance.model.lineage import Lineage
from appliance.model.machine import InstalledSystem, Machine
from appliance.model.plan import Request, Verb
from appliance.probe import hardware
from appliance.workflow.rehearse import build_plan
from appliance.workflow.selection import choose_system
from tests.unit.probe.recorded import RecordedMachine, ext_head, swap_head
from tests.unit.probe.test_machine import look

FIRST, SECOND = "/dev/mapper/vg0-root", "/dev/vdb1"
UUID = "0b1c2d3e-4f50-4a61-8b72-9c8d7e6f5a4b"
OTHER_DISK = 2
"""The number of the shown device of /dev/vdb1: after the partitions of the first disk, before its volumes."""
GRUB = f"menuentry 'Ubuntu' {{\n\tlinux /boot/vmlinuz-6.8.0-49-generic root=UUID={UUID} ro\n}}\n"


def _later(text: str) -> str:
    """A recorded answer with the shown devices of the volumes one number up."""
    return re.sub(
        r"(twinboot-probe-)(\d+)",
        lambda m: m[1] + str(int(m[2]) + (int(m[2]) >= OTHER_DISK)),
        text,
    )


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedMachine:
    """The BIOS lab machine with an Ubuntu in one partition of a second disk."""
    monkeypatch.setattr(hardware, "kvm_answers", lambda _: True)
    heads = {1: ext_head(), OTHER_DISK: ext_head(), 7: ext_head(), 8: ext_head(), 9: swap_head()}
    machine = RecordedMachine("thin-bios", tmp_path, heads=heads)
    for key in ("blkid", "dmsetup status"):
        machine.answers[key] = _later(machine.outputs[key])
    listed = json.loads(machine.outputs["lsblk"])
    first = next(d for d in listed["blockdevices"] if d["name"] == "vda")
    part = dict(first["children"][2], name="vdb1", path=SECOND, partn=1, uuid=UUID, partuuid=f"{UUID[:8]}-01")
    second = dict(first, name="vdb", path="/dev/vdb", serial="TBLAB0002", children=[part])
    listed["blockdevices"].append(second)
    machine.answers["lsblk"] = json.dumps(listed)
    shutil.move(machine.trees / "twinboot-probe-6", machine.trees / "twinboot-probe-7")
    tree = machine.trees / f"twinboot-probe-{OTHER_DISK}"
    for path, text in {
        "etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n/swap.img none swap sw 0 0\n",
        "etc/os-release": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04.1 LTS"\n',
        "etc/hostname": "other\n",
        "var/lib/dpkg/status": "",
        "boot/grub/grub.cfg": GRUB + "source ${config_directory}/custom.cfg\n",
        "boot/vmlinuz-6.8.0-49-generic": "",
        "boot/initrd.img-6.8.0-49-generic": "",
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    (tree / "sbin").mkdir()
    (tree / "sbin/init").symlink_to("/lib/systemd/systemd")
    return machine


def _both(machine: Machine) -> tuple[InstalledSystem, InstalledSystem]:
    first, second = machine.system(FIRST), machine.system(SECOND)
    assert first is not None and second is not None and len(machine.systems) == 2
    return first, second


def refusing(system: InstalledSystem) -> list[str]:
    return [t.code for t in system.trouble if t.refuses]


def test_both_systems_are_found_each_with_its_own_loader_and_kernel(recorded: RecordedMachine) -> None:
    first, second = _both(look(recorded))
    assert (first.hostname, first.os_id, second.hostname, second.os_id) == (
        "ledger",
        "debian",
        "other",
        "ubuntu",
    )
    assert [e.title for e in second.loader.entries if e.default] == ["Ubuntu"]
    assert second.command_line == f"root=UUID={UUID} ro"
    assert [k.version for k in second.kernels] == ["6.8.0-49-generic"]
    assert (first.boot is not None, second.boot) == (True, None)
    assert [v.device for v in second.volumes] == [SECOND]
    assert SECOND not in {v.device for v in first.volumes}


def test_what_stands_in_the_way_of_one_is_not_said_of_the_other(recorded: RecordedMachine) -> None:
    first, second = _both(look(recorded))
    assert refusing(first) == []
    assert refusing(second) == [], "ext4 on a partition with /boot inside, started by a BIOS"
    assert [t.code for s in (first, second) for t in s.trouble if t.code == "boots-another"] == []


def test_a_damaged_fstab_of_one_leaves_the_other_alone(recorded: RecordedMachine) -> None:
    (recorded.trees / f"twinboot-probe-{OTHER_DISK}/etc/fstab").write_text("what is this\nmore\n")
    first, second = _both(look(recorded))
    assert refusing(first) == []
    assert "fstab-damaged" in refusing(second)


def test_a_loader_that_starts_the_other_system_says_so(recorded: RecordedMachine) -> None:
    grub = recorded.trees / f"twinboot-probe-{OTHER_DISK}/boot/grub/grub.cfg"
    grub.write_text(grub.read_text().replace(f"root=UUID={UUID}", f"root={FIRST}"))
    first, second = _both(look(recorded))
    said = [t.sentence for t in second.trouble if t.code == "boots-another"]
    assert said == [f"The boot loader starts {FIRST} by default, not this system on {SECOND}."]
    assert [t.code for t in first.trouble if t.code == "boots-another"] == []


def test_the_plan_of_the_chosen_system_names_nothing_of_the_other(recorded: RecordedMachine) -> None:
    machine = look(recorded)
    chosen = Request(verb=Verb.REHEARSE, system=FIRST)
    assert choose_system(machine, chosen, Lineage()).id == FIRST
    plan = build_plan(machine, chosen, Lineage())
    written = [write.what for step in plan.steps for write in step.writes]
    assert written and all("vdb" not in text and "other" not in text for text in written)
    with pytest.raises(Refused):
        build_plan(machine, Request(verb=Verb.REHEARSE, system=SECOND), Lineage())
