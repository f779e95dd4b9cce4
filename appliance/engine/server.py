"""Serves the unix socket: decodes calls, keeps the operator lock, pushes events."""

from __future__ import annotations

import asyncio
import contextlib
import os
import traceback
from pathlib import Path

from appliance.engine.bus import Bus
from appliance.engine.desk import Desk
from appliance.engine.vm import VmDesk
from appliance.errors import ApplianceError, Busy, Refused
from appliance.model import messages as m
from appliance.model.codec import from_json, to_json
from appliance.model.events import AnyEvent, Line
from appliance.model.service_messages import SERVICE_ACTS
from appliance.model.vm_messages import VM_ACTS, AnyVmSay

LINE_LIMIT = 64 * 1024 * 1024
ACTS: tuple[type[m.Say], ...] = (*SERVICE_ACTS, m.Unlock, m.Start, m.Approve, m.Cancel, m.Power, *VM_ACTS)


def refusal(error: ApplianceError) -> m.Refusal:
    return m.Refusal(
        code=error.code,
        what=error.what,
        safe=error.safe,
        next_actions=error.next_actions,
        reasons=error.reasons if isinstance(error, Refused) else (),
        warnings=error.warnings if isinstance(error, Refused) else (),
        elsewhere=error.elsewhere if isinstance(error, Refused) else (),
        exit_code=error.exit_code,
    )


class Client:
    """One connection. Answers are written in the order they are ready; events as they come."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.name = ""
        self.loop = asyncio.get_running_loop()
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        try:
            while line := await self.reader.readline():
                call: m.Call = from_json(line, m.Call, "the client's message")
                task = asyncio.create_task(self.answer(call))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
        except (ApplianceError, OSError, ValueError):
            pass
        finally:
            self.server.bus.leave(self.push_threadsafe)
            self.server.gone(self)
            with contextlib.suppress(OSError):
                self.writer.close()

    async def answer(self, call: m.Call) -> None:
        try:
            reply = await self.server.reply(self, call.say)
        except ApplianceError as error:
            reply = refusal(error)
        except Exception:  # noqa: BLE001  a bug must not take the engine down while a twin runs
            trace = traceback.format_exc()
            self.server.bus.publish(Line(source="log", level="error", text=trace))
            reply = m.Refusal(
                code="BUG-01",
                what=f"The engine met a fault of its own: {trace.strip().splitlines()[-1]}",
                safe="The run's journal stands; nothing was promoted by this.",
                next_actions=("Export the log and report this.",),
            )
        self.send(m.Answer(id=call.id, reply=reply))

    def send(self, message: m.FromEngine) -> None:
        if not self.writer.is_closing():
            self.writer.write(to_json(message) + b"\n")

    def push_threadsafe(self, event: AnyEvent) -> None:
        self.loop.call_soon_threadsafe(self.send, m.Pushed(event=event))


class Server:
    """The operator lock belongs to the first client that acts, until it leaves or another takes over."""

    def __init__(self, bus: Bus, desk: Desk, vm: VmDesk | None = None) -> None:
        self.bus = bus
        self.desk = desk
        self.vm = vm
        self.operator: Client | None = None

    async def reply(self, client: Client, say: m.AnySay) -> m.AnyReply:
        if isinstance(say, m.Hello):
            client.name = say.client
            return m.Welcome(version=self.desk.version)
        if isinstance(say, m.Follow):
            self.bus.follow(say.since, client.push_threadsafe)
            return m.Accepted()
        if isinstance(say, m.TakeOver):
            self._release_keyboard(self.operator)
            self.operator = client
            self.bus.publish(Line(source="log", text=f"{client.name} took over"))
            return m.Accepted()
        if isinstance(say, ACTS):
            self.claim(client)
        if self.vm is not None and isinstance(say, AnyVmSay):
            return await self.vm.reply(client, say)
        operator = self.operator.name if self.operator else ""
        return await asyncio.to_thread(self.desk.handle, say, operator)

    def claim(self, client: Client) -> None:
        if self.operator is None:
            self.operator = client
        if self.operator is not client:
            raise Busy(f"{self.operator.name} is in control.")

    def _release_keyboard(self, client: Client | None) -> None:
        if self.vm is not None and client is not None:
            self.vm.release(client)

    def gone(self, client: Client) -> None:
        self._release_keyboard(client)
        if self.operator is client:
            self.operator = None

    async def listen(self, path: Path) -> None:
        """Serve on the socket `path`, there only while it is listened on: who sees it can connect."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # No longer than any other name in that folder: a socket's path has at most 107 characters (unix(7)).
        early = path.with_name("~")
        early.unlink(missing_ok=True)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await Client(self, reader, writer).serve()

        server = await asyncio.start_unix_server(connected, str(early), limit=LINE_LIMIT)
        os.chmod(early, 0o660)
        ours = early.stat().st_ino
        early.rename(path)
        try:
            async with server:
                await server.serve_forever()
        finally:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == ours:  # not of the engine that came after
                    path.unlink()
