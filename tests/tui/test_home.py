"""Home says what the machine is, what it boots and what can be done next."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.model import messages as m
from appliance.model.lineage import State
from appliance.model.machine import Trouble
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tests.tui.line import line


async def test_machine_system_lineage_and_next_step_are_shown(engine: FakeEngine) -> None:
    engine.status = replace(
        engine.status, next_boot="the installed system", next_step="tb1 can be promoted (P)."
    )
    async with desk(engine) as here:
        await here.sees("serial LAB-0001", "Debian GNU/Linux 12", "GRUB 2.06", "vg0: ", "thin pool")
        await here.sees("WRITES TO THIS MACHINE: 0", "SEALED", "tb1-trial", "tb1 can be promoted (P).")
        assert "* boots next" in here.text


async def test_writes_are_counted_as_the_engine_counts_them(engine: FakeEngine) -> None:
    engine.status = replace(engine.status, writes=7)
    async with desk(engine) as here:
        await here.sees("WRITES TO THIS MACHINE: 7")


async def test_no_count_is_claimed_before_the_engine_has_told_one(engine: FakeEngine) -> None:
    engine.deaf = True
    async with line(engine.path) as here:
        await here.sees("WRITES TO THIS MACHINE: not heard yet")


async def test_a_machine_still_being_read_is_said_so(engine: FakeEngine) -> None:
    engine.status = replace(engine.status, machine=None)
    async with desk(engine) as here:
        await here.sees("Reading the machine")
        engine.status = replace(engine.status, machine=engine.machine)
        await here.press("i")
        await here.sees("The machine was read again.", "LAB-0001")
    assert engine.said(m.Inspect) == [m.Inspect(fresh=True)]


async def test_trouble_of_the_machine_is_a_warning(engine: FakeEngine) -> None:
    trouble = (Trouble(code="X", sentence="The thin pool is 96% full.", refuses=True),)
    passive = (Trouble(code="Y", sentence="The boot loader starts another.", refuses=False),)
    installed = engine.machine.systems[0]
    of_the_run = replace(installed, root=replace(installed.root, lv="tb1-trial"), trouble=passive)
    found = replace(engine.machine, trouble=trouble, systems=(installed, of_the_run))
    engine.status = replace(engine.status, machine=found)
    async with desk(engine) as here:
        await here.sees("[!] The thin pool is 96% full.")
        assert "starts another" not in here.text, "a run's own volume is not the system that boots"


async def test_no_system_and_no_kvm_are_said_in_words(engine: FakeEngine) -> None:
    engine.status = replace(engine.status, machine=replace(engine.machine, systems=(), kvm=False))
    async with desk(engine) as here:
        await here.sees("none found on these disks", "KVM: NO")
        await here.press("n", "enter")
        await here.sees("There is no system to rehearse")
    assert engine.said(m.MakePlan) == []


async def test_another_terminal_in_control_is_said_and_can_be_taken_over(engine: FakeEngine) -> None:
    engine.status = replace(engine.status, operator="ttyS0")
    async with desk(engine) as here:
        await here.sees("ttyS0 is in control")
        await here.press("t")
        await here.sees("Another terminal is in control")
        await here.press("t")
        await here.sees("You are in control.")
    assert engine.said(m.TakeOver) == [m.TakeOver()]
    assert engine.status.operator == "tty1"


async def test_keys_that_would_do_nothing_are_not_offered(engine: FakeEngine) -> None:
    engine.status = replace(engine.status, lineage=story.lineage(None))
    async with desk(engine) as here:
        await here.sees("N new rehearsal")
        assert (
            "P promote" not in here.text and "V verdict" not in here.text and "watch the run" not in here.text
        )


async def test_a_new_volume_is_selected_and_the_old_fallback_named(engine: FakeEngine) -> None:
    engine.status = replace(engine.status, lineage=story.lineage(None))
    async with desk(engine) as here:
        await here.sees("Selected: root")
        engine.status = replace(engine.status, lineage=story.lineage(State.KEPT), fallback="Previous system")
        here.app.link.refresh()
        await here.sees("Selected: tb1-trial", "FALLBACK", "= fallback", "Previous system")


async def test_machine_page_lists_disks_volumes_and_boot_entries(engine: FakeEngine) -> None:
    async with desk(engine, size=(80, 60)) as here:
        await here.press("m")
        await here.sees("--- Disks", "/dev/vda1", "virtio", "Firmware boot order", "/srv")
        await here.sees(
            engine.machine.systems[0].kernels[0].version, engine.machine.boot_order.entries[0].label
        )
        await here.press("escape")
        await here.sees("What this machine can start")


async def test_a_wide_screen_shows_entries_space_and_history_beside_the_tree(engine: FakeEngine) -> None:
    engine.status = replace(engine.status, standing=story.standing())
    async with desk(engine, size=(132, 43)) as here:
        await here.sees("Entries as the loader reads them", "Days left: 24", "BOOT-01 no room", "tb1-trial")
        await here.press("down")
        await here.sees("Selected: tb1-trial")
        await here.pilot.resize_terminal(80, 24)
        await here.until(lambda: "Entries as the loader" not in here.text, "the narrow page")
        await here.sees("tb1-trial", "SEALED")


@pytest.mark.parametrize(
    ("state", "label"), [(None, "next boot"), (State.SEALED, "next boot"), (State.KEPT, "roll back")]
)
async def test_a_way_back_is_offered_once_there_is_one(
    engine: FakeEngine, state: State | None, label: str
) -> None:
    engine.status = replace(engine.status, lineage=story.lineage(state))
    async with desk(engine) as here:
        await here.sees(f"B {label}")
        await here.press("b")
        await here.sees("BOOT AND ROLL BACK")
