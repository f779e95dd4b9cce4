"""A FakeEngine: a real unix-socket server with scripted replies, so that Session itself is exercised."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from appliance.errors import ApplianceError
from appliance.model import messages as m
from appliance.model import service_messages as sm
from appliance.model.codec import from_json, to_json
from appliance.model.events import AnyEvent
from appliance.model.lineage import Lineage
from appliance.model.machine import Machine
from appliance.model.service_messages import SERVICE_ACTS
from tests.tui import story

Script = Callable[[m.AnySay, str], m.AnyReply]
ACTS = (*SERVICE_ACTS, m.Unlock, m.Start, m.Approve, m.Cancel, m.Power)


def refusal(error: ApplianceError) -> m.Refusal:
    return m.Refusal(
        code=error.code,
        what=error.what,
        safe=error.safe,
        next_actions=error.next_actions,
        reasons=getattr(error, "reasons", ()),
        warnings=getattr(error, "warnings", ()),
        elsewhere=getattr(error, "elsewhere", ()),
        exit_code=error.exit_code,
    )


CABLED = sm.Port(name="eno1", mac="52:54:00:00:00:01", cable=True, addresses=("192.0.2.15/24",))


class FakeEngine:
    """Answers as its `script` says, else with what a quiet engine would; keeps every call it got.

    `operator` is the client that holds the lock; an act of another one is answered BUSY-01 as the real
    engine does. `stop` and `start` make it die and come back, with or without its memory.
    """

    def __init__(self, path: Path, machine: Machine, lineage: Lineage | None = None) -> None:
        self.path = path
        self.machine = machine
        self.status = m.Status(machine=machine, lineage=lineage or Lineage(), operator="")
        self.script: dict[type[m.Say], Callable[[m.AnySay], m.AnyReply]] = {}
        self.calls: list[m.AnySay] = []
        self.clients: list[str] = []
        self.events: list[AnyEvent] = []
        self.followers: list[asyncio.StreamWriter] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.stick = sm.OnStick()
        self.network = sm.Network(links=(CABLED,))
        self.deaf = False
        self.slow: set[type[m.Say]] = set()
        self._kept: list[tuple[asyncio.StreamWriter, int, m.AnySay, str]] = []
        self.server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_unix_server(self._client, str(self.path), limit=2**26)

    async def stop(self, forget: bool = False) -> None:
        """Die: all connections break. `forget` drops the events, as a new process would."""
        if self.server is not None:
            self.server.close()
        for writer in self.writers:
            writer.close()
        self.writers, self.followers = [], []
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        if forget:
            self.events = []
            self.status = replace(self.status, running=None, last_seq=0)
        await asyncio.sleep(0)

    def push(self, *events: AnyEvent) -> None:
        """Publish events to all followers, numbered as the engine does."""
        for event in events:
            stamped = replace(event, seq=len(self.events) + 1)
            self.events.append(stamped)
            for writer in self.followers:
                writer.write(to_json(m.Pushed(event=stamped)) + b"\n")
        self.status = replace(self.status, last_seq=len(self.events))

    def said(self, *kinds: type[m.Say]) -> list[m.AnySay]:
        """The calls of these kinds, oldest first."""
        return [call for call in self.calls if isinstance(call, kinds)]

    def answer_slow(self) -> None:
        """Give the answers that were held back, and hold back no more."""
        self.slow.clear()
        for writer, number, say, name in self._kept:
            writer.write(to_json(m.Answer(id=number, reply=self._reply(say, name))) + b"\n")
        self._kept.clear()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        name = ""
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                call = from_json(line, m.Call, "the test's client")
                if isinstance(call.say, m.Hello):
                    name = call.say.client
                    self.clients.append(name)
                self.calls.append(call.say)
                if self.deaf:
                    continue
                if type(call.say) in self.slow:
                    self._kept.append((writer, call.id, call.say, name))
                    continue
                reply = self._reply(call.say, name)
                writer.write(to_json(m.Answer(id=call.id, reply=reply)) + b"\n")
                if isinstance(call.say, m.Follow):
                    for event in self.events[call.say.since :]:
                        writer.write(to_json(m.Pushed(event=event)) + b"\n")
                    self.followers.append(writer)
        if writer in self.followers:
            self.followers.remove(writer)

    def _reply(self, say: m.AnySay, client: str) -> m.AnyReply:
        holder = self.status.operator
        if isinstance(say, ACTS):
            if holder and holder != client:
                return m.Refusal(
                    code="BUSY-01", what=f"{holder} is in control.", safe="Nothing was changed.", exit_code=4
                )
            self.status = replace(self.status, operator=client)
        if isinstance(say, m.TakeOver):
            self.status = replace(self.status, operator=client)
        if answer := self.script.get(type(say)):
            try:
                return answer(say)
            except ApplianceError as error:
                return refusal(error)
        match say:
            case m.Hello():
                return m.Welcome(version="test")
            case m.Inspect():
                return m.Found(machine=self.machine)
            case m.GetStatus():
                return self.status
            case m.GetRecord():
                return m.RecordOf(run=say.run, verdict=None, text="No record.")
            case sm.GetStick():
                return self.stick
            case sm.GetNetwork():
                return self.network
            case sm.GetPackages():
                return story.packages(say.find)
            case _:
                return m.Accepted()
