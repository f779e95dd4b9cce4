"""No network here: what this machine would fetch, as a list on the stick for an office that has one."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.model.plan import PatchKind
from appliance.model.service_messages import WantedWritten, WriteWanted
from tui.look import Line, line, lines, pair, rule
from tui.patches import WANTS
from tui.screens.packages import PickPackages
from tui.screens.page import key
from tui.screens.systempage import SystemPage
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import wrap

NEXT = (
    "Take the stick to any Debian or Ubuntu with internet, and run there: twinboot bundle make LIST --stick."
    " Back here: New rehearsal, A bundle on the stick."
)


class WantedPage(SystemPage):
    """Enter writes the list; the stick is all that is written to."""

    NAME = "wanted list"
    HELP = """\
For a machine without network. The list says which packages, versions, sources,
pins and public keys this system has, and no password. An office with internet
makes a bundle of it, the same that the package manager here would have
fetched; with the bundle on the stick the rehearsal needs no network.
The list goes to the folder wanted of the stick. A list of the same system
that is there already is replaced. Nothing on this machine's disks is written.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "go", "write the list"),
        key("s", "system", "other system"),
        key("escape", "back", "back"),
    ]

    PURPOSE = "make a list for"

    def __init__(self, system: int = 0, kind: PatchKind = PatchKind.ALL) -> None:
        super().__init__()
        self.system, self.first = system, kind
        self.names: tuple[str, ...] = ()
        self.done: WantedWritten | None = None

    def body(self) -> ComposeResult:
        yield Pane(id="which")
        yield Rows(id="kinds", classes="four")
        yield Pane(id="main", classes="rest")

    def on_mount(self) -> None:
        rows = self.query_one("#kinds", Rows)
        rows.fill(self._rows())
        rows.select(self.first.value)
        rows.focus()

    def draw(self) -> None:
        self.pane("which").show([*self.which_lines(), rule("What would be fetched?", self.width)])
        self.query_one("#kinds", Rows).fill(self._rows())
        self.pane("main").show(self._outcome() if self.done else self._about())

    def _rows(self) -> list[Row]:
        named = f": {' '.join(self.names)}" if self.names else " ..."
        return [
            Row(line(f" {number}  {title}{named if kind is PatchKind.PACKAGES else ''}"), kind.value)
            for number, (kind, title) in enumerate(WANTS.items(), 1)
        ]

    def _about(self) -> list[Line]:
        said = "Writes to the stick what this system has and where it gets its packages from. No password."
        return [rule("", self.width), *lines(wrap(said, self.width - 2, " ")), line(), *self._next()]

    def _next(self) -> list[Line]:
        return lines(wrap(NEXT, self.width - 2, " "))

    def _outcome(self) -> list[Line]:
        assert self.done is not None
        done, width = self.done, self.width
        held = f"{done.installed} packages, {done.sources} sources, {done.keys} keys; no password"
        rows = [rule("Written", width), pair("File", (done.path, "good")), pair("Holds", held)]
        for sentence in done.unknown:
            rows += lines(wrap(sentence, width - 2, "     ", " [!] "), "warn")
        return [*rows, line(), *self._next()]

    def action_go(self) -> None:
        """Write it, or first to the packages it is for."""
        if not self.systems:
            self.say(self.why_none(), "warn")
            return
        kind = PatchKind(self.query_one("#kinds", Rows).selected)
        if kind is PatchKind.PACKAGES:
            self.desk.push_screen(PickPackages(self.chosen_system.id, self.names, self._marked))
            return
        self._write(WriteWanted(system=self.chosen_system.id, kind=kind))

    def _marked(self, names: tuple[str, ...], more: bool) -> None:
        self.names = names
        if more:
            self.say("Only what is installed here can be chosen: for others, twinboot wanted --packages.")
            return
        self._write(WriteWanted(system=self.chosen_system.id, kind=PatchKind.PACKAGES, packages=names))

    def _write(self, say: WriteWanted) -> None:
        self.ask("Writing the list ...", lambda s: s.write_wanted(say), self._written)

    def _written(self, done: WantedWritten) -> None:
        self.done = done
        self.say("Written.", "good")
