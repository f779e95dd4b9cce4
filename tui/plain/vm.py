"""The VM in line mode: its last lines, text found there, lines typed to it, its picture, pause and resume."""

from __future__ import annotations

import asyncio

from appliance.errors import ApplianceError
from appliance.model.vm_messages import VmPicture
from tui.link import Link
from tui.plain.talk import Talk
from tui.vmview import VmView

SETTLE_SECONDS = 1.0  # what a typed line brings forth is waited for this long
OLDER = 10  # lines that have left the screen are told as well
AROUND = 3  # lines told before and after one that was found
UP, DOWN = -1, 1
NO_VM = "No VM runs."


class Vm:
    """Acts on the VM of the run that goes on."""

    def __init__(self, talk: Talk, link: Link) -> None:
        self.talk, self.link = talk, link

    async def choose(self, run: str) -> None:
        """Until Enter goes back."""
        options = [
            ("look", "its terminal as it is"),
            ("find", "text it has said, the newest first"),
            ("type", "type lines to it, a dot alone ends"),
            ("vga", "the text of its VGA screen"),
            ("screenshot", "a picture of its screen into the run's record"),
            ("pause", "let it stand still; no time limit counts meanwhile"),
            ("resume", "let it go on"),
        ]
        while word := await self.talk.choose("The VM:", options):
            await self._do(word, run)

    async def _do(self, word: str, run: str) -> None:
        match word:
            case "look":
                await self.look()
            case "find":
                await self.find()
            case "type":
                await self.type_lines()
            case "vga":
                text = await self.link.call(lambda s: s.vga_text())
                self.talk.say(text.words or "The VGA screen:", *text.lines)
            case "screenshot":
                shot = await self.link.call(lambda s: s.screenshot())
                self.talk.say(f"{shot.width}x{shot.height} pixels, in {shot.path}")
            case "pause":
                await self.link.call(lambda s: s.pause(run))
                self.talk.say("The VM stands still.")
            case "resume":
                await self.link.call(lambda s: s.resume(run))
                self.talk.say("The VM goes on.")

    async def look(self) -> None:
        self._tell(await self.link.call(lambda s: s.look_at_vm()))

    def _tell(self, picture: VmPicture) -> None:
        if not picture.vm:
            self.talk.say(NO_VM)
            return
        rows = [row.text.rstrip() for row in sorted(picture.rows, key=lambda row: row.number)]
        while rows and not rows[-1]:
            rows.pop()
        self.talk.say(f"VM {picture.vm}, {picture.power}:", *picture.older[-OLDER:], *rows)

    async def find(self) -> None:
        """The newest line with the text among those around it, then further up or down until Enter."""
        wanted = await self.talk.ask("Text to find (Enter goes back):")
        if not wanted:
            return
        view = VmView()
        view.take(await self.link.call(lambda s: s.look_at_vm()))
        if not view.picture.vm:
            self.talk.say(NO_VM)
            return
        at, step = len(view.texts), UP
        while True:
            found = view.find(wanted, at, step)
            if found >= 0:
                at = found
                self._tell_around(view.texts, at)
            else:
                self.talk.say(f'"{wanted}" is not in the lines {"above" if step == UP else "below"}.')
                if at == len(view.texts):
                    return
            way = await self.talk.choose("Find it again?", [("up", "further up"), ("down", "further down")])
            if not way:
                return
            step = UP if way == "up" else DOWN

    def _tell_around(self, texts: list[str], at: int) -> None:
        first, last = max(0, at - AROUND), min(len(texts), at + AROUND + 1)
        self.talk.say(f"Line {at + 1} of {len(texts)}:")
        for number in range(first, last):
            self.talk.say(texts[number].rstrip(), first=" > " if number == at else "   ", indent="   ")

    async def type_lines(self) -> None:
        """Take the keyboard, send lines until a dot alone, give it back whatever happens."""
        await self.link.call(lambda s: s.take_keyboard())
        self.talk.say("The keyboard is the VM's. A dot alone gives it back.")
        try:
            while (said := await self.talk.ask("VM>")) != ".":
                keys = said.encode() + b"\r"
                await self.link.call(lambda s, keys=keys: s.send_keys(keys))  # type: ignore[misc]
                await asyncio.sleep(SETTLE_SECONDS)
                await self.look()
        finally:
            await self._give_back()

    async def _give_back(self) -> None:
        try:
            await self.link.call(lambda s: s.give_keyboard())
        except ApplianceError:
            self.talk.say("The keyboard could not be given back: the engine does not answer.")
