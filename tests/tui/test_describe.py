"""What Home says of where a system boots from."""

from __future__ import annotations

from msgspec.structs import replace

from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import Role
from appliance.model.messages import Status
from tests.fixtures.machines.derive import load
from tui.describe import boot_sentence, node_sentence
from tui.plain.told import home


def test_boot_is_called_by_where_it_lies() -> None:
    (system,) = load("thin-uefi").systems
    assert "/boot vda3 ext4, ESP vda2" in boot_sentence(system, 100)
    inside = replace(system, boot=None)
    assert "/boot inside the root volume" in boot_sentence(inside, 100)
    volume = replace(system.root, role=Role.BOOT, target="/boot", lv="boot", device="/dev/mapper/vg0-boot")
    beside = replace(inside, volumes=(*system.volumes, volume))
    assert "/boot vg0-boot ext4, ESP vda2" in boot_sentence(beside, 100)
    below = "/dev/mapper/twinboot-below-md-0b6d2f847c1e59a3e4d0f72695a8b13c"
    array = replace(volume, vg="", lv="", device=below, array="ledger:1")
    mirrored = replace(system, boot=None, volumes=(*system.volumes, array))
    assert "/boot ledger:1 ext4, ESP vda2" in boot_sentence(mirrored, 100), "what a person calls it"


def test_nothing_is_called_promotable_that_its_promotion_would_refuse() -> None:
    node = Node(volume="root-tb1", state=State.SEALED, run="tb1", verdict="PASS, all good")
    assert node_sentence(node) == "SEALED: tested and sealed: can be promoted. Verdict: PASS, all good."
    for found in (
        replace(node, unfound=("The system would wake ...",)),
        replace(node, verdict="FAIL, 1 worse"),
    ):
        assert "can be promoted" not in node_sentence(found)


def test_the_plain_console_tells_nothing_of_the_next_boot_from_before_the_end_of_a_run() -> None:
    machine = load("thin-bios")
    status = Status(machine=machine, lineage=Lineage(), operator="", next_boot="tb1, once, on trial")
    assert "Next boot: tb1, once, on trial" in home(status, machine, "")
    told = list(home(replace(status, outdated=True), machine, ""))
    assert {"Next boot: being read again ...", "Fallback: being read again ..."} <= set(told)
