"""From the choice of patches to a started rehearsal, and every way it is refused."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.errors import Refused, StalePlan
from appliance.model import messages as m
from appliance.model.machine import Machine
from appliance.model.plan import PatchKind, PatchRequest, Request, Verb
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine

REASONS = (
    "This machine offers no hardware virtualisation (KVM); switch it on in the firmware set-up.",
    "The thin pool vg0/pool is 96% full: free 1.2 GiB first.",
    "The system was hibernated: boot it once and shut it down.",
)


def planning(engine: FakeEngine) -> None:
    engine.script[m.MakePlan] = lambda say: m.Planned(
        plan=story.plan(engine.machine, say.request), command_line="twinboot rehearse --nothing"
    )
    engine.script[m.Start] = lambda say: m.Accepted(
        run="" if say.dry else say.plan.names.run, would=("lvcreate -s vg0/root",) if say.dry else ()
    )


async def test_change_nothing_comes_first_and_is_what_enter_plans(engine: FakeEngine) -> None:
    planning(engine)
    async with desk(engine) as here:
        await here.press("n")
        await here.sees("> 1  Change nothing, only test the reboot")
        await here.press("enter")
        await here.sees("nothing stands in the way", "Control boot", "vg0/tb1-base of vg0/root")
        await here.sees("about 1.4 GiB of 3.4 GiB free (to the 80 % mark) in vg0/pool")
        assert engine.said(m.Start) == []
        await here.press("y", "e", "s", "enter")
        await here.until(lambda: bool(engine.said(m.Start)), "the start")
    want = Request(verb=Verb.REHEARSE, system="/dev/mapper/vg0-root")
    assert engine.said(m.MakePlan) == [m.MakePlan(request=want)]
    assert engine.said(m.Start) == [m.Start(plan=story.plan(engine.machine, want))]


@pytest.mark.parametrize(
    ("downs", "typed", "patch"),
    [
        (1, "", PatchRequest(kind=PatchKind.ALL)),
        (2, "", PatchRequest(kind=PatchKind.SECURITY)),
        (4, "bundle7", PatchRequest(kind=PatchKind.ALL, bundle="bundle7")),
        (5, "fix.sh", PatchRequest(kind=PatchKind.SCRIPT, script="fix.sh")),
        (6, "", PatchRequest(kind=PatchKind.BY_HAND)),
    ],
)
async def test_each_kind_of_patch_is_asked_for_as_chosen(
    engine: FakeEngine, downs: int, typed: str, patch: PatchRequest
) -> None:
    planning(engine)
    async with desk(engine) as here:
        await here.press("n", *["down"] * downs, "enter")
        if typed:
            await here.sees(":")
            await here.press(
                *("space" if c == " " else "full_stop" if c == "." else c for c in typed), "enter"
            )
        await here.sees("nothing stands in the way")
    assert engine.said(m.MakePlan)[0].request.patch == patch


async def test_all_refusals_are_shown_at_once_and_nothing_can_be_started(engine: FakeEngine) -> None:
    def refuse(say: m.MakePlan) -> m.Planned:
        raise Refused(REASONS, ("The last shut down was not clean.",))

    engine.script[m.MakePlan] = refuse
    async with desk(engine) as here:
        await here.press("n", "enter")
        await here.sees("3 reasons, code REFUSED-01", "no hardware virtualisation", "96% full", "hibernated")
        await here.sees("does not stand in the way", "[!] The last shut down was not clean.")
        await here.press("y", "e", "s", "enter")
        planning(engine)
        await here.press("f5")
        await here.sees("nothing stands in the way")
    assert engine.said(m.Start) == []
    assert len(engine.said(m.MakePlan)) == 2


async def test_a_wrong_word_starts_nothing(engine: FakeEngine) -> None:
    planning(engine)
    async with desk(engine) as here:
        await here.press("n", "enter")
        await here.sees("type yes")
        await here.press("n", "o", "enter")
        await here.sees('"no" is not what was asked for. Nothing was done.')
        await here.press("enter")
        await here.sees("Nothing was typed.")
    assert engine.said(m.Start) == []


async def test_a_stale_plan_stops_on_the_error_panel_until_it_is_read(engine: FakeEngine) -> None:
    planning(engine)

    def stale(say: m.Start) -> m.Accepted:
        raise StalePlan(("The machine's disks have changed since the plan was made.",))

    engine.script[m.Start] = stale
    async with desk(engine) as here:
        await here.press("n", "enter")
        await here.sees("type yes")
        await here.press("y", "e", "s", "enter")
        await here.sees("[X] NOT DONE", "PLAN-01", "disks have changed", "Make a new plan on this machine.")
        await here.press("x", "tab", "down")
        await here.sees("[X] NOT DONE")
        await here.press("enter")
        await here.sees("type yes")


async def test_dry_run_shows_the_commands_and_asks_for_no_write(engine: FakeEngine) -> None:
    planning(engine)
    async with desk(engine) as here:
        await here.press("n", "enter")
        await here.sees("type yes")
        await here.press("f6")
        await here.sees("lvcreate -s vg0/root")
        await here.press("f6")
        await here.sees("nothing stands in the way")
    assert [s.dry for s in engine.said(m.Start)] == [True]


async def test_a_machine_without_kvm_offers_emulation_knowingly(engine: FakeEngine) -> None:
    planning(engine)
    engine.status = replace(engine.status, machine=replace(engine.machine, kvm=False))
    async with desk(engine) as here:
        await here.press("n")
        await here.sees("[ ] emulate the twin")
        await here.press("e")
        await here.sees("[x] emulate the twin")
        await here.press("enter")
        await here.sees("nothing stands in the way")
    assert engine.said(m.MakePlan)[0].request.emulate


async def test_two_systems_are_chosen_between(engine: FakeEngine) -> None:
    planning(engine)
    first = engine.machine.systems[0]
    second = replace(first, id="/dev/mapper/vg1-root", hostname="other")
    engine.status = replace(engine.status, machine=replace(engine.machine, systems=(first, second)))
    async with desk(engine) as here:
        await here.press("n")
        await here.sees("1 of 2")
        await here.press("s")
        await here.sees("2 of 2", "other:")
        await here.press("enter")
        await here.sees("nothing stands in the way")
    assert engine.said(m.MakePlan)[0].request.system == "/dev/mapper/vg1-root"


def full_unless_elsewhere(say: m.MakePlan, found: Machine) -> m.Planned:
    """A machine without room, which the stick and memory have."""
    if not say.request.rehearse_only:
        raise Refused(
            ("A rehearsal of vg0/root needs 3284 MiB free in the volume group: 0 MiB are free.",),
            next_actions=("Rehearse only (O on the console).", "Make the swap volume smaller. Price: swap."),
            elsewhere=("stick", "ram"),
        )
    made = story.plan(found, say.request)
    where = replace(made, pool="the stick", copy_bytes=2 << 30)
    return m.Planned(plan=where, command_line="twinboot rehearse --nothing --rehearse-only --store stick")


async def test_no_room_offers_to_rehearse_only_and_the_place_is_chosen(engine: FakeEngine) -> None:
    planning(engine)
    engine.script[m.MakePlan] = lambda say: full_unless_elsewhere(say, engine.machine)
    async with desk(engine) as here:
        await here.press("n", "enter")
        await here.sees("needs 3284 MiB free", "Make the swap volume smaller. Price: swap.")
        await here.press("o")
        await here.sees("where shall the copy lie?", "stick", "ram")
        await here.press("escape")
        await here.sees("needs 3284 MiB free")
        await here.press("o", "enter")
        await here.sees("2.0 GiB on the stick, thrown away after", "--rehearse-only")
        assert engine.said(m.Start) == []
        await here.press("y", "e", "s", "enter")
        await here.until(lambda: bool(engine.said(m.Start)), "the start")
    first, second = (say.request for say in engine.said(m.MakePlan))
    assert not first.rehearse_only
    assert second == replace(first, rehearse_only=True, store="stick")


async def test_another_refusal_offers_no_such_way(engine: FakeEngine) -> None:
    def no(say: m.MakePlan) -> m.Planned:
        raise Refused(REASONS)

    engine.script[m.MakePlan] = no
    async with desk(engine) as here:
        await here.press("n", "enter")
        await here.sees("3 reasons")
        await here.press("o")
        await here.sees("3 reasons")
    assert len(engine.said(m.MakePlan)) == 1
