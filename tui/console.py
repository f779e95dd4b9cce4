"""The application: routes screens, holds the link and the board. Everything else is in the pages."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.console import RenderableType
from textual import events
from textual._compositor import CompositorUpdate
from textual.app import App, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.reactive import reactive
from textual.screen import Screen

from appliance.errors import ApplianceError
from appliance.model.events import Failed
from appliance.model.plan import PatchKind, Plan, Request, Verb
from appliance.model.service_messages import Port
from appliance.session import SaidNo
from tui import foreground
from tui.board import Board
from tui.filters import BasicText, FontText, SafeText
from tui.link import Link
from tui.noise import drop_noise
from tui.pace import Pace
from tui.runboard import RunBoard
from tui.screens.act import Act
from tui.screens.boot import Boot
from tui.screens.countdown import Countdown
from tui.screens.error import ErrorPanel
from tui.screens.export import ExportPage
from tui.screens.help import HelpPage
from tui.screens.home import Home
from tui.screens.keyboard import KeyboardPage
from tui.screens.log import LogPage
from tui.screens.machine import MachinePage
from tui.screens.network import NetworkPage
from tui.screens.operator import OperatorPage
from tui.screens.page import Page, key
from tui.screens.palette import Palette
from tui.screens.plans import PlansPage
from tui.screens.port import PortPage
from tui.screens.power import PowerPage
from tui.screens.preflight import Preflight
from tui.screens.rehearse import Rehearse
from tui.screens.repair import Repair
from tui.screens.running import Running
from tui.screens.saveplan import SavePlanPage
from tui.screens.services import ServicesPage
from tui.screens.ssh import SshPage
from tui.screens.sure import Sure
from tui.screens.unlock import UnlockPage
from tui.screens.verdict import VerdictPage
from tui.screens.vm import VmPage
from tui.screens.wanted import WantedPage
from tui.terminal import Mode, is_screen, is_serial, remember_mode
from tui.thrift import Changes, Shown

# A serial line gets one look a second, a screen four: what is between is not worth the bytes.
TICK_SERIAL, TICK_SCREEN = 1.0, 0.25


class Console(App[None]):
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
        if isinstance(page, Running):
            self._watched = seen
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

    # -- routes ------------------------------------------------------------------------------------------

    def back(self) -> None:
        if len(self.screen_stack) > 1:
            self.pop_screen()

    def home(self) -> None:
        while len(self.screen_stack) > 1:
            self.pop_screen()

    def open_rehearse(self) -> None:
        self.push_screen(Rehearse())

    def open_repair(self) -> None:
        """From anywhere: home, then the repairs, so that Esc leads home."""
        self.home()
        self.push_screen(Repair())

    def open_preflight(self, request: Request) -> None:
        self.push_screen(Preflight(request))

    def open_running(self) -> None:
        """From anywhere: home, then the run, so that Esc leads home."""
        self.home()
        self.push_screen(Running())

    def open_vm(self) -> None:
        self.push_screen(VmPage())

    def finish_by_hand(self) -> None:
        """From the VM back to the run, which asks whether to go on."""
        self.open_running()
        if isinstance(self.screen, Running):
            self.screen.action_go_on()

    def open_verdict(self, run: str) -> None:
        self.push_screen(VerdictPage(run))

    def open_act(self, verb: str, run: str, retire_on: str = "") -> None:
        self.push_screen(Act(verb, run, retire_on))

    def open_boot(self) -> None:
        self.push_screen(Boot())

    def open_machine(self) -> None:
        self.push_screen(MachinePage())

    def open_log(self) -> None:
        self.push_screen(LogPage())

    def open_services(self) -> None:
        self.push_screen(ServicesPage())

    def open_network(self) -> None:
        self.push_screen(NetworkPage())

    def open_port(self, link: Port) -> None:
        self.push_screen(PortPage(link))

    def open_ssh(self) -> None:
        self.push_screen(SshPage())

    def open_keyboard(self, goes_on: bool = False) -> None:
        self.push_screen(KeyboardPage(goes_on))

    def open_unlock(self) -> None:
        """The passphrase of an encrypted device; at the machine's own keyboard its layout comes first."""
        self.push_screen(UnlockPage())
        if is_screen(self.client):
            self.open_keyboard(goes_on=True)

    def run_in_foreground(self, argv: Sequence[str]) -> int | None:
        """Give this terminal to a program until it ends; its status, None where that is not possible."""
        try:
            with self.suspend():
                status = foreground.run(argv)
        except SuspendNotSupported:
            return None
        self.action_redraw()
        return status

    def open_plans(self) -> None:
        self.push_screen(PlansPage())

    def open_wanted(self, system: int = 0, kind: PatchKind = PatchKind.ALL) -> None:
        self.push_screen(WantedPage(system, kind))

    def open_save_plan(self, request: Request, command_line: str) -> None:
        self.push_screen(SavePlanPage(request, command_line))

    def open_export(self, run: str = "") -> None:
        self.push_screen(ExportPage(run))

    def open_power(self, armed: bool = False) -> None:
        self.push_screen(PowerPage(armed))

    def show_sure(self, sure: Sure) -> None:
        self.push_screen(sure)

    def show_error(self, error: ApplianceError) -> None:
        self.push_screen(ErrorPanel.of_error(error))

    def show_busy(self, error: SaidNo) -> None:
        self.push_screen(OperatorPage(error.what))

    def show_take_over(self) -> None:
        self.push_screen(OperatorPage(""))

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
