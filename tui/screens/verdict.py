"""The verdict of one rehearsal: checks before and after, packages, files, data."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from appliance.errors import ApplianceError
from appliance.model.messages import RecordOf
from appliance.model.verdict import ChangeKind, ConfigDiff, Verdict
from tui.look import Line, beside, line, lines, rule
from tui.reading import (
    VIEWS,
    diff_lines,
    not_applied,
    package_key,
    package_line,
    rows_of,
    top,
    why_check,
)
from tui.screens.diff import DiffPage
from tui.screens.page import Page, key
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import wrap


class VerdictPage(Page):
    """Fetched from the engine by the run's name, so that it reads the same days later."""

    NAME = "verdict"
    HELP = """\
The twin was booted before the patch and after it; only differences count.
WORSE is what the patch broke. NOT TESTED is what the twin cannot show (a device
it has not, a network it must not reach): the trial on the machine tests it.
The lower part says why, and what to do, for the selected line.
Tab or 1 2 3 4 5 shows packages, changed files, data the patch wrote, and what
changed inside configuration files: Enter reads one, secrets are hidden.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("tab", "view", "next view"),
        key("enter,d", "diff", "read the change"),
        key("p", "promote", "promote"),
        key("f", "fold", "fold the same ones"),
        key("l", "log", "log"),
        key("x", "export", "export"),
        key("escape", "back", "back"),
        key("1", "look('checks')", "checks", show=False),
        key("2", "look('packages')", "packages", show=False),
        key("3", "look('files')", "files", show=False),
        key("4", "look('data')", "data", show=False),
        key("5", "look('config')", "configuration", show=False),
    ]

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run_name = run
        self.view = "checks"
        self.folded = True
        self.record: RecordOf | None = None
        self.words = "Reading the record ..."

    def body(self) -> ComposeResult:
        yield Pane(id="top")
        with Horizontal(classes="half"):
            yield Rows(id="rows", classes="rest")
            yield Pane(id="side")
        yield Pane(id="why", classes="five")

    def on_mount(self) -> None:
        self.query_one(Rows).focus()
        self.ask("Reading the record ...", lambda s: s.record(self.run_name), self._read, self._no)

    def _read(self, record: RecordOf) -> None:
        self.record = record
        self.words = (
            ""
            if record.verdict
            else "This run reached no verdict: it was stopped before the tests were done."
        )
        self.redraw()

    def _no(self, error: ApplianceError) -> None:
        self.words = f"The record cannot be read: {error}"
        self.said_no(error)

    @property
    def verdict(self) -> Verdict | None:
        return self.record.verdict if self.record else None

    def draw(self) -> None:
        width, verdict, rows = self.width, self.verdict, self.query_one(Rows)
        if verdict is None:
            self.pane("top").show([rule(f"Verdict of {self.run_name}", width), line(" " + self.words)])
            rows.fill([Row(row) for row in lines(self.record.text.splitlines())] if self.record else [])
            return
        self.pane("top").show(top(verdict, self.run_name, self.view, width))
        aside = width - width * 55 // 100 if self.wide else 0
        self.pane("side").display, self.pane("why").display = self.wide, not self.wide
        self.pane("side").styles.width = aside
        rows.fill(rows_of(verdict, self.view, self.folded, width - aside))
        why = self._why(verdict, rows.selected, (aside or width) - 1)
        self.pane("side").show(beside(why) if self.wide else [])
        self.pane("why").show([] if self.wide else why)

    def _why(self, verdict: Verdict, chosen: str | None, width: int) -> list[Line]:
        if self.view == "checks":
            check = next((c for c in verdict.checks if c.name == chosen), None)
            return why_check(check, width) if check else [rule("", width)]
        if self.view == "files":
            kinds = [sum(f.kind is kind for f in verdict.files) for kind in ChangeKind]
            words = f"{kinds[0]} by packages, {kinds[1]} expected at run time, {kinds[2]} UNEXPLAINED."
            kept = "Kept as the site has them: " + (
                ", ".join(verdict.kept_conffiles) or "no file was in question"
            )
            return [
                rule("Changed files", width),
                *lines(wrap(words, width - 2, " ")),
                *lines(wrap(kept, width - 2, " ")),
            ]
        if self.view == "config":
            diff = self.diff
            shown = diff_lines(diff, width) if diff else [line(" Nothing to read.")]
            return [rule(diff.path if diff else "", width), *shown]
        if self.view == "data":
            words = (
                "What the patch wrote to data volumes. Rolling back the system does not roll this back: a"
                " program of the old version may not read what the new one wrote."
            )
            return [rule("Why this matters", width), *lines(wrap(words, width - 2, " "))]
        change = next((p for p in verdict.packages if package_key(p) == chosen), None)
        shown = [rule("Selected", width), *package_line(change, width)] if change else [rule("", width)]
        return [*shown, *lines(not_applied(verdict, width))]

    @property
    def diff(self) -> ConfigDiff | None:
        """The selected configuration file."""
        chosen = self.query_one(Rows).selected
        shown = self.view in ("config", "files")
        configs = self.verdict.configs if self.verdict and shown else ()
        return next((c for c in configs if c.path == chosen), None)

    def on_rows_chosen(self) -> None:
        self.action_diff()

    def action_diff(self) -> None:
        if self.verdict is not None and (diff := self.diff) is not None:
            self.desk.push_screen(DiffPage(self.verdict.configs, self.verdict.configs.index(diff)))

    def on_rows_moved(self) -> None:
        self.redraw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "promote":
            return self.verdict is not None
        if action == "diff":
            return self.is_mounted and self.diff is not None
        return action != "fold" or self.view == "checks"

    def action_view(self) -> None:
        self.action_look(VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)])

    def action_look(self, view: str) -> None:
        self.view = view
        rows = self.query_one(Rows)
        rows.cursor = 0
        rows.go(0)
        self.redraw()

    def action_fold(self) -> None:
        self.folded = not self.folded
        self.redraw()

    def action_promote(self) -> None:
        self.desk.open_act("promote", self.run_name)

    def action_export(self) -> None:
        self.desk.open_export(self.run_name)

    def action_log(self) -> None:
        self.desk.open_log()
