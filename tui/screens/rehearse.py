"""New rehearsal: which system, which patches. Ends in the pre-flight; nothing is started here."""

from __future__ import annotations

import contextlib
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from appliance.errors import ApplianceError
from appliance.model.plan import Request, Verb, not_packages
from appliance.model.service_messages import OnStick
from appliance.model.spares import spares
from tui.look import Line, line, pair, rule
from tui.patches import CHOICES, WANTS, Choice, has_network
from tui.screens.fieldpage import FieldPage
from tui.screens.packages import PickPackages
from tui.screens.page import key
from tui.screens.pick import PickOne, TickChecks, TickData
from tui.screens.systempage import SystemPage
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import wrap

FREE_PART = "the free part of the disk"


class Rehearse(FieldPage, SystemPage):
    """Enter on a patch goes to the pre-flight check."""

    NAME = "new rehearsal"
    HELP = """\
Choose what the twin shall get. Nothing is started here: the next page shows
every reason against it at once, or the plan, and asks before it begins.
Packages are picked from those installed, or typed.
Bundles, scripts and checks are those on the stick: folders bundles, scripts
and checks of its data partition. Without network, W writes a list of what this
machine would fetch to the stick: an office makes a bundle of it.
Where the root is a partition without LVM, its copy goes into the free part of
the disk, or into an empty partition that you name with I.
"Change nothing" is a good first rehearsal on a machine you do not know.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "go", "check this plan"),
        key("s", "system", "other system"),
        key("c", "checks", "checks"),
        key("d", "data", "data volumes"),
        key("i", "into", "2nd root"),
        key("e", "emulate", "emulate"),
        key("u", "unsigned", "unsigned packages"),
        key("w", "wanted", "list for an office"),
        key("escape", "back", "back"),
    ]

    PURPOSE = "rehearse"
    FIELD, BEHIND = "name", "patches"

    def __init__(self) -> None:
        super().__init__()
        self.unsigned = False
        self.names: dict[str, str] = {}
        self.stick = OnStick()
        self.network = True
        self.skipped: frozenset[str] = frozenset()
        self.added: frozenset[str] = frozenset()
        self.into = ""

    def body(self) -> ComposeResult:
        yield Pane(id="which")
        yield Rows(id="patches", classes="eight")
        yield Pane(id="about", classes="four")
        yield Pane(id="question", classes="one")
        yield Input(id="name", compact=True, select_on_focus=False)
        yield Pane(id="options")

    def on_mount(self) -> None:
        self.leave_field()
        self.run_worker(self._read_stick(), group="stick")

    async def _read_stick(self) -> None:
        """What can be chosen from; where it cannot be read, names are typed and the engine judges them."""
        with contextlib.suppress(ApplianceError):
            self.stick = await self.desk.link.call(lambda s: s.on_stick())
            self.redraw()
        with contextlib.suppress(ApplianceError):
            self.network = has_network(await self.desk.link.call(lambda s: s.network()))
            self.redraw()

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
        self.pane("question").show([line(" ", (self.choice.question, "title"))] if self.asks else [])
        self.pane("options").show([] if self.asks else self._options())

    def _which(self) -> list[Line]:
        if not self.systems:
            return self.which_lines()
        return [*self.which_lines(), rule("What shall the twin get?", self.width)]

    def _named(self, choice: Choice) -> str:
        return (
            f": {self.names[choice.id]}" if self.names.get(choice.id) else " ..." if choice.question else ""
        )

    def _options(self) -> list[Line]:
        rows = self.emulate_lines()
        if self._lacks_network():
            said = "no network here: writes to the stick what an office shall fetch"
            rows.append(pair("W", (said, "warn"), 3))
        if checks := self.stick.checks:
            run = len(checks) - len(self.skipped & set(checks))
            rows.append(pair("C", f"{run} of {len(checks)} checks of the stick are run after each boot", 3))
        if data := self._data():
            some = ", ".join(place for place in data if place in self.added)
            rows.append(pair("D", f"data that goes round with the root: {some or 'none'}", 3))
        if spares := self._spares():
            where = self.into if self.into in spares else FREE_PART
            rows.append(pair("I", f"the second root goes into {where}", 3))
        if self.choice.id == "bundle":
            tick = "x" if self.unsigned else " "
            rows.append(pair("U", f"[{tick}] take packages without a signature too", 3))
        return rows

    def _lacks_network(self) -> bool:
        """Whether what is chosen would be fetched, and nothing can be."""
        return not self.network and self.choice.kind in WANTS and self.choice.id != "bundle"

    def _data(self) -> tuple[str, ...]:
        """Where the chosen system has data that could go round with its root."""
        return tuple(volume.target for volume in self.chosen_system.addable) if self.systems else ()

    def _spares(self) -> tuple[str, ...]:
        """Partitions that its second root could go into instead of the disk's free part."""
        machine = self.board.machine
        return tuple(p.path for p in spares(machine, self.chosen_system)) if machine and self.systems else ()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "data":
            return bool(self._data())
        if action == "into":
            return bool(self._spares())
        if action == "checks":
            return bool(self.stick.checks)
        if action == "unsigned":
            return self.is_mounted and self.choice.id == "bundle"
        if action == "wanted":
            return self.is_mounted and self._lacks_network()
        return super().check_action(action, parameters)

    def action_checks(self) -> None:
        about = "The site's own checks, run in the twin after the control boot and after the patched boot."
        self.desk.push_screen(
            TickChecks("Checks of the stick", about, self.stick.checks, self.skipped, self._skip)
        )

    def _skip(self, off: set[str]) -> None:
        self.skipped = frozenset(off)

    def action_data(self) -> None:
        about = (
            "Data is left as it is, but for what is ticked here: that is sealed and promoted with the root."
        )
        data = self._data()
        self.desk.push_screen(TickData("Data volumes", about, data, set(data) - self.added, self._leave_out))

    def _leave_out(self, off: set[str]) -> None:
        self.added = frozenset(self._data()) - off

    def action_into(self) -> None:
        title = "Where shall the second root go? What lies in a partition is overwritten."
        names = (FREE_PART, *self._spares())
        self.desk.push_screen(PickOne(title, names, self.into, self._into, other=False))

    def _into(self, name: str | None) -> None:
        self.into = name if name and name != FREE_PART else ""

    def action_unsigned(self) -> None:
        self.unsigned = not self.unsigned
        self.redraw()

    def action_wanted(self) -> None:
        self.desk.open_wanted(self.system, self.choice.kind)

    def action_go(self) -> None:
        """To the pre-flight, or first to the name it needs."""
        if not self.systems:
            self.say(self.why_none(), "warn")
            return
        names = {"bundle": self.stick.bundles, "script": self.stick.scripts}.get(self.choice.id, ())
        if names:
            title = self.choice.question.rstrip(":")
            self.desk.push_screen(PickOne(title, names, self.names.get(self.choice.id, ""), self._picked))
            return
        if self.choice.id == "packages":
            marked = tuple(self.names.get("packages", "").split())
            self.desk.push_screen(PickPackages(self.chosen_system.id, marked, self._marked))
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

    def _marked(self, names: tuple[str, ...], more: bool) -> None:
        self.names["packages"] = " ".join(names)
        if more:
            self._ask_name()
            return
        self.desk.open_preflight(self.request())

    def _ask_name(self) -> None:
        self.open_field(self.names.get(self.choice.id, ""))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        value = " ".join(event.value.split())
        if not value:
            self.say("Type a name, or Esc to choose something else.", "warn")
            return
        if self.choice.id == "packages" and (wrong := not_packages(value.split())):
            self.say(wrong[0], "warn")
            return
        self.names[self.choice.id] = value
        self.leave_field()
        self.desk.open_preflight(self.request())

    def request(self) -> Request:
        """What was chosen, as the engine wants it."""
        return Request(
            verb=Verb.REHEARSE,
            system=self.chosen_system.id,
            patch=self.choice.request(self.names.get(self.choice.id, ""), self.unsigned),
            emulate=self.emulate,
            skip_checks=tuple(sorted(self.skipped & set(self.stick.checks))),
            added=tuple(place for place in self._data() if place in self.added),
            into=self.into if self.into in self._spares() else "",
        )
