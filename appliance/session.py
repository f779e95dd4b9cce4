"""The one door for both front ends: a client speaking typed messages over the engine's unix socket."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from appliance.errors import ApplianceError, DamagedData, EngineGone
from appliance.model import messages as m
from appliance.model import service_messages as sm
from appliance.model import vm_messages as v
from appliance.model.codec import from_json, to_json
from appliance.model.events import AnyEvent
from appliance.model.machine import Machine
from appliance.model.plan import Plan, Request

R = TypeVar("R", bound=m.Reply)
LINE_LIMIT = 64 * 1024 * 1024


def socket_path() -> Path:
    """Where the engine listens; TWINBOOT_SOCKET overrides for tests and recorded machines."""
    return Path(os.environ.get("TWINBOOT_SOCKET", "/run/twinboot/engine.sock"))


class SaidNo(ApplianceError):
    """The engine refused or failed; carries its own code, safety sentence and next actions."""

    def __init__(self, refusal: m.Refusal) -> None:
        super().__init__(refusal.what, safe=refusal.safe, next_actions=refusal.next_actions)
        self.code = refusal.code
        self.reasons = refusal.reasons
        self.warnings = refusal.warnings
        self.elsewhere = refusal.elsewhere
        self.exit_code = refusal.exit_code


class Session:
    """One connection. Use as an async context manager; every call raises SaidNo or EngineGone."""

    def __init__(self, client: str, path: Path | None = None) -> None:
        self.client = client
        self.path = path or socket_path()
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[m.AnyReply]] = {}
        self._events: asyncio.Queue[AnyEvent | None] = asyncio.Queue()
        self._reader_task: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Session:
        try:
            reader, self._writer = await asyncio.open_unix_connection(str(self.path), limit=LINE_LIMIT)
        except OSError as error:
            raise EngineGone(f"The engine does not answer at {self.path}: {error.strerror}.") from None
        self._reader_task = asyncio.create_task(self._read(reader))
        await self._ask(m.Hello(client=self.client), m.Welcome)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader_task is not None:
            self._reader_task.cancel()
        if self._writer is not None:
            self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                message: m.FromEngine = from_json(line, m.FromEngine, "the engine's message")
                if isinstance(message, m.Pushed):
                    self._events.put_nowait(message.event)
                elif isinstance(message, m.Answer):
                    waiter = self._waiting.pop(message.id, None)
                    if waiter is not None and not waiter.done():  # whoever asked may have given up meanwhile
                        waiter.set_result(message.reply)
        except (OSError, ValueError, DamagedData):
            pass
        finally:
            self._events.put_nowait(None)
            for waiter in self._waiting.values():
                if not waiter.done():
                    waiter.set_exception(EngineGone("The engine closed the connection."))
            self._waiting.clear()

    async def _ask(self, say: m.AnySay, kind: type[R]) -> R:
        if self._writer is None or self._reader_task is None or self._reader_task.done():
            raise EngineGone("There is no connection to the engine.")
        number = next(self._ids)
        waiter: asyncio.Future[m.AnyReply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiter
        try:
            self._writer.write(to_json(m.Call(id=number, say=say)) + b"\n")
            await self._writer.drain()
            reply = await waiter
        finally:
            self._waiting.pop(number, None)  # whoever asked may have gone: the answer then is for nobody
        if isinstance(reply, m.Refusal):
            raise SaidNo(reply)
        if not isinstance(reply, kind):
            raise EngineGone(f"The engine answered {type(reply).__name__} where {kind.__name__} was due.")
        return reply

    async def inspect(self, fresh: bool = False) -> Machine:
        return (await self._ask(m.Inspect(fresh=fresh), m.Found)).machine

    async def unlock(self, uuid: str, passphrase: bytes) -> Machine:
        """The machine with what lies in the encrypted device, unlocked as long as the engine lives."""
        return (await self._ask(m.Unlock(uuid=uuid, passphrase=passphrase), m.Found)).machine

    async def status(self) -> m.Status:
        return await self._ask(m.GetStatus(), m.Status)

    async def plan(self, request: Request) -> m.Planned:
        return await self._ask(m.MakePlan(request=request), m.Planned)

    async def start(self, plan: Plan, dry: bool = False) -> m.Accepted:
        return await self._ask(m.Start(plan=plan, dry=dry), m.Accepted)

    async def approve(self, run: str, gate: str, typed: str = "") -> None:
        await self._ask(m.Approve(run=run, gate=gate, typed=typed), m.Accepted)

    async def cancel(self, run: str) -> None:
        await self._ask(m.Cancel(run=run), m.Accepted)

    async def take_over(self) -> None:
        await self._ask(m.TakeOver(), m.Accepted)

    async def record(self, run: str) -> m.RecordOf:
        return await self._ask(m.GetRecord(run=run), m.RecordOf)

    async def power(self, act: str) -> None:
        await self._ask(m.Power(act=act), m.Accepted)

    async def export(self, run: str = "", to: str = sm.STICK) -> sm.Exported:
        return await self._ask(sm.Export(run=run, to=to), sm.Exported)

    async def plan_files(self) -> sm.PlanFiles:
        return await self._ask(sm.GetPlanFiles(), sm.PlanFiles)

    async def save_plan_file(self, say: sm.SavePlanFile) -> sm.PlanSaved:
        return await self._ask(say, sm.PlanSaved)

    async def look_at_vm(self, vm: str = "", seen: int = -1, scrolled: int = 0) -> v.VmPicture:
        return await self._ask(v.LookAtVm(vm=vm, seen=seen, scrolled=scrolled), v.VmPicture)

    async def take_keyboard(self) -> None:
        await self._ask(v.TakeKeyboard(), m.Accepted)

    async def give_keyboard(self) -> None:
        await self._ask(v.GiveKeyboard(), m.Accepted)

    async def send_keys(self, keys: bytes) -> None:
        await self._ask(v.SendKeys(keys=keys), m.Accepted)

    async def vga_text(self) -> v.VgaText:
        return await self._ask(v.ReadVgaText(), v.VgaText)

    async def screenshot(self) -> v.Screenshot:
        return await self._ask(v.TakeScreenshot(), v.Screenshot)

    async def pause(self, run: str) -> None:
        await self._ask(v.Pause(run=run), m.Accepted)

    async def resume(self, run: str) -> None:
        await self._ask(v.Resume(run=run), m.Accepted)

    async def network(self) -> sm.Network:
        return await self._ask(sm.GetNetwork(), sm.Network)

    async def set_network(self, say: sm.SetNetwork | sm.SetProxy) -> sm.Network:
        return await self._ask(say, sm.Network)

    async def blink(self, link: str) -> None:
        await self._ask(sm.Blink(link=link), m.Accepted)

    async def on_stick(self) -> sm.OnStick:
        return await self._ask(sm.GetStick(), sm.OnStick)

    async def packages(self, system: str, find: str = "") -> sm.PackageList:
        return await self._ask(sm.GetPackages(system=system, find=find), sm.PackageList)

    async def write_wanted(self, say: sm.WriteWanted) -> sm.WantedWritten:
        return await self._ask(say, sm.WantedWritten)

    async def open_shell(self) -> sm.ShellReady:
        return await self._ask(sm.OpenShell(client=self.client), sm.ShellReady)

    async def shell_closed(self, log: str, status: int) -> None:
        await self._ask(sm.ShellClosed(log=log, status=status), m.Accepted)

    async def ssh(self) -> sm.SshState:
        return await self._ask(sm.GetSsh(), sm.SshState)

    async def set_ssh(self, on: bool) -> sm.SshState:
        return await self._ask(sm.SetSsh(on=on), sm.SshState)

    async def keyboard(self) -> str:
        return (await self._ask(sm.GetKeyboard(), sm.KeyboardIs)).code

    async def set_keyboard(self, code: str) -> str:
        return (await self._ask(sm.SetKeyboard(code=code), sm.KeyboardIs)).code

    async def follow(self, since: int = 0) -> AsyncIterator[AnyEvent]:
        """Events after number `since`, until the engine closes the connection."""
        await self._ask(m.Follow(since=since), m.Accepted)
        while (event := await self._events.get()) is not None:
            yield event
