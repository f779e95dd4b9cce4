"""What all pages share: header, body, a notice, the keys; and asking the engine without blocking."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.css.query import NoMatches
from textual.events import Event, Mount
from textual.screen import Screen
from textual.widgets import Input

from appliance.errors import ApplianceError
from appliance.session import SaidNo, Session
from tui.board import Board
from tui.look import Line, line
from tui.terminal import LEAST_COLUMNS, LEAST_ROWS
from tui.widgets.keyline import KeyLine
from tui.widgets.pane import Pane
from tui.widgets.typed import Typed
from tui.words import fit

if TYPE_CHECKING:
    from tui.console import Console

R = TypeVar("R")
WIDE = 120
"""Columns from which panes stand side by side."""


def key(keys: str, action: str, label: str, show: bool = True) -> Binding:
    """A binding whose letters work in both cases: key("n,f5", …) also binds "N"."""
    names = [name.strip() for name in keys.split(",")]
    both = [n2 for n in names for n2 in ((n, n.upper()) if len(n) == 1 and n.isalpha() else (n,))]
    return Binding(",".join(both), action, label, show=show)


class Page(Screen[None]):
    """Base of every screen. Children give `NAME`, `HELP`, `body()` and `draw()`.

    `ABOUT` says in the list of all acts what an act of this page is for.
    """

    NAME = ""
    HELP = ""
    ABOUT: ClassVar[dict[str, str]] = {}
    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape", "back", "back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.notice: tuple[str, str] = ("", "")
        self.asking = ""
        self.drawn = -1
        self.second = 0
        self.ready = False

    # -- what children fill in ---------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        yield Pane(id="main")

    def draw(self) -> None:
        """Put the board on the panes. Called often; panes repaint only what changed."""

    # -- frame -------------------------------------------------------------------------------------------

    @property
    def desk(self) -> Console:
        return cast("Console", self.app)

    @property
    def board(self) -> Board:
        return self.desk.board

    @property
    def width(self) -> int:
        return max(self.app.size.width, LEAST_COLUMNS)

    @property
    def wide(self) -> bool:
        """Whether there is room for panes side by side."""
        return self.app.size.width >= WIDE

    def compose(self) -> ComposeResult:
        yield Pane(id="header")
        with Vertical(id="body"):
            yield from self.body()
        yield Pane(id="notice")
        yield KeyLine(id="keys")
        yield Pane(id="small")

    async def on_event(self, event: Event) -> None:
        """A page that was left before it was laid out has nothing to ask for or to focus any more."""
        if isinstance(event, Mount) and self not in self.app.screen_stack:
            return
        await super().on_event(event)

    @property
    def alive(self) -> bool:
        """Whether the page is laid out and not yet left: an answer may come after Esc."""
        return self.ready and self in self.app.screen_stack

    def pane(self, name: str) -> Pane:
        return self.query_one(f"#{name}", Pane)

    def on_mount(self) -> None:
        self.ready = True  # children's on_mount runs before this one
        for field in self.query(Input):
            field.cursor_blink = False  # twice a second over a serial line, for nothing
        self.redraw()

    def on_screen_resume(self) -> None:
        self.redraw()

    def on_scroll_scrolled(self) -> None:
        self.redraw()

    def on_resize(self) -> None:
        self.call_after_refresh(self.redraw)

    def on_pane_resized(self) -> None:
        """Only now is it known how many lines of a text are in view."""
        self.redraw()

    def redraw(self) -> None:
        """Draw everything that is on this page from the board."""
        if not self.alive:
            return
        size = self.app.size
        small = size.width < LEAST_COLUMNS or size.height < LEAST_ROWS
        self.set_class(small, "small")
        self.drawn = self.board.version
        if small:
            self.pane("small").show(_too_small(size.width, size.height))
            return
        self.pane("header").show([self._header()])
        self.pane("notice").show([self._notice()])
        self.draw()
        self.query_one("#keys", KeyLine).draw()
        self.refresh_bindings()

    def tick(self) -> None:
        """Called a few times a second: draw when something happened; once a second where time is shown."""
        second = int(time.monotonic())
        with contextlib.suppress(NoMatches):  # the page may be on its way out
            if self.drawn != self.board.version or (self.shows_time() and second != self.second):
                self.second = second
                self.redraw()
            elif self.ready and not self.has_class("small"):
                self.pane("header").show([self._header()])

    def holds_keys(self) -> bool:
        """Whether somebody is in the middle of something that must not be taken from under their fingers."""
        field = self.focused
        if isinstance(field, Typed):  # it has the keys whenever its page is open; empty, nothing was begun
            return bool(field.value)
        return isinstance(field, Input)

    def shows_time(self) -> bool:
        return False

    def _header(self) -> Line:
        machine, width = self.board.machine, self.app.size.width
        name = self.desk.machine_name()
        who = f"{name}  SN {machine.identity}" if machine else name
        unread = f"[!{self.board.unread}]" if self.board.unread else "[  ]"
        right = f" {self.desk.client}  {time.strftime('%H:%M')} {unread} "
        left = f" TWINBOOT  {who}   {self.NAME.upper()}"
        return line((fit(left, width - len(right)) + right, "bar"))

    def _notice(self) -> Line:
        width = self.app.size.width - 1
        if self.asking:
            return line(" ", (fit(self.asking, width), "busy"))
        if not self.board.connected:
            return line(" ", (fit("[!] " + self.board.engine_words, width), "warn"))
        text, style = self.notice
        if not text and (place := self._place()):
            text = f"lines {place}: PgDn and PgUp show more"
        return line(" ", (fit(text, width), style))

    def _place(self) -> str:
        """Where in a long text one is, for pages whose text may be longer than the screen."""
        return next((pane.place for pane in self.query("#main").results(Pane) if not pane.follow), "")

    def say(self, text: str, style: str = "strong") -> None:
        """One sentence above the keys; stays until the next one."""
        self.notice = (text, style)
        self.redraw()

    # -- acts --------------------------------------------------------------------------------------------

    def ask(
        self,
        words: str,
        call: Callable[[Session], Awaitable[R]],
        then: Callable[[R], None],
        no: Callable[[ApplianceError], None] | None = None,
    ) -> None:
        """Send one request; `words` stand in the notice meanwhile. One at a time: a second key waits."""
        if self.asking:
            self.say("One moment: the engine is still answering the last request.")
            return
        self.asking = words
        self.redraw()
        self.run_worker(self._ask(call, then, no or self.said_no), group="ask")

    async def _ask(
        self,
        call: Callable[[Session], Awaitable[R]],
        then: Callable[[R], None],
        no: Callable[[ApplianceError], None],
    ) -> None:
        try:
            answer = await self.desk.link.call(call)
        except ApplianceError as error:
            self.asking = ""
            if self.alive:
                self.redraw()
                no(error)
            return
        self.asking = ""
        if self.alive:
            self.redraw()
            then(answer)

    def said_no(self, error: ApplianceError) -> None:
        """Show why not: who is in control, or the error with its ways on."""
        if isinstance(error, SaidNo) and error.code.startswith("BUSY"):
            self.desk.show_busy(error)
        else:
            self.desk.show_error(error)

    def action_back(self) -> None:
        self.desk.back()


def _too_small(width: int, height: int) -> list[Line]:
    text = [
        "TWINBOOT",
        f"This terminal is {width}x{height}.",
        "It needs 80x24 or more.",
        "Make the window larger.",
        "Nothing is stopped by this:",
        "a run goes on.",
    ]
    return [line(row) for row in text]
