"""The twin's serial console, live; its keyboard, its VGA text, a screenshot of it."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from appliance.errors import ApplianceError
from appliance.model.vm_messages import Screenshot, VgaText
from appliance.session import SaidNo
from tui.look import Line, line
from tui.screens.fieldpage import FieldPage
from tui.screens.page import key
from tui.screens.vmpictures import PicturePage, VgaPage
from tui.terminal import Mode, is_serial
from tui.vmview import VmView
from tui.widgets.vmscreen import VmScreen
from tui.words import clean, fit

TYPING_TICK, TYPING_TICK_SERIAL = 0.2, 0.5
"""Seconds between two pictures while somebody types: an echo that comes later feels like none."""

WATCHING_TICK_SERIAL = 1.5
"""Seconds on a serial line otherwise: a screen that scrolls is 1.7 KB each time."""


class VmPage(FieldPage):
    """Looks only while it is on top, as often as this terminal can take it."""

    NAME = "vm"
    HELP = """\
What the twin says on its serial port, as it says it. You only look: I takes its
keyboard, then every key goes to the VM until Ctrl+] (or F12) gives it back.
PgUp and PgDn go through what has scrolled away, End follows again, / finds
text, N finds it again further up and Shift+N further down. A system that says
nothing on its serial port may still say something on its screen: T reads the
VGA text, S keeps a screenshot in the run's report. P lets the VM stand still.
What you type works in the rehearsal's copy; the machine's own system is not in
reach from here.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("i", "take", "type"),
        key("ctrl+right_square_bracket", "give", "give the keyboard back"),
        key("p,f8", "pause", "pause"),
        key("p,f8", "resume", "unpause"),
        key("s,f9", "screenshot", "picture"),
        key("t", "vga", "screen text"),
        key("slash", "find", "find"),
        Binding("n", "again(-1)", "find further up", show=False),
        Binding("N", "again(1)", "find further down", show=False),
        key("g", "go_on", "go on"),
        key("escape,w,f6", "back", "back"),
    ]

    FIELD, BEHIND = "find", "main"

    def __init__(self) -> None:
        super().__init__()
        self.view = VmView()
        self.wanted = ""
        self.found = -1
        self.typing = False
        self._keys = b""
        self._strange = 0

    def body(self) -> ComposeResult:
        yield VmScreen(id="main", classes="rest")
        yield Input(id="find", compact=True, placeholder="text to find, then Enter", select_on_focus=False)

    def on_mount(self) -> None:
        self.leave_field()
        self.run_worker(self._watch(), group="watch")

    def on_unmount(self) -> None:
        session = self.desk.link.session
        if self.typing and session is not None:
            self.app.run_worker(_quietly(session.give_keyboard()), group="give")

    @property
    def screen_pane(self) -> VmScreen:
        return self.query_one("#main", VmScreen)

    # -- looking -----------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Ask for what changed, draw it, wait as long as this terminal needs between two pictures."""
        while self.app.is_running:
            session = self.desk.link.session
            if session is None or self.app.screen is not self:
                await asyncio.sleep(TYPING_TICK)
                continue
            last = self.view.picture
            try:
                picture = await session.look_at_vm(last.vm, last.version, last.scrolled)
            except (ApplianceError, OSError) as error:
                if isinstance(error, SaidNo):
                    self.say(error.what, "warn")
                self._set_typing(False)
                self.view = VmView()
                await asyncio.sleep(1.0)
                continue
            changed = self.view.take(picture)
            if self.alive:
                self._check_keyboard()
            if changed and self.alive:
                self.redraw()
            await asyncio.sleep(self._between())

    def _between(self) -> float:
        """Seconds until the next picture."""
        if is_serial(self.desk.client):
            return TYPING_TICK_SERIAL if self.typing else WATCHING_TICK_SERIAL
        return TYPING_TICK if self.typing else self.desk.tick_seconds

    def _check_keyboard(self) -> None:
        """Another client took over, or the line was lost for a moment: keys go nowhere, so it is said.

        Once it may be a picture that was on its way when the keyboard was taken.
        """
        ours = not self.typing or self.view.picture.keyboard == self.desk.client
        self._strange = 0 if ours else self._strange + 1
        if self._strange > 1:
            self._set_typing(False)
            self.say("You no longer have the VM's keyboard.", "warn")

    def draw(self) -> None:
        self.screen_pane.update_view(self.view, self.found)

    def _header(self) -> Line:
        width, picture = self.app.size.width, self.view.picture
        if self.typing:
            state = "KEYBOARD IS THE VM'S: Ctrl+] gives it back"
        elif not picture.vm:
            state = "NO VM NOW"
        elif picture.keyboard:
            state = f"READ ONLY: {picture.keyboard} types"
        else:
            state = "READ ONLY"
        power = {"running": "", "paused": "PAUSED  "}.get(picture.power, "OFF  ")
        who = f"VM {picture.vm.removeprefix('twinboot-')}" if picture.vm else "VM"
        right = f" {self.desk.client}  {time.strftime('%H:%M')} "
        left = f" {who}  {power if picture.vm else ''}{state}"
        return line((fit(left, width - len(right)) + right, "bar"))

    def _notice(self) -> Line:
        if self.asking or self.notice[0] or not self.board.connected:
            return super()._notice()
        if not self.view.picture.vm:
            run = self.board.run
            if run is not None and run.over:
                return line(" The twin is gone. What it said is in the log: Esc, then L.")
            return line(" The twin's console is here as soon as the twin is started.")
        if not any(self.view.texts):
            return line(" It has said nothing on its serial port yet. T reads the text of its screen.")
        pane = self.screen_pane
        return line("" if pane.follow or not pane.place else f" lines {pane.place}; End follows again")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        run = self.board.run
        match action:
            case "give":
                return self.typing
            case "take" | "screenshot" | "vga" if not self.typing:
                return self.view.picture.power in ("running", "paused")
            case "pause" | "resume" if not self.typing:
                return self.view.picture.power == ("running" if action == "pause" else "paused")
            case "go_on":
                return not self.typing and run is not None and bool(run.gate) and not run.over
            case _:
                return not self.typing

    # -- the keyboard ------------------------------------------------------------------------------------

    def _set_typing(self, typing: bool) -> None:
        self.typing = self.screen_pane.typing = typing
        self._strange = 0
        self._keys = b""

    def action_take(self) -> None:
        def taken(_: None) -> None:
            self._set_typing(True)
            self.screen_pane.action_end(True)
            self.say("")

        self.ask("Taking the VM's keyboard ...", lambda s: s.take_keyboard(), taken)

    def action_give(self) -> None:
        if self.typing:
            self._set_typing(False)
            self.ask("Giving it back ...", lambda s: s.give_keyboard(), lambda _: self.say(""))

    def on_vm_screen_given_back(self) -> None:
        self.action_give()

    def on_vm_screen_typed(self, event: VmScreen.Typed) -> None:
        """Keys go in their order: what is pressed while some are under way goes with the next ones."""
        idle, self._keys = not self._keys, self._keys + event.data
        if idle:
            self.run_worker(self._send(), group="keys")

    async def _send(self) -> None:
        while self._keys and self.typing:
            data, session = self._keys, self.desk.link.session
            try:
                if session is not None:
                    await session.send_keys(data)
            except ApplianceError as error:
                if self.alive and isinstance(error, SaidNo):
                    self._set_typing(not error.code.startswith("REFUSED"))
                    self.say(error.what, "warn")
                self._keys = b""
                return
            self._keys = self._keys[len(data) :]

    # -- acts --------------------------------------------------------------------------------------------

    def action_pause(self) -> None:
        run, words = self.view.picture.run, "The VM stands still; no time limit counts. P lets it go on."
        self.ask("Pausing ...", lambda s: s.pause(run), lambda _: self.say(words))

    def action_resume(self) -> None:
        run = self.view.picture.run
        self.ask("Resuming ...", lambda s: s.resume(run), lambda _: self.say("The VM goes on."))

    def action_screenshot(self) -> None:
        def kept(shot: Screenshot) -> None:
            name = shot.path.rpartition("/")[2]
            said = f"Kept in the run's report: {name}, {shot.width}x{shot.height}."
            self.say(said, "good")
            if shot.small and self.desk.mode is Mode.RICH and not is_serial(self.desk.client):
                self.app.push_screen(PicturePage(shot, said))

        self.ask("Taking a screenshot ...", lambda s: s.screenshot(), kept)

    def action_vga(self) -> None:
        def read(text: VgaText) -> None:
            if text.lines:
                self.app.push_screen(VgaPage(text.lines))
            else:
                self.say(text.words, "warn")

        self.ask("Reading the VM's screen ...", lambda s: s.vga_text(), read)

    def action_go_on(self) -> None:
        self.desk.finish_by_hand()

    # -- finding -----------------------------------------------------------------------------------------

    def action_find(self) -> None:
        self.open_field(self.field.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.wanted = event.value.strip()
        self.leave_field()
        self.found = len(self.view.texts)
        self.call_after_refresh(self.action_again, -1)  # the field gone, the pane has one line more

    def action_again(self, step: int) -> None:
        """To the next match, up or down."""
        if not self.wanted:
            self.action_find()
            return
        start = self.found if self.found >= 0 else len(self.view.texts)
        at = self.view.find(self.wanted, start, step)
        if at < 0:
            self.say(
                f'"{clean(self.wanted)}" is not in the lines {"above" if step < 0 else "below"}.', "warn"
            )
            return
        self.found = at
        pane = self.screen_pane
        pane.follow = False
        self.say(f'Found "{clean(self.wanted)}". N goes further up, Shift+N down.')
        pane.go(at - pane.size.height // 2)


async def _quietly(call: object) -> None:
    """Nobody is there any more to be told that it failed; the engine gives it back by itself then."""
    try:
        await call  # type: ignore[misc]
    except (ApplianceError, OSError):
        return
