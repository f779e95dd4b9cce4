"""A VM for the FakeEngine: the engine's own terminal, fed by the test, answered as the engine does."""

from __future__ import annotations

from appliance.errors import Refused
from appliance.model import messages as m
from appliance.model import vm_messages as v
from appliance.twin.terminal import Terminal
from tests.tui.engine import FakeEngine

VGA = ("GRUB loading.", "error: no such partition.", "grub rescue> _")


class FakeVm:
    """`typed` is what reached it; `holder` has its keyboard."""

    def __init__(self, engine: FakeEngine, client: str = "tty1") -> None:
        self.terminal = Terminal()
        self.client = client
        self.holder = ""
        self.typed = b""
        self.power = "running"
        self.looks = 0
        self.vga = VGA
        engine.script |= {
            v.LookAtVm: self.look,
            v.TakeKeyboard: self.take,
            v.GiveKeyboard: self.give,
            v.SendKeys: self.keys,
            v.ReadVgaText: lambda _: v.VgaText(
                lines=self.vga, words="" if self.vga else "It shows a picture."
            ),
            v.TakeScreenshot: lambda _: v.Screenshot(
                path="/run/x/screenshots/1-work.png", width=720, height=400
            ),
            v.Pause: lambda _: self.stand("paused"),
            v.Resume: lambda _: self.stand("running"),
        }

    def look(self, say: v.LookAtVm) -> v.VmPicture:
        self.looks += 1
        if self.power == "none":
            return v.VmPicture()
        same = say.vm == "twinboot-tb1-work"
        view = self.terminal.view(say.seen, say.scrolled) if same else self.terminal.view()
        return v.VmPicture(
            vm="twinboot-tb1-work",
            run="tb1",
            power=self.power,
            version=view.version,
            rows=tuple(v.VmRow(number=n, text=row.text, marked=row.marked) for n, row in view.rows),
            cursor=view.cursor,
            scrolled=view.scrolled,
            older=view.older,
            keyboard=self.holder,
        )

    def take(self, say: v.TakeKeyboard) -> m.Accepted:
        self.holder = self.client
        return m.Accepted()

    def give(self, say: v.GiveKeyboard) -> m.Accepted:
        self.holder = ""
        return m.Accepted()

    def keys(self, say: v.SendKeys) -> m.Accepted:
        if self.holder != self.client:
            raise Refused(("The keyboard of the VM is not yours: take it first.",))
        self.typed += say.keys
        return m.Accepted()

    def stand(self, power: str) -> m.Accepted:
        self.power = power
        return m.Accepted()
