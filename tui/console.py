"""The application: holds the link and the board, watches the run. Everything else is in the pages."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.console import RenderableType
from textual import events
from textual._compositor import CompositorUpdate
from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.reactive import reactive
from textual.screen import Screen

from appliance.model.events import Failed
from appliance.model.plan import Plan, Verb
from tui import foreground
from tui.board import Board
from tui.filters import BasicText, FontText, SafeText
from tui.link import Link
from tui.noise import drop_noise
from tui.pace import Pace
from tui.routes import Routes
from tui.runboard import RunBoard
from tui.screens.countdown import Countdown
from tui.screens.error import ErrorPanel
from tui.screens.help import HelpPage
from tui.screens.home import Home
from tui.screens.page import Page, key
from tui.screens.palette import Palette
from tui.screens.running import Running
from tui.screens.unlock import UnlockPage
from tui.terminal import Mode, is_screen, is_serial, remember_mode
from tui.thrift import Changes, Shown

# A serial line gets one look a second, a screen four: what is between is not worth the bytes.
TICK_SERIAL, TICK_SCREEN = 1.0, 0.25


class Console(Routes):
    """One terminal's console. It may die at any moment: the engine does the work."""

    CSS_PATH = "style.tcss"
    ENABLE_COMMAND_PALETTE = False
    TITLE = "Twinboot"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("question_mark,f1", "help", "help"),
        key("colon,ctrl+p", "commands", "acts by name", show=False),
        key("ctrl+l,f3", "redraw", "draw again", show=False),
        key("ctrl+t,f4", "mode", "rich or plain characters", show=False),
        Binding("ctrl+c", "stay", show=False, system=True),
    ]
    mode: reactive[Mode] = reactive(Mode.RICH, init=False)

    def __init__(
        self,
        client: str,
        mode: Mode,
        socket: Path | None = None,
        tick: float | None = None,
        pace: Pace | None = None,
    ) -> None:
        # ansi_color in the constructor: set later, NO_COLOR would paint black on black.
        super().__init__(ansi_color=True)
        drop_noise()
        self.theme = "ansi-dark"
        self.animation_level = "none"
        self.client = client
        self.board = Board(client)
        self.link = Link(client, self.board, socket)
        self.set_reactive(Console.mode, mode)
        self.shown = Shown()
        self._sight: tuple[object, str] = (None, "")
        self._safe, self._basic = SafeText(), BasicText()
        self._font = FontText() if os.environ.get("TERM") == "linux" else None
        self.tick_seconds = tick or (TICK_SERIAL if is_serial(client) else TICK_SCREEN)
        self.pace = pace or Pace()
        self._turned = 0
        self._shown_failure: Failed | None = None
        self._watched: tuple[str, str, float] | None = None
        self._armed: Plan | None = None
        self._confirmed: tuple[Plan, str] | None = None

    def get_line_filters(self) -> Sequence[LineFilter]:
        last = self._basic if self.mode is Mode.BASIC else self._font
        return [*super().get_line_filters(), self._safe, *([last] if last is not None else [])]

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Textual's way to the terminal: its updates go out as differences to what is shown."""
        if isinstance(renderable, CompositorUpdate) and not self.is_headless and screen is self.screen:
            sight = (screen, time.strftime("%H:%M"))
            if sight != self._sight:
                # Each page and each minute whole: a line joined later shows it, stray output is painted over.
                self._sight = sight
                self.shown.doubt()
            renderable = Changes(self.shown, screen._compositor.render_strips())
        super()._display(screen, renderable)

    def _set_pointer_shape(self, shape: str) -> None:
        """There is no mouse, and a plain terminal would print the sequence."""

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key):
            self.pace.hurry()
        await super().on_event(event)

    def get_default_screen(self) -> Home:
        return Home()

    def on_mount(self) -> None:
        self.run_worker(self.link.run(), group="link")
        self.set_interval(self.tick_seconds, self.tick)

    def tick(self) -> None:
        if not self.screen_stack:
            return  # on the way out
        if self.board.turns != self._turned:
            self._turned = self.board.turns
            self.pace.hurry()
        page = self.screen
        if isinstance(page, Page) and self.pace.due():
            page.tick()
            self.call_after_refresh(self.pace.drawn)
        self._go_to_run()
        self._offer_restart()
        self._tell_failure()
        self._pass_confirmed_gate()

    def _go_to_run(self) -> None:
        """A run that goes on is shown, once: who lost the line is back where they were, and a run that was
        started elsewhere (another terminal, a plan file) is seen. Nobody is torn away while typing."""
        running = self.board.status.running if self.board.status is not None else None
        if running is None or running.finished:
            return
        seen = (running.run, running.verb, running.started)
        if seen == self._watched:
            return
        page = self.screen
        if any(isinstance(below, Running) for below in self.screen_stack):
            self._watched = seen  # somebody has opened it, and may be a page further already
        elif isinstance(page, Page) and not page.holds_keys() and not page.asking:
            self._watched = seen
            self.open_running()

    def _offer_restart(self) -> None:
        """The promotion confirmed here has armed the trial: offer the restart, counting down."""
        plan, run, status = self._armed, self.board.run, self.board.status
        if plan is None or run is None or status is None or status.running is None:
            return
        if status.running.plan != plan or not (run.over and status.running.finished):
            return
        self._armed = None
        mine = status.operator in ("", self.client)
        if mine and run.failed is None and run.outcome == "done" and isinstance(self.screen, Running):
            self.push_screen(Countdown())

    def _pass_confirmed_gate(self) -> None:
        """The very plan confirmed here by typing comes to its gate: what was typed opens it, once.

        Another plan, even of the same run, asks its own question.
        """
        run, status = self.board.run, self.board.status
        running = status.running if status is not None else None
        if self._confirmed is None or run is None or running is None:
            return
        plan, typed = self._confirmed
        if running.plan != plan:
            return
        if run.over or running.finished:
            self._confirmed = None
            return
        page, gate = self.screen, run.gate
        if gate and gate == running.gate and isinstance(page, Page) and not page.asking:
            self._confirmed = None
            page.ask("Going on as confirmed ...", lambda s: s.approve(run.run, gate, typed), lambda _: None)

    def _tell_failure(self) -> None:
        """A run that stops while somebody watches it says why on a page that stays until acknowledged."""
        run = self.board.run
        if run is None or run.failed is None or run.failed == self._shown_failure:
            return
        if run.cancelled:
            return
        if isinstance(self.screen, Running):
            self.show_failure(run)

    def machine_name(self) -> str:
        """The machine's host name as far as it is known."""
        machine = self.board.machine
        return machine.systems[0].hostname if machine and machine.systems else "this machine"

    # -- the run and the terminal ------------------------------------------------------------------------

    def open_unlock(self) -> None:
        """The passphrase of an encrypted device; at the machine's own keyboard its layout comes first."""
        self.push_screen(UnlockPage())
        if is_screen(self.client):
            self.open_keyboard(goes_on=True)

    def run_in_foreground(self, argv: Sequence[str]) -> int | None:
        """Give this terminal to a program until it ends; its status, None where that is not possible."""
        try:
            with self.suspend():
                # A terminal without a second page still shows ours.
                print("\x1b[2J\x1b[H", end="", file=sys.__stderr__, flush=True)
                status = foreground.run(argv)
        except SuspendNotSupported:
            return None
        self.action_redraw()
        return status

    def show_failure(self, run: RunBoard) -> None:
        if run.failed is not None:
            self._shown_failure = run.failed
            self.push_screen(ErrorPanel.of_run(run))

    def started(self, plan: Plan, typed: str = "") -> None:
        """A plan was accepted: watch it. `typed` confirmed its writes, so its own gate need not ask again."""
        self._confirmed = (plan, typed) if typed else None
        self._armed = plan if typed and plan.request.verb is Verb.PROMOTE else None
        self.link.refresh()
        self.open_running()

    # -- keys that work everywhere -----------------------------------------------------------------------

    def action_help(self) -> None:
        if isinstance(self.screen, Page) and not isinstance(self.screen, HelpPage):
            self.push_screen(HelpPage(self.screen))

    def action_commands(self) -> None:
        if isinstance(self.screen, Page) and not self.screen.holds_keys():
            self.push_screen(Palette(self.screen))

    def action_redraw(self) -> None:
        """Paint everything again: kernel messages or line noise may have written over it."""
        self.shown.doubt()
        self._repaint()

    def action_mode(self) -> None:
        self.mode = Mode.BASIC if self.mode is Mode.RICH else Mode.RICH
        remember_mode(self.client, self.mode)

    def watch_mode(self) -> None:
        self._repaint()

    def _repaint(self) -> None:
        for widget in self.screen.walk_children(with_self=True):
            widget.refresh(layout=False)
        self.screen.refresh(layout=True)

    def action_stay(self) -> None:
        if isinstance(self.screen, Page):
            self.screen.say("Ctrl+Q leaves the console. A run goes on without it.")
