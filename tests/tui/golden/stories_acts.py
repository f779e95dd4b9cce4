"""Promotion, boot and roll back: every act with its writes, its confirmation and its end."""

from __future__ import annotations

from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.command_line import command_line
from appliance.model.lineage import State
from appliance.model.plan import Request, Verb
from appliance.model.verdict import Result
from tests.tui import story
from tests.tui.golden.stage import NOON, Shot, Stage, Story
from tests.tui.golden.stories_home import sentences
from tests.tui.golden.stories_runs import planned, record

NOT_SO_BAD = "The verdict of tb1 is FAIL (service ledger). To promote it all the same: --force-bad."


def sealed(stage: Stage) -> None:
    stage.reply(m.MakePlan, planned)
    stage.reply(m.GetRecord, lambda say: record(Result.PASS, migrated=True))
    would = ("mkdir /boot/twinboot/tb1", "ln /boot/vmlinuz-6.1.0-28-amd64 /boot/twinboot/previous/vmlinuz")
    stage.reply(m.Start, lambda say: m.Accepted(would=would))
    stage.status(**sentences(State.SEALED))


def bad(stage: Stage) -> None:
    def answer(say: m.AnySay) -> m.AnyReply:
        assert isinstance(say, m.MakePlan)
        if not say.request.force_bad:
            raise Refused((NOT_SO_BAD,))
        return planned(say)

    stage.status(**sentences(State.SEALED))
    stage.reply(m.MakePlan, answer)
    stage.reply(m.GetRecord, lambda say: record(Result.FAIL))


def rolling_back(stage: Stage) -> None:
    """A kept run that wrote to the system and to its data."""

    def answer(say: m.AnySay) -> m.AnyReply:
        assert isinstance(say, m.MakePlan)
        made = planned(say)
        losses = story.losses("tb1", say.request.with_data)
        return replace(made, plan=replace(made.plan, losses=losses), command_line=command_line(say.request))

    stage.status(**sentences(State.KEPT), writes=7)
    stage.reply(m.MakePlan, answer)


def state(which: State) -> None:
    def setup(stage: Stage) -> None:
        sealed(stage)
        stage.status(**sentences(which), writes=7)

    return setup


def promoting(stage: Stage) -> None:
    """A promotion somebody began on another terminal; it waits at its question."""
    plan = story.plan(story.machine(), Request(verb=Verb.PROMOTE, run="tb1"))
    gate = plan.steps[2]
    stage.status(
        **sentences(State.SEALED),
        running=m.RunView(
            run="tb1", verb="promote", title="Promote tb1", plan=plan, started=NOON, gate="confirm",
            gate_sentence=gate.title,
        ),
    )  # fmt: skip
    steps = tuple((s.id, s.title, s.weight) for s in plan.steps)
    stage.say(e.RunStarted(run="tb1", title="Promote tb1", steps=steps))
    for number, step in enumerate(plan.steps[:2], 1):
        stage.say(
            e.StepStarted(run="tb1", step=step.id, title=step.title, number=number, total=len(plan.steps)),
            e.StepFinished(run="tb1", step=step.id, seconds=7.0),
        )
    stage.say(e.Waiting(run="tb1", gate="confirm", sentence=gate.title))


def armed(stage: Stage) -> None:
    running = stage.engine.status.running
    assert running is not None
    stage.status(**sentences(State.ARMED), writes=7, running=replace(running, finished=True, gate=""))
    stage.say(e.StateChanged(run="tb1", state=State.ARMED), e.RunFinished(run="tb1", outcome="done"))


def boot(name: str, which: State, *shots: Shot) -> Story:
    first = Shot("entries", keys=("b",), sees=(which.value,))
    return Story(f"boot-{name}", (first, *shots), setup=state(which), state=which)


ACTS = (
    Story(
        "promote",
        (
            Shot("writes", keys=("p",), sees=("type the last 4",)),
            Shot("end", keys=("pagedown", "pagedown"), sees=("type the last 4",)),
            Shot("wrong", keys=("0", "0", "0", "2", "enter"), sees=("Nothing was done",)),
            Shot("commands", keys=("f6",), sees=("ln /boot/vmlinuz",)),
        ),
        setup=sealed,
        state=State.SEALED,
    ),
    Story(
        "promote-worse",
        (
            Shot("refused", keys=("p",), sees=("F7",)),
            Shot("forced", keys=("f7",), sees=("WORSE", "type the last 4")),
        ),
        setup=bad,
        state=State.SEALED,
    ),
    Story(
        "promoting",
        (
            Shot("waits", sees=("WAITING FOR YOU",)),
            Shot("go-on", keys=("g",), sees=("type the last 4",)),
            Shot("armed", keys=("escape",), first=armed, sees=("Armed:",)),
        ),
        setup=promoting,
        state=State.SEALED,
    ),
    boot("sealed", State.SEALED, Shot("retire", keys=("down", "d"), sees=("Retire tb1",))),
    boot("armed", State.ARMED, Shot("roll-back", keys=("down", "r"), sees=("Roll back from tb1",))),
    boot(
        "trial",
        State.TRIAL,
        Shot("date", keys=("down", "k"), sees=("YYYY-MM-DD",)),
        Shot("no-date", keys=("m", "a", "y", "enter"), sees=("is no date",)),
        Shot("keep", keys=(*["backspace"] * 3, *"2026-12-31".replace("-", "-"), "enter"), sees=("Keep tb1",)),
    ),
    boot("kept", State.KEPT, Shot("retire", keys=("down", "d"), sees=("Retire tb1",))),
    Story(
        "roll-back",
        (
            Shot("system", keys=("b", "down", "r"), sees=("(*) the system only", "/srv: about 70.0 MiB")),
            Shot("data", keys=("f9",), sees=("(*) the system and its data", "type the last 4")),
            Shot("data-end", keys=("pagedown", "pagedown"), sees=("What this means",)),
        ),
        setup=rolling_back,
        state=State.KEPT,
    ),
)
