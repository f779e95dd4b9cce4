"""Home in each state of a machine, and the pages beside it: machine, log, help, power, who is in control."""

from __future__ import annotations

from appliance.model import events as e
from appliance.model.lineage import Lineage, State
from tests.tui import story
from tests.tui.golden.stage import Shot, Stage, Story
from tests.tui.player import SENTENCES


def sentences(state: State | None) -> dict[str, object]:
    """What the engine says of a machine in this state."""
    following, fallback, step = SENTENCES[state]
    return {
        "next_boot": following,
        "fallback": fallback,
        "next_step": step,
        "lineage": story.lineage(state),
    }


def at(state: State | None) -> Shot:
    def first(stage: Stage) -> None:
        stage.status(**sentences(state), writes=0 if state in (None, State.SEALED) else 7)

    word = state.value if state else "INSTALLED"
    return Shot(word.lower(), first=first, sees=(word, SENTENCES[state][2]))


def states(stage: Stage) -> None:
    stage.status(**sentences(None))


def failed(stage: Stage) -> None:
    nodes = story.lineage(State.FAILED).nodes
    stage.status(lineage=Lineage(nodes=nodes), next_step="Read why tb1 failed, then rehearse again (N).")


def in_control(stage: Stage) -> None:
    stage.status(operator="ttyS0")


def machine_still_read(stage: Stage) -> None:
    stage.status(machine=None, lineage=Lineage())


def talk(stage: Stage) -> None:
    lines = [
        e.Line(source="log", text="read lsblk --json --output-all [0] 0.1 s"),
        e.Line(source="disk", text="write lvcreate -kn -s vg0/root -n tb1-base [0] 0.4 s"),
        e.Line(source="net", text="eth0: 192.0.2.10/24 by DHCP, link 1000 Mb/s"),
        e.Line(source="vm", text="[  OK  ] Started nginx.service - A high performance web server."),
        e.Line(source="patch", text="Setting up libc6:amd64 (2.36-9+deb12u9) ..."),
        e.Line(source="disk", level="warn", text="the thin pool is 81% full"),
        e.Line(source="log", level="error", text="TWIN-01 The twin did not answer for 600 s."),
    ]
    stage.say(*lines, *lines, *lines, *lines)


HOME = (
    Story(
        "home",
        (
            at(None),
            at(State.SEALED),
            at(State.ARMED),
            at(State.TRIAL),
            at(State.KEPT),
            Shot("failed", first=failed, sees=("FAILED",)),
            Shot("another-in-control", first=in_control, sees=("ttyS0 is in control",)),
        ),
        setup=states,
    ),
    Story("home-reading", (Shot("machine", sees=("Reading the machine",)),), setup=machine_still_read),
    Story("home-no-system", (Shot("none", sees=("none found",)),), machine="no-system"),
    Story(
        "home-two-systems",
        (Shot("both", sees=("bullseye",)), Shot("choose", keys=("n",), sees=("bookworm",))),
        machine="two-systems",
    ),
    Story(
        "home-degraded",
        (Shot("warnings", sees=("[!]",)), Shot("machine", keys=("m",), sees=("Trouble",))),
        machine="degraded",
    ),
    Story("home-junk-serial", (Shot("identity", sees=("[!]",)),), machine="junk-serial"),
    Story("home-no-kvm", (Shot("slow", sees=("KVM: NO",)),), machine="no-kvm"),
    Story(
        "machine",
        (
            Shot("top", keys=("m",), sees=("Trouble",)),
            Shot("end", keys=("end",), sees=("Firmware boot order",)),
        ),
    ),
    Story(
        "log",
        (
            Shot("follow", keys=("l",), sees=("TWIN-01",)),
            Shot("errors", keys=("e",), sees=("81% full",)),
            Shot("find", keys=("slash",), sees=("find",)),
        ),
        setup=talk,
    ),
    Story("log-empty", (Shot("nothing", keys=("l",), sees=("LOG",)),)),
    Story(
        "help",
        (
            Shot("home", keys=("question_mark",), sees=("Help: home",)),
            Shot("words", keys=("end",), sees=("NOT TESTED",)),
            Shot("boot", keys=("escape", "b", "f1"), sees=("Help: boot",)),
        ),
    ),
    Story(
        "power",
        (
            Shot("choose", keys=("q",), sees=("switch it off",)),
            Shot("sure", keys=("o",), sees=("type yes",)),
            Shot("wrong", keys=("n", "o", "enter"), sees=("Nothing was done",)),
        ),
    ),
    Story(
        "operator",
        (
            Shot("take-over", keys=("t",), sees=("Another terminal is in control",)),
            Shot("mine", keys=("t",), sees=("You are in control.",)),
        ),
        setup=in_control,
    ),
)
