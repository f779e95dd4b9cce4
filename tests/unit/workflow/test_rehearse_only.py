"""Rehearse only: refused with the ways on, planned where asked for, kept nowhere on the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model.lineage import Lineage
from appliance.model.machine import Bus, Disk, Machine, Partition, Trouble
from appliance.model.plan import PatchKind, PatchRequest, Plan, Request, Verb
from appliance.volumes.elsewhere import bytes_for, free_bytes
from appliance.volumes.file_room import MEMORY, SPARE
from appliance.workflow import catalogue, elsewhere, rehearse
from appliance.workflow.elsewhere import Offer
from appliance.workflow.workplace import Workplace
from tests.unit.workflow import thick

MIB = 1 << 20
STICK = Offer("stick", "the stick", 8 << 30)
RAM = Offer("ram", "memory", 2 << 30)
USB = Disk(
    path="/dev/sdz",
    size=64 << 30,
    bus=Bus.USB,
    table="gpt",
    partitions=(
        Partition(path="/dev/sdz1", number=1, start=MIB, size=60 << 30, fstype="ext4", label="SPARE"),
        Partition(path="/dev/sdz2", number=2, start=61 << 30, size=1 << 30, fstype="btrfs"),
    ),
)


def full() -> Machine:
    """A thick root in a volume group without one free extent."""
    found = thick.machine()
    (group,) = found.volume_groups
    return replace(found, volume_groups=(replace(group, free_count=0),))


def request(**words: object) -> Request:
    return Request(verb=Verb.REHEARSE, emulate=True, **words)  # type: ignore[arg-type]


def planned(found: Machine | None = None, store: str = "stick", **words: object) -> Plan:
    asked = request(rehearse_only=True, store=store, **words)
    return rehearse.build_plan(found or full(), asked, Lineage(), offers=(STICK, RAM))


def refused(
    asked: Request, offers: tuple[Offer, ...] = (STICK, RAM), found: Machine | None = None
) -> Refused:
    with pytest.raises(Refused) as said:
        rehearse.build_plan(found or full(), asked, Lineage(), offers=offers)
    return said.value


# The refusal names the ways on.


def test_no_room_is_refused_with_the_way_on_and_the_ways_to_room() -> None:
    said = refused(request())
    assert len(said.reasons) == 1 and "MiB free in the volume group" in said.reasons[0]
    assert said.elsewhere == ("stick", "ram")
    first, *ways = said.next_actions
    assert first.startswith(
        "Rehearse only (O on the console, or --rehearse-only --store with one of stick, ram)"
    )
    assert ways and all("Price:" in way or "another disk" in way for way in ways)


def test_nothing_is_chosen_by_itself_and_a_place_alone_is_no_wish() -> None:
    assert "give --rehearse-only as well" in refused(request(store="ram")).reasons[0]
    (why,) = refused(request(rehearse_only=True)).reasons
    assert why == "Nothing says where the copy shall lie: give --store one of stick, ram."


def test_it_is_not_offered_where_something_else_stands_in_the_way_or_nothing_fits() -> None:
    by_hand = PatchRequest(kind=PatchKind.PACKAGES)
    other = refused(request(patch=by_hand))
    assert other.elsewhere == () and len(other.reasons) == 2
    small = refused(request(), (replace_free(STICK, 100 * MIB),))
    assert small.elsewhere == () and not any("Rehearse only" in a for a in small.next_actions)


def replace_free(offer: Offer, free: int) -> Offer:
    return Offer(offer.store, offer.called, free)


def test_a_place_that_is_not_there_or_too_small_is_refused() -> None:
    (why,) = refused(request(rehearse_only=True, store="/dev/vda1")).reasons
    assert "There is no place /dev/vda1 for the copy here: --store takes stick, ram." in why
    (why,) = refused(request(rehearse_only=True, store="ram"), (STICK, replace_free(RAM, MIB))).reasons
    assert why.startswith("The copy needs ") and "on memory, which has 1 MiB" in why


def test_a_full_pool_or_no_room_for_a_history_is_no_trouble_then() -> None:
    found = full()
    (system,) = found.systems
    troubled = replace(
        found,
        systems=(
            replace(system, trouble=(Trouble(code="no-state-room", sentence="No room.", refuses=True),)),
        ),
    )
    assert planned(troubled).request.rehearse_only
    assert "No room." in refused(request(), found=troubled).reasons


# The plan.


def test_the_plan_has_what_makes_sense_without_a_trial() -> None:
    plan = planned()
    assert [s.id for s in plan.steps] == [
        "make-room", "evidence", "snapshot", "twin", "control", "patch", "patched", "checks", "seal", "stop",
        "verdict", "throw-away", "unchanged",
    ]  # fmt: skip
    assert (plan.names.base, plan.names.work, plan.names.sealed) == (
        "root-tb1-base",
        "root-tb1-work",
        "root-tb1-work",
    )
    assert plan.names.trial == plan.names.proof == plan.names.proof_scratch == "" == plan.names.boot_folder
    told = [w for s in plan.steps for w in s.writes]
    assert told and all("none on this machine" in w.if_cut for w in told)
    assert "nothing to promote" in plan.warnings[0]
    assert plan.pool == STICK.called and plan.ways


def test_the_room_holds_what_is_expected_with_some_to_spare() -> None:
    plan = planned()
    assert plan.copy_bytes % MIB == 0
    assert bytes_for(plan.expected_bytes) < plan.copy_bytes < 2 * bytes_for(plan.expected_bytes)
    assert plan.free_bytes == free_bytes(plan.copy_bytes) >= plan.expected_bytes


def test_the_command_line_says_the_same() -> None:
    words = rehearse.build_plan(full(), planned().request, Lineage(), offers=(STICK,)).request
    assert catalogue.title(planned()) == "Rehearsal tb1: Change nothing, only test the reboot"
    assert words.store == "stick"


# Where copies can lie.


def test_the_places_are_the_stick_usb_partitions_and_memory() -> None:
    found = replace(full(), disks=(*full().disks, USB))
    there = elsewhere.offers(found, 4 << 30, 4096, 0)
    assert [(o.store, o.free) for o in there] == [
        ("stick", (4 << 30) - SPARE),
        ("/dev/sdz1", (60 << 30) - SPARE),
        ("ram", (4096 - 512 - 1024) * MIB - SPARE),
    ]
    assert [o.store for o in elsewhere.offers(found, 0, 900, 0)] == ["/dev/sdz1", "ram"]
    assert elsewhere.offers(found, 0, 900, 0)[-1].free == 0, "the twin comes first"
    assert elsewhere.offers(found, 0, 4096, 2048)[-1].free == (4096 - 512 - 2048) * MIB - SPARE


def test_a_usb_disk_the_machine_itself_uses_is_no_place() -> None:
    found = full()
    (disk,) = found.disks
    assert list(elsewhere.usb(replace(found, disks=(replace(disk, bus=Bus.USB),)))) == []


def test_each_place_is_mounted_as_it_needs(tmp_path: Path) -> None:
    found = replace(full(), disks=(*full().disks, USB))
    work = Workplace(found, "tb1", tmp_path, tmp_path / "run", tmp_path / "data")
    plan = planned()

    def place(store: str) -> tuple[Path, str, str]:
        at = elsewhere.place_of(replace(plan, request=replace(plan.request, store=store)), work)
        return at.at, at.source, at.fstype

    assert place("stick") == (tmp_path / "data", "", "")
    assert place("ram") == (tmp_path / "run/copies", "twinboot", MEMORY)
    assert place("/dev/sdz1") == (tmp_path / "run/copies", "/dev/sdz1", "ext4")


def test_where_there_is_no_stick_the_record_must_be_fetched_and_that_is_said() -> None:
    asked = request(rehearse_only=True, store="ram")
    plan = rehearse.build_plan(full(), asked, Lineage(), offers=(RAM,))
    assert "export the report before this appliance is switched off" in plan.warnings[1]
