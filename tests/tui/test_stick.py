"""Bundles, scripts and checks are chosen from what the stick holds, by keys."""

from __future__ import annotations

from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model import messages as m
from appliance.model import service_messages as sm
from appliance.model.plan import PatchKind, PatchRequest
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tests.tui.test_rehearse import planning
from tests.unit.twin.machines import with_a_spare

STICK = sm.OnStick(
    bundles=("june", "may"), scripts=("scripts/fix.sh",), checks=("10-ledger", "20-web", "30-mail")
)


async def test_a_bundle_is_taken_from_the_list_or_named(engine: FakeEngine) -> None:
    planning(engine)
    engine.stick = STICK
    async with desk(engine) as here:
        await here.press("n", *["down"] * 4)
        await here.sees("C   3 of 3 checks of the stick")
        await here.press("enter")
        await here.sees("Folder on the stick", "> june", "another name ...")
        await here.press("down", "enter")
        await here.sees("nothing stands in the way")
        await here.press("escape")
        await here.sees("A bundle on the stick: may")
        await here.press("enter")
        await here.sees("> may")
        await here.press("end", "enter")
        await here.sees("Folder on the stick:")
        await here.press(*"x7", "enter")
        await here.sees("nothing stands in the way")
    asked = [c.request.patch for c in engine.said(m.MakePlan)]
    assert asked == [PatchRequest(kind=PatchKind.ALL, bundle=b) for b in ("may", "mayx7")]
    assert engine.said(m.Start) == []


async def test_checks_are_left_out_by_space_and_stay_left_out(engine: FakeEngine) -> None:
    planning(engine)
    engine.stick = STICK
    async with desk(engine) as here:
        await here.press("n")
        await here.sees("C   3 of 3 checks of the stick")
        await here.press("c")
        await here.sees("Checks of the stick", "3 of 3 are run", "> [x] 10-ledger")
        await here.press("down", "space")
        await here.sees("2 of 3 are run", "> [ ] 20-web")
        await here.press("a")
        await here.sees("3 of 3 are run")
        await here.press("a")
        await here.sees("0 of 3 are run")
        await here.press("space", "enter")
        await here.sees("C   1 of 3 checks of the stick")
        await here.press("enter")
        await here.sees("nothing stands in the way")
    (asked,) = engine.said(m.MakePlan)
    assert asked.request.skip_checks == ("10-ledger", "30-mail")


async def test_data_goes_round_with_the_root_where_somebody_says_so(engine: FakeEngine) -> None:
    planning(engine)
    async with desk(engine) as here:
        await here.press("n")
        await here.sees("D   data that goes round with the root: none")
        await here.press("d")
        await here.sees("Data volumes", "0 of 1 go with the root", "> [ ] /srv")
        await here.press("space")
        await here.sees("1 of 1 go with the root", "> [x] /srv")
        await here.press("enter")
        await here.sees("D   data that goes round with the root: /srv")
        await here.press("enter")
        await here.sees("nothing stands in the way")
        await here.press("escape", "d", "space", "enter")
        await here.sees("D   data that goes round with the root: none")
        await here.press("enter")
        await here.sees("nothing stands in the way")
    assert [c.request.added for c in engine.said(m.MakePlan)] == [("/srv",), ()]


async def test_the_second_root_of_a_partition_goes_into_an_empty_one_that_is_chosen(
    engine: FakeEngine,
) -> None:
    planning(engine)
    engine.status = replace(engine.status, machine=with_a_spare())
    async with desk(engine) as here:
        await here.press("n")
        await here.sees("I   the second root goes into the free part of the disk")
        await here.press("i")
        await here.sees("What lies in a partition is overwritten", "> the free part of the disk", "/dev/vda6")
        await here.press("down", "enter")
        await here.sees("I   the second root goes into /dev/vda6")
        await here.press("enter")
        await here.sees("nothing stands in the way")
        await here.press("escape", "i", "up", "enter")
        await here.sees("I   the second root goes into the free part of the disk")
        await here.press("enter")
        await here.sees("nothing stands in the way")
    assert [c.request.into for c in engine.said(m.MakePlan)] == ["/dev/vda6", ""]


async def test_a_script_is_taken_from_the_list(engine: FakeEngine) -> None:
    planning(engine)
    engine.stick = STICK
    async with desk(engine) as here:
        await here.press("n", *["down"] * 5)
        await here.sees("C   3 of 3 checks of the stick")
        await here.press("enter", "enter")
        await here.sees("nothing stands in the way")
    assert engine.said(m.MakePlan)[0].request.patch == PatchRequest(
        kind=PatchKind.SCRIPT, script="scripts/fix.sh"
    )


async def test_a_stick_that_cannot_be_read_leaves_names_to_be_typed(engine: FakeEngine) -> None:
    def gone(say: sm.GetStick) -> m.AnyReply:
        raise Refused(("The stick was pulled.",))

    planning(engine)
    engine.script[sm.GetStick] = gone
    async with desk(engine) as here:
        await here.press("n", "c", *["down"] * 4, "enter")
        await here.sees("Folder on the stick:")
        assert "STOPPED" not in here.text and "checks of the stick" not in here.text
