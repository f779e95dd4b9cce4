"""The twin as a VM that is looked at: its terminal, its keyboard, its screen, and letting it stand still."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol
from weakref import WeakKeyDictionary

from appliance.engine.bus import Bus
from appliance.engine.runs import Going, Runs
from appliance.errors import ApplianceError, Refused
from appliance.host.files import write_atomic
from appliance.model import messages as m
from appliance.model import vm_messages as v
from appliance.model.events import Line, Paused, Resumed
from appliance.twin.hypervisor import PowerState
from appliance.twin.lines import ConsoleLine
from appliance.twin.picture import small
from appliance.twin.twin import Twin
from appliance.twin.vga import png_size

APART = 0.25
"""Seconds between two pictures for one client."""

HOLD = 2.0
"""Seconds an unchanged picture is held back; then it is sent, since power or keyboard may have changed."""

LOOK = 0.05
PICTURES = "screenshots"


class Looker(Protocol):
    """A client as the server knows it."""

    name: str


class VmDesk:
    """Answers every message of vm_messages. Which client is the operator, the server has checked."""

    def __init__(self, bus: Bus, runs: Runs) -> None:
        self.bus = bus
        self.runs = runs
        self._holder: Looker | None = None
        self._line: ConsoleLine | None = None
        self._typed_on: Twin | None = None
        self._answered: WeakKeyDictionary[Looker, float] = WeakKeyDictionary()

    async def reply(self, client: Looker, say: v.AnyVmSay) -> m.AnyReply:
        """Raises ApplianceError."""
        if isinstance(say, v.LookAtVm):
            return await self._look(client, say)
        return await asyncio.to_thread(self._act, client, say)

    def _act(self, client: Looker, say: v.AnyVmSay) -> m.AnyReply:
        match say:
            case v.TakeKeyboard():
                self._take(client)
            case v.GiveKeyboard():
                self.release(client)
            case v.SendKeys():
                self._type(client, say.keys)
            case v.ReadVgaText():
                return self._vga_text()
            case v.TakeScreenshot():
                return self._screenshot()
            case v.Pause():
                self._pause(say.run)
            case v.Resume():
                self._resume(say.run)
        return m.Accepted()

    # Looking.

    async def _look(self, client: Looker, say: v.LookAtVm) -> v.VmPicture:
        last = self._answered.get(client, 0.0)
        await asyncio.sleep(max(0.0, last + APART - time.monotonic()))
        end = time.monotonic() + HOLD
        while time.monotonic() < end:
            twin = self._twin()
            if twin is not None and (twin.name, twin.terminal.version) != (say.vm, say.seen):
                break
            await asyncio.sleep(LOOK)
        picture = await asyncio.to_thread(self._picture, say)
        self._answered[client] = time.monotonic()
        return picture

    def _twin(self) -> Twin | None:
        going = self.runs.going
        return going.twin if going is not None else None

    def _picture(self, say: v.LookAtVm) -> v.VmPicture:
        going = self.runs.going
        twin = going.twin if going is not None else None
        if going is None or twin is None:
            return v.VmPicture()
        same = say.vm == twin.name
        view = twin.terminal.view(say.seen, say.scrolled) if same else twin.terminal.view()
        return v.VmPicture(
            vm=twin.name,
            run=going.plan.names.run,
            power=twin.state().value,
            version=view.version,
            rows=tuple(v.VmRow(number=n, text=row.text, marked=row.marked) for n, row in view.rows),
            cursor=view.cursor,
            scrolled=view.scrolled,
            older=view.older,
            keyboard=self._holder.name if self._holder is not None else "",
        )

    # The keyboard.

    def _take(self, client: Looker) -> None:
        _, twin = self._on()
        self._drop_line()
        self._line, self._typed_on = twin.open_console(), twin
        if self._holder is not client:
            self.bus.publish(Line(source="run", text=f"{client.name} has the keyboard of the twin"))
        self._holder = client

    def _type(self, client: Looker, keys: bytes) -> None:
        if self._holder is not client:
            raise Refused(("The keyboard of the VM is not yours: take it first.",))
        _, twin = self._on()
        if self._line is None or self._line.ended or twin is not self._typed_on:
            self._take(client)
        assert self._line is not None
        try:
            self._line.send(keys)
        except ApplianceError:
            # The VM was started anew meanwhile, or its line was taken: the next key opens it again.
            self._drop_line()
            raise

    def release(self, client: Looker) -> None:
        """Take the keyboard from `client`, where it has it."""
        if self._holder is client:
            self._holder = None
            self._drop_line()
            self.bus.publish(Line(source="run", text=f"{client.name} gave the twin's keyboard back"))

    def _drop_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    # Its screen.

    def _vga_text(self) -> v.VgaText:
        _, twin = self._on()
        lines = twin.vga_text()
        words = "" if lines else "The VM's screen shows a picture, no text: take a screenshot of it."
        return v.VgaText(lines=lines, words=words)

    def _screenshot(self) -> v.Screenshot:
        going, twin = self._on()
        png = twin.screenshot()
        width, height = png_size(png)
        name = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        path = going.folder / PICTURES / f"{name}-{twin.setup.part}.png"
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, png)
        except OSError as error:
            raise ApplianceError(f"The screenshot could not be kept: {error.strerror}.") from None
        self.bus.publish(Line(source="run", text=f"screenshot {path.name}, {width}x{height}"))
        return v.Screenshot(path=str(path), width=width, height=height, small=small(png, *v.SMALL))

    # Standing still.

    def _pause(self, run: str) -> None:
        self.runs.named(run)
        _, twin = self._on()
        twin.pause()
        self.bus.publish(Paused(run=run))

    def _resume(self, run: str) -> None:
        twin = self.runs.named(run).twin
        if twin is None:
            raise Refused((f"The run {run} is not paused.",))
        self.bus.publish(Resumed(run=run, seconds=twin.resume()))

    def _on(self) -> tuple[Going, Twin]:
        """The run and its twin, whose VM is on. Raises Refused where none is."""
        going = self.runs.going
        twin = going.twin if going is not None else None
        if going is None or twin is None or twin.state() is PowerState.OFF:
            raise Refused(("No VM runs at the moment: only while a run's twin is on can this be done.",))
        return going, twin
