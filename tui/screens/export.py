"""Export: what of a run leaves the machine, where it goes, how far it is, and what came of it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.errors import ApplianceError
from appliance.model.service_messages import STICK, Exported
from tui.look import Line, bar, line, lines, pair, rule
from tui.screens.fieldpage import FieldPage
from tui.screens.page import key
from tui.widgets.field import Field
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import count, size, wrap

ADDRESS, FOLDER = "address", "folder"
PLACES = (
    (STICK, "the stick", "its folder reports; read it on any computer"),
    (ADDRESS, "an address", "sent by HTTP PUT, as http://server/folder/"),
    (FOLDER, "a folder", "of this appliance, gone when it is switched off"),
)
PROMPTS = {
    ADDRESS: ("Address (http:// or https://), then Enter:", "http://"),
    FOLDER: ("Folder, then Enter:", "/tmp"),
}


class ExportPage(FieldPage):
    """Enter exports to the selected place; C chooses which run. Nothing on the machine is changed."""

    NAME = "export"
    HELP = """\
Packs the record of one run: report (HTML, JSON, text), log, the twin's
consoles and pictures, and the boot files before and after. Passwords, keys
and tokens are masked, and the places are counted. Enter exports to the
selected place, C chooses another run, or machine and log alone. Either the
whole record arrives or nothing stays there.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter,x", "export", "export"),
        key("c", "choose", "choose the run"),
        key("escape", "back", "back"),
    ]

    FIELD, BEHIND = "where", "places"

    def __init__(self, run: str = "") -> None:
        super().__init__()
        self.run_name = run
        self.to = STICK
        self.done: Exported | None = None
        self.failed = ""

    def body(self) -> ComposeResult:
        yield Pane(id="what")
        yield Rows(id="places", classes="three")
        yield Pane(id="prompt")
        yield Field(id="where")
        yield Pane(id="main", classes="rest")

    def on_mount(self) -> None:
        self.field.display = False
        rows = self.query_one("#places", Rows)
        rows.fill([Row(line(f" {title:12} {words}"), name) for name, title, words in PLACES])
        rows.focus()

    # -- picture -----------------------------------------------------------------------------------------

    def draw(self) -> None:
        width = self.width
        self.pane("what").show(
            [
                rule("Export", width),
                pair("What", self._what()),
                line(),
                pair("Hidden", "passwords, keys, tokens, password hashes: masked and counted"),
                rule("Where to", width),
            ]
        )
        self.pane("prompt").show([line(" ", (PROMPTS[self.to][0], "title"))] if self.asks else [])
        self.pane("main").show(self._outcome(width))

    def _what(self) -> str:
        if not self.run_name:
            return "this machine as it was read, and the log (no run)"
        return f"run {self.run_name}: report, log, consoles, pictures, boot files"

    def _outcome(self, width: int) -> list[Line]:
        if self.asking:
            return [rule("Working", width), *self._progress(width)]
        if self.failed:
            return [rule("Not exported", width), *lines(wrap(self.failed, width - 2, " "), "bad")]
        if self.done is None:
            return []
        done = self.done
        hidden = ", ".join(f"{kind} {number}" for kind, number in done.masked) or "none found"
        rows = [
            rule("Exported", width),
            pair("File", (done.file, "good")),
            pair("To", done.where),
            pair("Size", f"{size(done.size)}, {count(done.files, 'file')}"),
            pair("Masked", f"{count(sum(n for _, n in done.masked), 'secret')}: {hidden}"),
        ]
        if done.unread:
            words = f"{count(len(done.unread), 'picture')} went in as they are: look at them first."
            rows += lines(wrap(words, width - 2, "     ", " [!] "), "warn")
        return rows

    def _progress(self, width: int) -> list[Line]:
        """What is being done, and how far; a number only where the engine has told one."""
        now = self.board.services.get("export")
        if now is None or not now.total:
            return [line(" Starting ...")]
        far = f"{size(now.done)} of {size(now.total)}"
        if now.unit != "bytes":
            far = f"{now.done:.0f} of {now.total:.0f} {now.unit}"
        return [line(f" {now.words:8} ", bar(now.done / now.total, 40), f"  {far}")]

    # -- acts --------------------------------------------------------------------------------------------

    def _runs(self) -> list[str]:
        """Every run there is to export, the newest first, then none: machine and log."""
        nodes = self.board.status.lineage.nodes if self.board.status else ()
        made = [n.run for n in sorted(nodes, key=lambda n: -n.made) if n.run]
        going = [self.board.run.run] if self.board.run else []
        return [*dict.fromkeys([*going, *made]), ""]

    def action_choose(self) -> None:
        runs = self._runs()
        at = runs.index(self.run_name) if self.run_name in runs else -1
        self.run_name = runs[(at + 1) % len(runs)]
        self.done, self.failed = None, ""
        self.redraw()

    def action_export(self) -> None:
        self._chosen(self.query_one("#places", Rows).selected or STICK)

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        self._chosen(event.key)

    def _chosen(self, place: str) -> None:
        self.to = place
        if place == STICK:
            self._send(STICK)
            return
        self.open_field(PROMPTS[place][1])

    def on_input_submitted(self, event: Field.Submitted) -> None:
        text = event.value.strip()
        self.leave_field()
        if text in ("", "http://"):
            self.say("Nothing was typed: nothing is exported.", "warn")
            return
        self._send(text)

    def _send(self, to: str) -> None:
        run = self.run_name
        self.done, self.failed = None, ""
        self.board.services.pop("export", None)
        self.ask("Exporting ...", lambda s: s.export(run, to), self._done, self._not_done)

    def _done(self, answer: Exported) -> None:
        self.done = answer
        self.say("Exported. The record is complete there.", "good")

    def _not_done(self, error: ApplianceError) -> None:
        self.failed = error.what
        self.said_no(error)
