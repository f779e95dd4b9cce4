"""Plan files: saved from the pre-flight and the promotion page, listed, and run through the pre-flight."""

from __future__ import annotations

from appliance.errors import Refused
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model.plan import PatchKind, PatchRequest, Request, Verb
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine

SAVED = s.PlanSaved(
    path="/run/twinboot/data/plans/june.json", sha256="ab" * 32, argument="twinboot.plan=june.json"
)
SECURITY = Request(verb=Verb.REHEARSE, patch=PatchRequest(kind=PatchKind.SECURITY))


def plans(engine: FakeEngine) -> None:
    engine.script[m.MakePlan] = lambda say: m.Planned(
        plan=story.plan(engine.machine, say.request), command_line="twinboot rehearse --nothing"
    )
    engine.script[m.GetRecord] = lambda say: m.RecordOf(run="tb1", verdict=story.verdict(), text="")
    engine.script[s.SavePlanFile] = lambda say: SAVED


async def test_what_was_chosen_is_saved_under_a_typed_name(engine: FakeEngine) -> None:
    plans(engine)
    async with desk(engine) as here:
        await here.press("n", "enter")
        await here.sees("type yes", "Ctrl+O save plan")
        await here.press("ctrl+o")
        await here.sees("twinboot rehearse --nothing", "only LAB-0001", "Promote    no")
        await here.press("enter")
        await here.sees("Type a name first.")
        await here.press("ctrl+y", "f8", *"june", "enter")
        await here.sees("june.json", 'set extra_args="twinboot.plan=june.json"', "#sha256=abab")
        await here.press("escape")
        await here.sees("type yes")
    (say,) = engine.said(s.SavePlanFile)
    assert (say.name, say.promote, say.keep, say.request.verb) == ("june", True, False, Verb.REHEARSE)
    assert engine.said(m.Start) == []


async def test_a_promotion_is_saved_with_its_promotion(engine: FakeEngine) -> None:
    plans(engine)
    async with desk(engine) as here:
        await here.press("p")
        await here.sees("last 4 characters")
        await here.press("f8")
        await here.sees("the rehearsal of this run again", "Promote    yes, when the verdict is PASS")
        await here.press(*"june", "enter")
        await here.sees("Saved.")
    promote = Request(verb=Verb.PROMOTE, run="tb1")
    assert engine.said(s.SavePlanFile) == [s.SavePlanFile(name="june", request=promote, promote=True)]


async def test_a_refused_name_is_said_and_can_be_typed_again(engine: FakeEngine) -> None:
    plans(engine)

    def no(say: s.SavePlanFile) -> m.AnyReply:
        raise Refused((f"The stick already has a plan {say.name}.json: choose another name.",))

    engine.script[s.SavePlanFile] = no
    async with desk(engine) as here:
        await here.press("n", "enter")
        await here.sees("type yes")
        await here.press("f8", *"june", "enter")
        await here.sees("[X] NOT DONE", "already has a plan june.json")
        await here.press("enter", "2", "enter")
        await here.sees("already has a plan june2.json")


async def test_a_plan_of_the_stick_goes_through_its_pre_flight(engine: FakeEngine) -> None:
    plans(engine)
    other = s.PlanFile(
        name="other.json", serial="X", request=SECURITY, why_not="The plan other.json is for X."
    )
    june = s.PlanFile(
        name="june.json", serial="LAB-0001", request=SECURITY, command_line="twinboot rehearse --security",
        promote=True,
    )  # fmt: skip
    broken = s.PlanFile(name="zz.json", why_not="zz.json does not read as UnattendedPlan.")
    engine.script[s.GetPlanFiles] = lambda say: s.PlanFiles(
        folder="x", stick=False, files=(june, other, broken)
    )
    async with desk(engine) as here:
        await here.press("a", "f")
        await here.sees("> june.json", "twinboot rehearse --security", "unattended: yes", "There is no stick")
        await here.press("down")
        await here.sees("is for X.")
        await here.press("enter", "down", "enter")
        assert engine.said(m.MakePlan) == []
        await here.sees("does not read")
        await here.press("home", "enter")
        await here.sees("nothing stands in the way", "type yes")
    assert engine.said(m.MakePlan) == [m.MakePlan(request=SECURITY)]


async def test_an_empty_stick_says_so(engine: FakeEngine) -> None:
    engine.script[s.GetPlanFiles] = lambda say: s.PlanFiles(folder="x", stick=True)
    async with desk(engine) as here:
        await here.press("a", "down", "down", "enter")
        await here.sees("no plan files", "0 files")
        await here.press("r", "f5", "escape", "escape")
        await here.sees("What this machine can start")
