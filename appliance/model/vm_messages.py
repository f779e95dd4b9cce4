"""Messages about the twin as a VM one looks at: its serial terminal, its keyboard, its screen, pausing it."""

from __future__ import annotations

import msgspec

from appliance.model.wire import Reply, Say


class LookAtVm(Say, frozen=True, tag="look-at-vm"):
    """Answered by `VmPicture` once something newer is there, after some seconds at the latest.

    `vm`, `seen` and `scrolled` are those of the last picture; left out, all rows and lines are sent. A client
    is answered at most four times a second.
    """

    vm: str = ""
    seen: int = -1
    scrolled: int = 0


class TakeKeyboard(Say, frozen=True, tag="take-keyboard"):
    """From here on this client types in the VM. Needs the operator lock; answered by `Accepted`."""


class GiveKeyboard(Say, frozen=True, tag="give-keyboard"):
    """Give it back. Nothing happens where this client does not have it."""


class SendKeys(Say, frozen=True, tag="send-keys"):
    """`keys` as a terminal would send them. Needs the keyboard."""

    keys: bytes


class ReadVgaText(Say, frozen=True, tag="read-vga-text"):
    """The text of the VM's VGA screen: answered by `VgaText`."""


class TakeScreenshot(Say, frozen=True, tag="take-screenshot"):
    """A PNG of the VM's screen into the run's record: answered by `Screenshot`. Needs the operator lock."""


class Pause(Say, frozen=True, tag="pause"):
    """Let the run's VM stand still; no limit of the run's steps counts meanwhile. Needs the operator lock."""

    run: str


class Resume(Say, frozen=True, tag="resume"):
    """Let it go on. Needs the operator lock."""

    run: str


AnyVmSay = LookAtVm | TakeKeyboard | GiveKeyboard | SendKeys | ReadVgaText | TakeScreenshot | Pause | Resume
SMALL = (80, 40)
"""Columns and rows of `Screenshot.small`."""

VM_ACTS = (TakeKeyboard, TakeScreenshot, Pause, Resume)
"""Those that need the operator lock."""


class VmRow(msgspec.Struct, frozen=True, kw_only=True):
    """Row `number` from 0. `marked`: spans of cells, first and one past last, shown reversed."""

    number: int
    text: str
    marked: tuple[tuple[int, int], ...] = ()


class VmPicture(Reply, frozen=True, tag="vm-picture"):
    """The terminal of `vm`, 80x24; of another `vm` than was asked for it is whole. `vm` is empty for none.

    `power` is running, paused or off. `scrolled` counts the lines that have left the screen at its top,
    `older` are the newest of those. `keyboard` names the client that types, empty for none.
    """

    vm: str = ""
    run: str = ""
    power: str = "off"
    version: int = -1
    rows: tuple[VmRow, ...] = ()
    cursor: tuple[int, int] | None = None
    scrolled: int = 0
    older: tuple[str, ...] = ()
    keyboard: str = ""


class VgaText(Reply, frozen=True, tag="vga-text"):
    """`lines` is empty where the screen shows a picture: `words` says so."""

    lines: tuple[str, ...] = ()
    words: str = ""


class Screenshot(Reply, frozen=True, tag="screenshot"):
    """Where it lies in the run's record; its size in pixels.

    `small` is the same at SMALL, RGB row by row, for a terminal that can show it; it may be empty.
    """

    path: str
    width: int
    height: int
    small: bytes = b""


AnyVmReply = VmPicture | VgaText | Screenshot
