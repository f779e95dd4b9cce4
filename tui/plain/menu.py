"""The loop of the line mode: what is there, what can be done, what was chosen."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from appliance.errors import EngineGone
from appliance.model.machine import Firmware
from appliance.model.plan import Verb
from tui import describe
from tui.link import Link
from tui.plain import told
from tui.plain.acts import Acts
from tui.plain.looks import Looks
from tui.plain.talk import Left, Talk, WrongAnswer
from tui.plain.vm import Vm
from tui.plain.watch import Ear, Watch

ENGINE_SECONDS = 60.0  # a script does not wait longer for an engine
WORDS_AT_LEAVING = "Left. A run goes on without this terminal; twinboot --plain comes back to it."
WRONG_STATUS = 2

Option = tuple[str, str, Callable[[], Awaitable[None]]]


class Menu:
    """One conversation with one engine."""

    def __init__(self, talk: Talk, client: str, socket: Path | None = None) -> None:
        self.talk = talk
        self.ear = Ear(client, lambda words: talk.say(f"[!] {words}"))
        self.link = Link(client, self.ear, socket)
        self.acts = Acts(talk, self.link, self.ear)
        self.looks, self.vm = Looks(self.acts), Vm(talk, self.link)

    async def converse(self) -> int:
        """Until it is left. The status is that of the last act that went wrong, 0 where none did."""
        self.talk.listen()
        link = asyncio.create_task(self.link.run())
        try:
            await self._arrive()
            await self.home()
            while True:
                await self._once()
        except Left:
            self.talk.say(WORDS_AT_LEAVING)
            return self.acts.status
        except WrongAnswer:
            self.talk.say("Nothing more is done for this script. A run that goes on goes on.")
            return WRONG_STATUS
        except EngineGone as problem:
            self.talk.say(*told.error(problem))
            return problem.exit_code
        finally:
            link.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await link

    async def _arrive(self) -> None:
        """Wait for the engine's first status, which needs the disks to be read. Raises EngineGone."""
        ear, began, told_words = self.ear, time.monotonic(), ""
        self.talk.say("Twinboot, line mode. Type a number or a word, then Enter. Ctrl-C leaves.")
        while ear.status is None:
            words = ear.machine_words if ear.connected else ear.engine_words
            if words != told_words and time.monotonic() - began > 1:
                self.talk.say(told_words := words)
            if not ear.connected and not self.talk.person and time.monotonic() - began > ENGINE_SECONDS:
                raise EngineGone("The engine does not answer.")
            await asyncio.sleep(0.05)
        Watch.forget(ear)  # it is in the log

    async def _once(self) -> None:
        self.link.refresh()
        options = self.options()
        chosen = await self.talk.choose(
            self._title(), [(word, text) for word, text, _ in options], back=False
        )
        act = next(act for word, _, act in options if word == chosen)
        await self.acts.guarded(act)
        await self._settle()

    async def _settle(self) -> None:
        """What an act changed is asked for before the next menu is made."""
        with contextlib.suppress(EngineGone):
            await self.acts.guarded(self._status)

    async def _status(self) -> None:
        self.ear.take_status(await self.link.call(lambda s: s.status()))

    def _title(self) -> str:
        run = self.ear.run
        if run is not None and not run.over:
            if run.gate:
                return f"{run.run} WAITS FOR YOU: {run.gate_sentence}"
            return f"{run.run} goes on. What do you want to do?"
        return "What do you want to do?"

    def options(self) -> list[Option]:
        """Every act that is possible, by number and word; those on a run first while it needs somebody."""
        acts, run = self.acts, self.ear.run
        found: list[Option] = []
        if run is not None and run.gate and not run.over:
            found.append(("go-on", "let the run go on (asks)", acts.go_on))
        if run is not None and not run.over:
            found.append(("watch", "watch the run", lambda: acts.watch(run.run)))
            found.append(("vm", "the VM: look at it, type, picture, pause", lambda: self.vm.choose(run.run)))
            found.append(("cancel", "stop the run and delete what it made (asks)", acts.cancel))
        else:
            found.append(("rehearse", "rehearse a patch on a twin of this machine", acts.rehearse))
            found.append(("repair", "mend a copy of a system that does not boot well", acts.repair))
        if acts.nodes():
            found.append(("verdict", "the verdict of a run", self.looks.verdict))
        for verb, text in (
            (Verb.PROMOTE, "let the next boot try the patched system once (asks)"),
            (Verb.ROLLBACK, "boot the old system again; nothing is deleted (asks)"),
            (Verb.KEEP, "make the trial permanent (asks)"),
            (Verb.RETIRE, "delete volumes no longer wanted (asks)"),
        ):
            if acts.nodes(verb):
                found.append((verb.value, text, partial(acts.act, verb)))
        if acts.nodes():
            found.append(("undo", "delete all that Twinboot made here (asks)", partial(acts.act, Verb.UNDO)))
        return [*found, *self._always()]

    def _always(self) -> list[Option]:
        acts, status = self.acts, self.ear.status
        shut = acts.machine is not None and acts.machine.locked
        found: list[Option] = [("unlock", "look into an encrypted device", self.unlock)] if shut else []
        found += [
            ("home", "machine, volumes, what boots next", self.home),
            ("machine", "everything that was found on this machine", self.machine),
            ("inspect", "read the disks again", self.inspect),
            ("boot", "entries as the loader reads them, history, space", self.looks.boot),
            ("log", "the log", self.looks.log),
            ("export", "a run's record, without secrets", self._export),
            ("plans", "plan files on the stick", acts.services.plans),
            ("wanted", "no network: what this machine would fetch, to the stick", acts.wanted),
            ("network", "ports, addresses, proxy", acts.services.network),
            ("ssh", "log in to this console from elsewhere (asks)", acts.services.ssh),
            ("keyboard", "the layout at the machine's own screen", acts.services.keyboard),
            ("shell", "a root shell on this terminal, logged (asks)", acts.services.shell),
        ]
        if status is not None and status.operator not in ("", self.ear.client):
            found.append(("take-over", f"{status.operator} is in control: take over (asks)", acts.take_over))
        found.append(("reboot", "restart this machine (asks)", lambda: acts.power("reboot")))
        found.append(("poweroff", "switch this machine off (asks)", lambda: acts.power("poweroff")))
        if acts.machine is not None and acts.machine.firmware is Firmware.UEFI:
            words = "restart into the firmware's setup (asks)"
            found.append(("firmware", words, lambda: acts.power("firmware")))
        return [*found, ("quit", "leave; a run goes on", self.leave)]

    async def home(self) -> None:
        ear = self.ear
        self.talk.say("", *told.home(ear.status, ear.machine, ear.machine_words))

    async def machine(self) -> None:
        if self.ear.machine is not None:
            rows = describe.machine_page(self.ear.machine, self.ear.status, told.WIDTH)
            self.talk.say("", *(told.text_of(row).replace("───", "").strip("─ ") for row in rows))

    async def inspect(self) -> None:
        self.ear.take_machine(await self.link.call(lambda s: s.inspect(fresh=True)))
        await self.home()

    async def unlock(self) -> None:
        locked = self.ear.machine.locked if self.ear.machine else ()
        machine = await self.acts.services.unlock(locked)
        if machine is not None:
            self.ear.take_machine(machine)
            await self.home()

    async def _export(self) -> None:
        await self.acts.services.export([node.run for node in self.acts.nodes()])

    async def leave(self) -> None:
        raise Left


def main(client: str) -> int:
    """The line mode on this process's own input and output. Ctrl-C leaves it with 130; no run is stopped."""
    talk = Talk(sys.stdin, sys.stdout)
    try:
        return asyncio.run(Menu(talk, client).converse())
    except KeyboardInterrupt:
        talk.say("", WORDS_AT_LEAVING)
        return 130
