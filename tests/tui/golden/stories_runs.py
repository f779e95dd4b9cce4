"""A rehearsal from the choice of its patches to its verdict, and every way it can stop."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.lineage import State
from appliance.model.plan import PatchKind, PatchRequest, Plan, Request, Verb
from appliance.model.verdict import Result
from tests.tui import story
from tests.tui.golden.stage import NOON, Shot, Stage, Story

REASONS = (
    "The thin pool vg0/pool is 91% full; a rehearsal needs 1.4 GiB free in it.",
    "The installed system is hibernated: its memory lies in /dev/mapper/vg0-swap. Start it and shut it down.",
    "/boot/grub/custom.cfg exists and is not ours.",
)


def planned(say: m.AnySay, warnings: tuple[str, ...] = ()) -> m.Planned:
    assert isinstance(say, m.MakePlan)
    made = replace(story.plan(story.machine(), say.request), warnings=warnings)
    words = f"twinboot {say.request.verb.value} {say.request.run}".rstrip()
    return m.Planned(plan=made, command_line=words)


def refused(say: m.AnySay) -> m.AnyReply:
    raise Refused(REASONS)


def plans(stage: Stage) -> None:
    stage.reply(m.MakePlan, planned)
    would = ("lvcreate -kn -s vg0/root -n tb1-base", "lvcreate -kn -s vg0/tb1-base -n tb1-work")
    stage.reply(m.Start, lambda say: m.Accepted(would=would))


def warned(stage: Stage) -> None:
    said = (
        "Secure Boot can not be tested in the twin.",
        "The data volume /srv is used as a copy.",
    )
    stage.reply(m.MakePlan, lambda say: planned(say, said))


def no_plan(stage: Stage) -> None:
    stage.reply(m.MakePlan, refused)


def plan_of(
    kind: PatchKind = PatchKind.SECURITY, verb: Verb = Verb.REHEARSE, machine: str = "thin-uefi"
) -> Plan:
    run = "" if verb is Verb.REHEARSE else "tb1"
    request = Request(verb=verb, run=run, patch=PatchRequest(kind=kind))
    return story.plan(story.machine(machine), request)


def watched(stage: Stage) -> None:
    """A console that starts while the rehearsal is in its control boot."""
    begin(stage, plan_of())


def begin(stage: Stage, plan: Plan, gate: str = "") -> None:
    title = f"Rehearsal {plan.names.run}: security updates"
    sentence = next((step.title for step in plan.steps if step.id == gate), "")
    view = m.RunView(
        run=plan.names.run, verb="rehearse", title=title, plan=plan, started=NOON, gate=gate,
        gate_sentence=sentence,
    )  # fmt: skip
    stage.status(running=view)
    stage.say(*story.rehearsal_events(plan, until="patch")[:-1])


def by_hand(stage: Stage) -> None:
    plan = plan_of(PatchKind.BY_HAND)
    begin(stage, plan, "by-hand")
    stage.say(*story.rehearsal_events(plan)[stage.said :])


def reaches(step: str, machine: str = "thin-uefi") -> Callable[[Stage], None]:
    """The run goes on until just before the end of the step before `step`."""
    plan = plan_of(machine=machine)
    return lambda stage: stage.say(*story.rehearsal_events(plan, until=step)[stage.said : -1])


def used_on(machine: str, *sees: str) -> Story:
    """What is shown of the room that a twin takes, on a machine kept in its own way."""
    shot = Shot("patching", first=reaches("patched", machine), sees=sees)
    return Story(f"run-{machine}", (shot,), lambda stage: begin(stage, plan_of(machine=machine)), machine)


def ends(*events: e.AnyEvent) -> Callable[[Stage], None]:
    """The run says these and is over."""

    def first(stage: Stage) -> None:
        running = stage.engine.status.running
        assert running is not None
        stage.status(running=replace(running, finished=True, gate=""))
        stage.say(*events)

    return first


def finishes(result: Result) -> Callable[[Stage], None]:
    def first(stage: Stage) -> None:
        stage.say(*story.rehearsal_events(plan_of())[stage.said :])
        ends(*story.ending("tb1", result))(stage)
        stage.status(lineage=story.lineage(State.SEALED, result=result))

    return first


CANCELLED = e.Failed(
    run="tb1",
    code="CANCEL-01",
    what="The run was cancelled.",
    safe="Nothing on the installed system was changed.",
    next_actions=("Start a new rehearsal when ready.",),
)


def record(result: Result, migrated: bool = False) -> m.RecordOf:
    return m.RecordOf(run="tb1", verdict=story.verdict(result, migrated), text="", folder="/run/twinboot/tb1")


def verdict_of(name: str, found: m.RecordOf, *shots: Shot) -> Story:
    def setup(stage: Stage) -> None:
        stage.reply(m.GetRecord, lambda say: found)

    return Story(f"verdict-{name}", shots, setup, state=State.SEALED)


RUN = (
    Story(
        "run",
        (
            Shot("control", sees=("Control boot", "nginx.service")),
            Shot("patching", first=reaches("patched"), sees=("189 of 189", "Pool used       15 %")),
            Shot("proof", first=reaches("verdict"), sees=("Step 10 of 12",)),
            Shot("finished", first=finishes(Result.PASS), sees=("Finished",)),
        ),
        setup=watched,
    ),
    used_on("ubuntu-thick", "Snapshot used   5 %", "Scratch used    31 %"),
    used_on("opensuse-btrfs", "Copy used       22 %"),
    Story("run-bad", (Shot("finished", first=finishes(Result.FAIL), sees=("1 worse",)),), setup=watched),
    Story(
        "run-failed",
        (
            Shot("error", first=ends(*story.failure("tb1")), sees=("SPACE-01", "What is safe")),
            Shot("run", keys=("escape",), sees=("shows what is safe",)),
        ),
        setup=watched,
    ),
    Story(
        "run-cancelled",
        (
            Shot("sure", keys=("c",), sees=("To cancel the run, type yes",)),
            Shot(
                "over",
                keys=("escape",),
                first=ends(CANCELLED, e.RunFinished(run="tb1", outcome="failed")),
                sees=("Cancelled",),
            ),
        ),
        setup=watched,
    ),
    Story(
        "run-undone",
        (Shot("over", first=ends(e.RunFinished(run="tb1", outcome="rolled back")), sees=("was removed",)),),
        setup=watched,
    ),
    Story(
        "run-by-hand",
        (
            Shot("waits", sees=("WAITING FOR YOU",)),
            Shot("go-on", keys=("g",), sees=("type yes",)),
        ),
        setup=by_hand,
    ),
)

BEFORE = (
    Story(
        "rehearse",
        (
            Shot("choose", keys=("n",), sees=("Change nothing",)),
            Shot("packages", keys=("down", "down", "down", "enter"), sees=("304 installed",)),
            Shot("marked", keys=("down", "space"), sees=("Marked: ledger",)),
            Shot("names", keys=("end", "enter"), sees=("Package names",)),
            Shot("plan", keys=("space", "n", "g", "i", "n", "x", "enter"), sees=("type yes",)),
            Shot("wrong-word", keys=("n", "o", "enter"), sees=("Nothing was done",)),
            Shot("commands", keys=("f6",), sees=("lvcreate -kn -s vg0/tb1-base",)),
        ),
        setup=plans,
    ),
    Story(
        "rehearse-warned",
        (Shot("plan", keys=("n", "enter"), sees=("[!]", "type yes")),),
        setup=warned,
    ),
    Story(
        "rehearse-refused",
        (Shot("reasons", keys=("n", "enter"), sees=("custom.cfg exists",)),),
        setup=no_plan,
    ),
    Story("rehearse-no-kvm", (Shot("emulate", keys=("n",), sees=("emulate",)),), machine="no-kvm"),
)

VERDICTS = (
    verdict_of(
        "pass",
        record(Result.PASS),
        Shot("checks", keys=("v",), sees=("7 of 9 services",)),
        Shot("unfolded", keys=("f",), sees=("service rsyslog",)),
        Shot("packages", keys=("2",), sees=("NEW KERNEL",)),
        Shot("files", keys=("3",), sees=("UNEXPLAINED",)),
        Shot("no-data", keys=("4",), sees=("no data volume",)),
    ),
    verdict_of("fail", record(Result.FAIL), Shot("why", keys=("v", "down"), sees=("WORSE", "Fix:"))),
    verdict_of(
        "migrated",
        record(Result.PASS, migrated=True),
        Shot("warned", keys=("v",), sees=("wrote to data volumes",)),
        Shot("data", keys=("4",), sees=("/srv/ledger/data.v2",)),
    ),
    verdict_of(
        "none",
        m.RecordOf(run="tb1", verdict=None, text="STOPPED   SPACE-01 at step 6 of 12"),
        Shot("reached", keys=("v",), sees=("reached no verdict",)),
    ),
)

RUNS = (*BEFORE, *RUN, *VERDICTS)
