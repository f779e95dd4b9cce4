"""New rehearsal: which system, which patches. Ends in the pre-flight; nothing is started here."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from appliance.errors import ApplianceError
from appliance.model.machine import InstalledSystem
from appliance.model.plan import PatchKind, PatchRequest, Request, Verb
from appliance.model.service_messages import OnStick
from tui import describe
from tui.look import Line, line, pair, rule
from tui.screens.page import Page, key
from tui.screens.pick import PickOne, Tick
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import wrap


@dataclass(frozen=True)
class Choice:
    """One entry of the list of patches; `question` is asked where it needs a name."""

    id: str
    kind: PatchKind
    title: str
    about: str
    question: str = ""


CHOICES = (
    Choice(
        "nothing",
        PatchKind.NOTHING,
        "Change nothing, only test the reboot",
        "Boots the twin twice and compares: shows whether this machine would survive a reboot today.",
    ),
    Choice(
        "all",
        PatchKind.ALL,
        "All pending updates, from the system's own sources",
        "The package manager's full upgrade, over the network through a proxy that lets nothing else pass.",
    ),
    Choice(
        "security",
        PatchKind.SECURITY,
        "Security updates only, from the system's own sources",
        "Only what comes from the distribution's security archive.",
    ),
    Choice(
        "packages",
        PatchKind.PACKAGES,
        "Chosen packages",
        "Upgrades or installs the packages you name, and what they need.",
        "Package names, with spaces between:",
    ),
    Choice(
        "bundle",
        PatchKind.ALL,
        "A bundle on the stick",
        "A folder on the stick's data partition with a repository or plain packages. No network is needed.",
        "Folder on the stick:",
    ),
    Choice(
        "script",
        PatchKind.SCRIPT,
        "A script",
        "Runs the file in the twin as root; its exit status decides whether the patch went well.",
        "Script on the stick:",
    ),
    Choice(
        "by-hand",
        PatchKind.BY_HAND,
        "By hand",
        "The twin waits while you work in it, then you say that you are done.",
    ),
)


class Rehearse(Page):
    """Enter on a patch goes to the pre-flight check."""

    NAME = "new rehearsal"
    HELP = """\
Choose what the twin shall get. Nothing is started here: the next page shows
every reason against it at once, or the plan, and asks before it begins.
Bundles, scripts and checks are those on the stick: folders bundles, scripts
and checks of its data partition.
"Change nothing" is a good first rehearsal on a machine you do not know.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "go", "check this plan"),
        key("s", "system", "other system"),
        key("c", "checks", "checks"),
        key("e", "emulate", "emulate"),
        key("u", "unsigned", "unsigned packages"),
        key("escape", "back", "back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.system = 0
        self.emulate = False
        self.unsigned = False
        self.names: dict[str, str] = {}
        self.stick = OnStick()
        self.skipped: frozenset[str] = frozenset()

    def body(self) -> ComposeResult:
        yield Pane(id="which")
        yield Rows(id="patches", classes="eight")
        yield Pane(id="about", classes="four")
        yield Pane(id="question", classes="one")
        yield Input(id="name", compact=True, select_on_focus=False)
        yield Pane(id="options")

    def on_mount(self) -> None:
        self.query_one("#name", Input).display = False
        self.query_one("#patches", Rows).focus()
        self.redraw()
        self.run_worker(self._read_stick(), group="stick")

    async def _read_stick(self) -> None:
        """What can be chosen from; where it cannot be read, names are typed and the engine judges them."""
        with contextlib.suppress(ApplianceError):
            self.stick = await self.desk.link.call(lambda s: s.on_stick())
            self.redraw()

    @property
    def systems(self) -> tuple[InstalledSystem, ...]:
        return self.board.machine.systems if self.board.machine else ()

    @property
    def choice(self) -> Choice:
        chosen = self.query_one("#patches", Rows).selected
        return next((c for c in CHOICES if c.id == chosen), CHOICES[0])

    def draw(self) -> None:
        width = self.width
        self.pane("which").show(self._which())
        rows = [
            Row(line(f" {number}  {c.title}{self._named(c)}"), c.id) for number, c in enumerate(CHOICES, 1)
        ]
        self.query_one("#patches", Rows).fill(rows)
        about = wrap(self.choice.about, width - 4, "    ")
        self.pane("about").show([rule("", width), *[line(row) for row in about]])
        field = self.query_one("#name", Input)
        asks = field.display
        self.pane("question").show([line(" ", (self.choice.question, "title"))] if asks else [])
        self.pane("options").show([] if asks else self._options())

    def _which(self) -> list[Line]:
        if not self.systems:
            return [rule("Which system", self.width), line(" ", (self._why_none(), "warn"))]
        number = f" ({self.system + 1} of {len(self.systems)}, S changes)" if len(self.systems) > 1 else ""
        chosen = self.systems[min(self.system, len(self.systems) - 1)]
        rows = [rule("Which system" + number, self.width), line(" " + describe.system_sentence(chosen))]
        return [*rows, rule("What shall the twin get?", self.width)]

    def _why_none(self) -> str:
        if self.board.machine is None:
            return "The machine is still being read. This page fills in by itself."
        return "There is no system to rehearse. M on the home page shows what was found."

    def _named(self, choice: Choice) -> str:
        return (
            f": {self.names[choice.id]}" if self.names.get(choice.id) else " ..." if choice.question else ""
        )

    def _options(self) -> list[Line]:
        machine = self.board.machine
        rows = []
        if machine is not None and not machine.kvm:
            tick = "x" if self.emulate else " "
            rows.append(pair("E", f"[{tick}] emulate the twin: this machine has no KVM, expect hours", 3))
        if checks := self.stick.checks:
            run = len(checks) - len(self.skipped & set(checks))
            rows.append(pair("C", f"{run} of {len(checks)} checks of the stick are run after each boot", 3))
        if self.choice.id == "bundle":
            tick = "x" if self.unsigned else " "
            rows.append(pair("U", f"[{tick}] take packages without a signature too", 3))
        return rows

    def on_rows_moved(self) -> None:
        self.redraw()

    def on_rows_chosen(self) -> None:
        self.action_go()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "system":
            return len(self.systems) > 1
        if action == "checks":
            return bool(self.stick.checks)
        if action == "emulate":
            return self.board.machine is not None and not self.board.machine.kvm
        if action == "unsigned":
            return self.is_mounted and self.choice.id == "bundle"
        return True

    def action_system(self) -> None:
        self.system = (self.system + 1) % max(1, len(self.systems))
        self.redraw()

    def action_checks(self) -> None:
        about = "The site's own checks, run in the twin after the control boot and after the patched boot."
        self.desk.push_screen(Tick("Checks of the stick", about, self.stick.checks, self.skipped, self._skip))

    def _skip(self, off: set[str]) -> None:
        self.skipped = frozenset(off)

    def action_emulate(self) -> None:
        self.emulate = not self.emulate
        self.redraw()

    def action_unsigned(self) -> None:
        self.unsigned = not self.unsigned
        self.redraw()

    def action_go(self) -> None:
        """To the pre-flight, or first to the name it needs."""
        if not self.systems:
            self.say(self._why_none(), "warn")
            return
        names = {"bundle": self.stick.bundles, "script": self.stick.scripts}.get(self.choice.id, ())
        if names:
            title = self.choice.question.rstrip(":")
            self.desk.push_screen(PickOne(title, names, self.names.get(self.choice.id, ""), self._picked))
            return
        if self.choice.question:
            self._ask_name()
            return
        self.desk.open_preflight(self.request())

    def _picked(self, name: str | None) -> None:
        if name is None:
            self._ask_name()
            return
        self.names[self.choice.id] = name
        self.desk.open_preflight(self.request())

    def _ask_name(self) -> None:
        field = self.query_one("#name", Input)
        field.value = self.names.get(self.choice.id, "")
        field.display = True
        field.focus()
        self.redraw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        value = " ".join(event.value.split())
        if not value:
            self.say("Type a name, or Esc to choose something else.", "warn")
            return
        self.names[self.choice.id] = value
        self._leave_name()
        self.desk.open_preflight(self.request())

    def _leave_name(self) -> None:
        self.query_one("#name", Input).display = False
        self.query_one("#patches", Rows).focus()
        self.redraw()

    def action_back(self) -> None:
        if self.query_one("#name", Input).display:
            self._leave_name()
            return
        super().action_back()

    def request(self) -> Request:
        """What was chosen, as the engine wants it."""
        choice, name = self.choice, self.names.get(self.choice.id, "")
        patch = PatchRequest(
            kind=choice.kind,
            packages=tuple(name.split()) if choice.id == "packages" else (),
            script=name if choice.id == "script" else "",
            bundle=name if choice.id == "bundle" else "",
            allow_unsigned=self.unsigned and choice.id == "bundle",
        )
        system = self.systems[min(self.system, len(self.systems) - 1)]
        return Request(
            verb=Verb.REHEARSE,
            system=system.id,
            patch=patch,
            emulate=self.emulate,
            skip_checks=tuple(sorted(self.skipped & set(self.stick.checks))),
        )
