"""VM, boot entries, plan files, export, network, acts by name: what is beside the straight way."""

from __future__ import annotations

from msgspec.structs import replace

from appliance.errors import ExportFailed
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model.lineage import State
from appliance.model.plan import Request, Verb
from appliance.model.verdict import Result
from tests.tui import story
from tests.tui.fake_vm import FakeVm
from tests.tui.golden.stage import Shot, Stage, Story
from tests.tui.golden.stories_acts import armed, promoting, sealed, state
from tests.tui.golden.stories_home import sentences
from tests.tui.golden.stories_runs import plans, record, watched
from tests.tui.test_export import DONE
from tests.tui.test_network import FOUND
from tests.tui.test_stick import STICK
from tui.screens.countdown import Countdown

LOGIN = b"".join(f"{text}\r\n".encode() for text in story.VM_LINES) + b"\r\nledger login: "


# -- the VM ------------------------------------------------------------------------------------------------


def vm(stage: Stage) -> FakeVm:
    watched(stage)
    found = FakeVm(stage.engine)
    found.terminal.feed(LOGIN * 8)
    return found


def running_vm(stage: Stage) -> None:
    vm(stage)


def vm_off(stage: Stage) -> None:
    vm(stage).power = "none"


def picture_vm(stage: Stage) -> None:
    vm(stage).vga = ()


VM = (
    Story(
        "vm",
        (
            Shot("read-only", keys=("w",), sees=("READ ONLY", "ledger login:")),
            Shot("scrolled", keys=("pageup",), sees=("nginx.service",)),
            Shot("find", keys=("end", "slash", *"initrd"), sees=("initrd",)),
            Shot("keyboard", keys=("escape", "i"), sees=("KEYBOARD IS THE VM'S",)),
            Shot("vga", keys=("ctrl+right_square_bracket", "t"), sees=("grub rescue>",)),
            Shot("screenshot", keys=("escape", "s"), sees=("1-work.png",)),
            Shot("paused", keys=("p",), sees=("PAUSED",)),
        ),
        setup=running_vm,
    ),
    Story("vm-off", (Shot("none", keys=("w",), sees=("VM",)),), setup=vm_off),
    Story("vm-picture", (Shot("vga", keys=("w", "t"), sees=("shows a picture",)),), setup=picture_vm),
)


# -- boot, verdict's configuration -------------------------------------------------------------------------


def standing(stage: Stage) -> None:
    state(State.ARMED)(stage)
    stage.status(standing=story.standing())


def config(stage: Stage) -> None:
    stage.reply(m.GetRecord, lambda say: record(Result.PASS))


class Held(Countdown):
    """Its clock stands at 42 seconds."""

    @property
    def left(self) -> int:
        return 42


def counting(stage: Stage) -> None:
    """The restart after a promotion that was confirmed here."""
    armed(stage)
    stage.desk.app.push_screen(Held())


BESIDE = (
    Story(
        "boot-views",
        (
            Shot("entries", keys=("b", "2"), sees=("Trial of tb1",)),
            Shot("history", keys=("3",), sees=("BOOT-01 no room",)),
            Shot("space", keys=("4",), sees=("Days left",)),
            Shot("undo", keys=("u",), sees=("Undo",)),
        ),
        setup=standing,
        state=State.ARMED,
    ),
    Story(
        "verdict-config",
        (
            Shot("files", keys=("v", "5"), sees=("/etc/nginx/nginx.conf",)),
            Shot("diff", keys=("down", "enter"), sees=("password = [masked]",)),
        ),
        setup=config,
        state=State.SEALED,
    ),
    Story("countdown", (Shot("restart", first=counting, sees=("Restart in 42",)),), setup=promoting),
)


# -- what the appliance offers -----------------------------------------------------------------------------


def plan_files(stage: Stage) -> None:
    sealed(stage)
    first = s.PlanFile(
        name="june.json", serial="LAB-0001", request=Request(verb=Verb.REHEARSE), promote=True,
        command_line="twinboot rehearse --security",
    )  # fmt: skip
    other = replace(first, name="other.json", serial="X", why_not="The plan other.json is for X.")
    stage.reply(s.GetPlanFiles, lambda say: s.PlanFiles(folder="x", stick=True, files=(first, other)))
    saved = s.PlanSaved(path="/x/plans/june.json", sha256="ab" * 32, argument="twinboot.plan=june.json")
    stage.reply(s.SavePlanFile, lambda say: saved)


def network(stage: Stage) -> None:
    stage.reply(s.GetNetwork, lambda say: FOUND)


def export(stage: Stage) -> None:
    stage.status(**sentences(State.SEALED))
    stage.reply(s.Export, lambda say: DONE)


def no_export(stage: Stage) -> None:
    def fails(say: m.AnySay) -> m.AnyReply:
        raise ExportFailed("There is no stick: it was pulled.", next_actions=("Export to an address.",))

    stage.reply(s.Export, fails)


def on_stick(stage: Stage) -> None:
    plans(stage)
    stage.engine.stick = STICK


OFFERS = (
    Story(
        "plans",
        (
            Shot("list", keys=("a", "f"), sees=("june.json", "other.json")),
            Shot("not-here", keys=("down",), sees=("is for X.",)),
            Shot("save", keys=("escape", "escape", "n", "enter", "f8"), sees=("Name of the file",)),
            Shot("saved", keys=(*"june", "enter"), sees=("extra_args",)),
        ),
        setup=plan_files,
        state=State.SEALED,
    ),
    Story(
        "network",
        (
            Shot("ports", keys=("a", "n"), sees=("eno1", "10 Gbit")),
            Shot("port", keys=("down", "enter"), sees=("Set eno2", "NO CABLE")),
            Shot("proxy", keys=("escape", "p"), sees=("roxy",)),
        ),
        setup=network,
    ),
    Story(
        "export",
        (
            Shot("where", keys=("a", "x"), sees=("the stick",)),
            Shot("done", keys=("enter",), sees=("Exported",)),
        ),
        setup=export,
        state=State.SEALED,
    ),
    Story(
        "export-fails", (Shot("error", keys=("a", "x", "enter"), sees=("it was pulled",)),), setup=no_export
    ),
    Story(
        "stick",
        (
            Shot("bundles", keys=("n", *["down"] * 4, "enter"), sees=("> june",)),
            Shot("checks", keys=("escape", "c", "down", "space"), sees=("2 of 3",)),
        ),
        setup=on_stick,
    ),
    Story(
        "palette",
        (
            Shot("all", keys=("colon",), sees=("Acts by name",)),
            Shot("some", keys=(*"re",), sees=("rehearsal",)),
            Shot("none", keys=(*"zz",), sees=("0 acts",)),
        ),
        setup=sealed,
        state=State.SEALED,
    ),
)

MORE = (*VM, *BESIDE, *OFFERS)
