"""A run as it goes on: a line for each step, an occasional one for its progress, until it ends or waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from appliance.model import events as e
from appliance.model.plan import Plan
from appliance.model.verdict import Result
from tui.board import Board
from tui.link import Link
from tui.plain import told
from tui.plain.talk import Talk

PROGRESS_SECONDS = 15.0


class Ear(Board):
    """A board that also hands on what it hears, in order."""

    def __init__(self, client: str, lost: Callable[[str], None]) -> None:
        super().__init__(client)
        self.heard: asyncio.Queue[e.AnyEvent] = asyncio.Queue()
        self._lost = lost

    def apply(self, event: e.AnyEvent) -> None:
        super().apply(event)
        self.heard.put_nowait(event)

    def connection(self, connected: bool, words: str = "") -> None:
        if self.connected and not connected:
            self._lost(words)
        super().connection(connected, words)


class Watch:
    """One look at the run that goes on. `confirmed` is a plan typed for here: its own gate is passed once."""

    def __init__(self, talk: Talk, link: Link, ear: Ear, confirmed: tuple[Plan, str] | None = None) -> None:
        self.talk, self.link, self.ear = talk, link, ear
        self.confirmed = confirmed
        self.said = time.monotonic()
        self.failed = False

    async def until_it_stops(self, run: str) -> int:
        """0 when it went well, waits or was left; 1 when it failed or its verdict is FAIL."""
        if self.talk.person:
            self.talk.say("Enter goes back to the menu; the run goes on.")
        while True:
            event = await self._next()
            if event is None:
                self.talk.say("The run goes on.")
                return 0
            if event.run not in ("", run):
                continue
            self._tell(event)
            if isinstance(event, e.Waiting) and not await self._pass(event):
                return 0
            if isinstance(event, e.RunFinished):
                return 1 if self.failed else 0

    @staticmethod
    def forget(ear: Ear) -> None:
        """What happened so far is no part of what is watched from here on."""
        while not ear.heard.empty():
            ear.heard.get_nowait()

    async def _next(self) -> e.AnyEvent | None:
        """The next event; None where a person pressed Enter."""
        event = asyncio.ensure_future(self.ear.heard.get())
        waiting: set[asyncio.Future[Any]] = {event}
        line = asyncio.ensure_future(self.talk.lines.get()) if self.talk.person else None
        if line is not None:
            waiting.add(line)
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                if not task.done():
                    task.cancel()
        if line is not None and line.done() and not line.cancelled():
            if line.result() is None:
                self.talk.lines.put_nowait(None)
            if event.done() and not event.cancelled():
                self.ear.heard.put_nowait(event.result())
            return None
        return event.result()

    def _tell(self, event: e.AnyEvent) -> None:
        self.talk.say(*told.event(event))
        bad = isinstance(event, e.VerdictReached) and event.verdict.result is Result.FAIL
        self.failed = self.failed or bad or isinstance(event, e.Failed)
        run = self.ear.run
        if isinstance(event, e.StepStarted):
            self.said = time.monotonic()
        elif run is not None and not run.over and time.monotonic() - self.said > PROGRESS_SECONDS:
            self.said = time.monotonic()
            self.talk.say(told.progress(run, time.time()))

    async def _pass(self, event: e.Waiting) -> bool:
        """Open the gate of the very plan that was confirmed by typing; any other gate waits for a person."""
        if self.confirmed is None:
            return False
        plan, typed = self.confirmed
        status = await self.link.call(lambda s: s.status())
        running = status.running
        if running is None or running.plan != plan or running.gate != event.gate:
            return False
        self.confirmed = None
        await self.link.call(lambda s: s.approve(event.run, event.gate, typed))
        self.talk.say("Going on as confirmed.")
        return True
