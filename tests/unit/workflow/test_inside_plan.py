"""/boot as a folder of a root on a partition: what a plan says of it, and what is refused for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.choose import boot_place, choose_loader, loader_partition
from appliance.boot.grub import Grub
from appliance.boot.shapes import BootState, Entry, LoaderView
from appliance.errors import Refused
from appliance.host.run import RealHost
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import Firmware, Machine
from appliance.model.plan import Plan, Request, Verb
from appliance.model.verdict import Result, Verdict
from appliance.workflow import promote, undoing
from appliance.workflow.catalogue import view_of
from appliance.workflow.places import Places
from appliance.workflow.standing import choices
from tests.unit.workflow.plans import decided, planned
from tests.unit.workflow.test_partition_plan import GROUP, NEW, OLD
from tests.unit.workflow.test_partition_plan import machine as beside

HOST = RealHost()


def machine(role: str = "") -> Machine:
    found = beside(role)
    (system,) = found.systems
    loader = replace(system.loader, boot_prefix="/boot", folder="grub")
    inside = replace(system, boot=None, esp=None, loader=loader)
    return replace(found, firmware=Firmware.BIOS, systems=(inside,))


def seen(state: BootState) -> LoaderView:
    """GRUB's own default is the old system for good; what is kept boots all the same."""
    found = decided(state, OLD, NEW)
    old = found.fallback or found.next_boot
    return replace(found, own=old)


def act(verb: Verb, found: Machine, state: State, view: LoaderView) -> Plan:
    lineage = Lineage(nodes=(Node(volume="part4-tb1", state=state, run="tb1"),))
    good = Verdict(result=Result.PASS, checks=())
    request, rehearsed = Request(verb=verb, run="tb1"), planned(machine())
    return promote.build_plan(found, request, lineage, rehearsed, good, view, Grub(lambda _: None), ())


def test_the_loader_s_files_are_in_the_root_s_own_boot() -> None:
    found = machine()
    (system,) = found.systems
    assert isinstance(choose_loader(found, system, HOST), Grub) and loader_partition(system) is None
    place = boot_place(found, system, Path("/m"))
    assert (place.device, place.fstype, place.prefix, place.inside) == ("/dev/vda4", "ext4", "/boot", True)
    assert place.boot == Path("/m/boot")


@pytest.mark.parametrize("what", ["UEFI", "xfs", "no partition", "a copy of ours"])
def test_every_other_root_with_boot_inside_is_refused(what: str, tmp_path: Path) -> None:
    found = machine("kept")
    (system,) = found.systems
    changed = {
        "UEFI": system.root,
        "xfs": replace(system.root, fstype="xfs"),
        "no partition": replace(system.root, partition=""),
        "a copy of ours": replace(system.root, partition="part4-tb1"),
    }[what]
    if what == "UEFI":
        found = replace(found, firmware=Firmware.UEFI)
    other = replace(system, root=changed)
    with pytest.raises(Refused):
        choose_loader(found, other, HOST)
    assert view_of(HOST, found, other, Places(tmp_path)) is None


def test_a_promotion_says_what_is_written_into_the_root_and_that_it_stays() -> None:
    made = act(Verb.PROMOTE, machine("trial"), State.SEALED, seen(BootState.ABSENT))
    said = [w for w in made.warnings if "/dev/vda4" in w]
    assert len(said) == 2 and "/boot/grub/custom.cfg are written into it" in said[0]
    assert "can not be retired once tb1 is kept" in said[1]


def test_a_roll_back_hides_what_was_kept_since_the_old_root_s_grub_cfg_names_the_old_root() -> None:
    back = act(Verb.ROLLBACK, machine("kept"), State.KEPT, seen(BootState.KEPT))
    assert [s.id for s in back.steps] == ["confirm", "rollback", "hide"]


def test_once_kept_the_old_root_is_not_retired_and_rolled_back_the_run_is() -> None:
    with pytest.raises(Refused) as refused:
        act(Verb.RETIRE, machine("kept"), State.KEPT, seen(BootState.KEPT))
    (why,) = refused.value.reasons
    assert "GRUB's own files lie in the /boot of the old root /dev/vda4" in why
    made = act(Verb.RETIRE, machine("trial"), State.KEPT, seen(BootState.ROLLED_BACK))
    assert [s.id for s in made.steps] == ["confirm", "unstage", "delete"]
    assert "part4" not in made.doomed


def test_what_a_kept_root_s_own_grub_cfg_starts_is_called_so() -> None:
    own = Entry(id="gnulinux-simple-new", title="Debian GNU/Linux", kernel="vmlinuz-7", root=NEW)
    first, *others = choices(replace(seen(BootState.KEPT), next_boot=own))
    assert (first.root, first.boots_next, first.state) == (NEW, True, "the kept system's own default")
    assert not any(other.boots_next for other in others)


def test_undo_of_a_kept_run_names_the_one_way_there_is() -> None:
    group = machine("kept").group(GROUP)
    assert group is not None
    (why,) = undoing.why_not(group, seen(BootState.KEPT), inside=True)
    assert why.endswith("so this machine boots from it: roll it back.")
