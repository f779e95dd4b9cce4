"""A system that does not boot: from the error to the attempts, their plans and their refusals."""

from __future__ import annotations

from msgspec.structs import replace

from appliance.errors import Refused, TwinFailed
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.lineage import Lineage, Node, State
from appliance.model.plan import Request, Verb
from appliance.workflow.steps.boots import REPAIR as NEXT
from tests.tui import story
from tests.tui.golden.stage import NOON, Shot, Stage, Story
from tests.tui.golden.stories_runs import plans

DEAD = (
    "The twin does not boot: its kernel panics (VFS: Unable to mount root fs on unknown-block(0,0)). It last "
    "said: ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0) ]---"
)


def broken(stage: Stage) -> None:
    """A rehearsal found in its control boot that the system does not start."""
    plans(stage)
    failed = Node(volume="(tb1: removed)", state=State.FAILED, run="tb1", made=NOON - 600, finding=DEAD)
    plan = story.plan(story.machine(), Request(verb=Verb.REHEARSE))
    view = m.RunView(
        run="tb1", verb="rehearse", title="Rehearsal tb1", plan=plan, started=NOON, finished=True
    )
    stage.status(
        lineage=Lineage(nodes=(*story.lineage(None).nodes, failed)),
        next_step="tb1 found that this system does not boot well: repair a copy of it (X).",
        running=view,
    )
    error = TwinFailed(DEAD, next_actions=NEXT)
    stage.say(
        e.RunStarted(
            run="tb1", title="Rehearsal tb1", steps=tuple((s.id, s.title, s.weight) for s in plan.steps)
        ),
        e.StepStarted(run="tb1", step="control", title="Control boot", number=5, total=len(plan.steps)),
        e.Line(run="tb1", source="vm", text="Kernel panic - not syncing: VFS: Unable to mount root fs"),
        e.Failed(
            run="tb1", code=error.code, what=error.what, safe=error.safe, next_actions=error.next_actions
        ),
        e.RunFinished(run="tb1", outcome="failed"),
    )


def refused(stage: Stage) -> None:
    def answer(say: m.AnySay) -> m.AnyReply:
        raise Refused(("There is only one kernel in /boot: no older one to boot.",))

    stage.reply(m.MakePlan, answer)


def no_kvm(stage: Stage) -> None:
    stage.status(machine=replace(stage.engine.machine, kvm=False))


REPAIR = (
    Story(
        "repair",
        (
            Shot("home", sees=("repair a copy of it (X)",)),
            Shot("error", keys=("r",), sees=("X repair a copy",)),
            Shot("known", keys=("x",), sees=("> 1  Build the initrd anew",)),
            Shot("no-watch", keys=("w",), sees=("[ ] boot the copy",)),
            Shot("fsck", keys=("down", "down"), sees=("e2fsck -f -y",)),
            Shot("packages", keys=("down", "down"), sees=("apt's history",)),
            Shot("by-hand", keys=("down",), sees=("waits as it is",)),
            Shot("plan", keys=("home", "enter"), sees=("nothing stands in the way",)),
        ),
        setup=broken,
    ),
    Story(
        "repair-unknown",
        (
            Shot("nothing-known", keys=("x",), sees=("has failed here yet",)),
            Shot("refused", keys=("down", "enter"), sees=("only one kernel",)),
        ),
        setup=refused,
    ),
    Story("repair-no-kvm", (Shot("slow", keys=("x",), sees=("emulate the twin",)),), setup=no_kvm),
    Story("repair-two-systems", (Shot("which", keys=("x",), sees=("S changes",)),), machine="two-systems"),
)
