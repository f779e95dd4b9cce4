"""One Session to the engine, found again within seconds when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from appliance.errors import ApplianceError, EngineGone
from appliance.model import events as e
from appliance.model import messages as m
from appliance.session import SaidNo, Session
from tui.board import Board

# Events after which the engine's status is another one.
TURNING_POINTS = (e.RunStarted, e.StateChanged, e.Waiting, e.VerdictReached, e.Failed, e.RunFinished)

R = TypeVar("R")

RETRY_SECONDS = 1.0  # the promise is to be back within 5 s
GREETING_SECONDS = 5.0
STATUS_SECONDS = 4.0  # how often who-is-in-control is asked; costs nothing on the terminal
CALL_SECONDS = 600.0  # planning reads disks and asks package managers; anything longer is a dead engine


class Link:
    """Keeps `board` fed. `run` lives as long as the console; `call` is what screens use."""

    def __init__(self, client: str, board: Board, path: Path | None = None) -> None:
        self.client = client
        self.board = board
        self.path = path
        self.session: Session | None = None
        self._ask_status = asyncio.Event()

    async def run(self) -> None:
        attempt = 0
        while True:
            try:
                await self._once()
                attempt = 0
                self.board.connection(
                    False, "The engine went away. It is started again by itself; a run goes on."
                )
            except (ApplianceError, OSError, TimeoutError) as error:
                attempt = 1 if self.board.connected else attempt + 1
                self.board.connection(False, _sentence(error, attempt))
            await asyncio.sleep(RETRY_SECONDS)

    async def _once(self) -> None:
        session = Session(self.client, self.path)
        tasks: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                await session.__aenter__()
            self.session = session
            self.board.connection(True)
            if self.board.last_event is not None:
                await self._same_engine(session)
            tasks.append(asyncio.create_task(self._watch_status(session)))
            await self._follow(session)
        finally:
            self.session = None
            for task in tasks:
                task.cancel()
            await session.__aexit__(None, None, None)

    async def _same_engine(self, session: Session) -> None:
        """An engine that has told less than we know is another one; asked before its events are followed."""
        status = await self._take_status(session)
        last = self.board.last_event
        if status is not None and last is not None and status.last_seq < last.seq:
            self.board.engine_restarted()
            self.board.take_status(status)

    async def _follow(self, session: Session) -> None:
        """Apply events until the engine hangs up.

        The last known event is asked for again: another one under its number means another engine, whose
        numbers began at 1 again.
        """
        known = self.board.last_event
        async for event in session.follow(known.seq - 1 if known else 0):
            if known is not None:
                same, known = event == known, None
                if same:
                    continue
                self.board.engine_restarted()
                return
            self.board.apply(event)
            if isinstance(event, TURNING_POINTS):
                self._ask_status.set()

    async def _watch_status(self, session: Session) -> None:
        """Ask for the status after events (at most twice a second) and every few seconds."""
        while True:
            self._ask_status.clear()
            await self._take_status(session)
            await asyncio.sleep(0.5)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATUS_SECONDS):
                    await self._ask_status.wait()

    async def _take_status(self, session: Session) -> m.Status | None:
        """One status. The first one may take long: the engine reads the disks for it."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                status = await session.status()
            self.board.take_status(status)
            return status
        except SaidNo as error:
            self.board.machine_unread(str(error))
        except (EngineGone, TimeoutError):
            pass  # the follower notices the lost connection as well, and says so
        return None

    def refresh(self) -> None:
        """Ask for the status soon."""
        self._ask_status.set()

    async def call(self, ask: Callable[[Session], Awaitable[R]]) -> R:
        """Run one request. Raises SaidNo with the engine's own words, or EngineGone."""
        session = self.session
        if session is None:
            raise EngineGone("The engine does not answer at the moment.")
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await ask(session)
        except TimeoutError:
            raise EngineGone(f"The engine gave no answer for {CALL_SECONDS:.0f} seconds.") from None
        except OSError as error:
            raise EngineGone(f"The connection to the engine broke: {error.strerror}.") from None
        finally:
            self.refresh()


def _sentence(error: BaseException, attempt: int) -> str:
    """One line for the notice; where the socket is, is for the log of whoever started us."""
    what = str(error) if isinstance(error, ApplianceError) else ""
    if isinstance(error, EngineGone) or not what:
        what = "The engine does not answer."
    tried = f" (try {attempt})" if attempt > 1 else ""
    return f"{what} Trying again by itself{tried}."
