"""ssh, keyboard, a root shell, one port, a plan that is saved, the firmware's setup."""

from __future__ import annotations

from appliance.model import service_messages as s
from appliance.model.lineage import Lineage
from appliance.workflow.descent import next_step
from tests.tui.golden.stage import Shot, Stage, Story
from tests.tui.golden.stories_runs import plans
from tests.tui.offers import WANTED, offer
from tests.tui.test_network import FOUND
from tests.tui.test_plans import SAVED
from tests.tui.test_services import ON


def ssh(stage: Stage) -> None:
    stage.engine.script[s.GetSsh] = lambda say: s.SshState(on=False)
    stage.engine.script[s.SetSsh] = lambda say: ON


def keyboard(stage: Stage) -> None:
    stage.engine.script[s.GetKeyboard] = lambda say: s.KeyboardIs(code="us")


def locked(stage: Stage) -> None:
    offer(stage.engine)
    sentence = next_step(stage.engine.machine, Lineage(), None)
    stage.status(lineage=Lineage(), next_step=sentence)


def port(stage: Stage) -> None:
    stage.engine.script[s.GetNetwork] = lambda say: FOUND


def saved(stage: Stage) -> None:
    plans(stage)
    stage.engine.script[s.SavePlanFile] = lambda say: SAVED


def no_network(stage: Stage) -> None:
    stage.engine.network = s.Network(links=())
    stage.engine.script[s.WriteWanted] = lambda say: WANTED


SERVICES = (
    Story("more", (Shot("menu", keys=("a",), sees=("Root shell",)),)),
    Story(
        "ssh",
        (
            Shot("off", keys=("a", "s"), sees=("nothing listens",)),
            Shot("ask", keys=("o",), sees=("Turn ssh on?",)),
            Shot("on", keys=(*"yes", "enter"), sees=("k7mp-x2qr-9fhw",)),
        ),
        setup=ssh,
    ),
    Story(
        "wanted",
        (
            Shot("no-network", keys=("n", "down"), sees=("no network here",)),
            Shot("choose", keys=("w",), sees=("bundle make LIST",)),
            Shot("written", keys=("enter",), sees=("Written", "do not read")),
        ),
        setup=no_network,
    ),
    Story("keyboard", (Shot("layouts", keys=("a", "k"), sees=("<- in use",)),), setup=keyboard),
    Story(
        "unlock",
        (
            Shot("home", sees=("unlock it to see what is inside (U)",)),
            Shot("keyboard", keys=("u",), sees=("A passphrase comes next",)),
            Shot("typed", keys=("enter", *"wrong"), sees=("(Ctrl+K: another)",)),
            Shot("wrong", keys=("enter",), sees=("does not open /dev/vda4. Is it the right",)),
        ),
        setup=locked,
        machine="locked",
    ),
    Story("shell", (Shot("ask", keys=("a", "r"), sees=("Open a root shell",)),)),
    Story("port", (Shot("fields", keys=("a", "n", "enter"), sees=("Set eno1",)),), setup=port),
    Story(
        "save-plan",
        (
            Shot("name", keys=("n", "enter", "f8"), sees=("Name of the file",)),
            Shot("saved", keys=(*"june", "enter"), sees=("Saved.",)),
        ),
        setup=saved,
    ),
)
