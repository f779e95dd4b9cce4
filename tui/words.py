"""Sizes, times, states and sentences as a person reads them. Pure text, no Textual."""

from __future__ import annotations

import re
import textwrap
import time
import unicodedata

from rich.cells import cell_len

from appliance.model.lineage import State
from appliance.model.plan import FULL, Plan

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor moves, reports
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, SOS, PM, APC with their payload
    r"|\x1b[ -/]*[0-~]",  # the short ones
    re.DOTALL,
)
# Characters that move the cursor, reorder text or join invisibly: none of them belongs on a screen.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)

STATE_SENTENCES = {
    State.SNAPPED: "snapshot taken, not patched yet",
    State.PATCHED: "patched, not tested yet",
    State.TESTED: "tested, not sealed",
    State.SEALED: "tested and sealed: can be promoted",
    State.STAGED: "its kernel and entry are in /boot; the old system still boots",
    State.ARMED: "the next boot tries it once",
    State.TRIAL: "booted once, not kept yet",
    State.KEPT: "this machine boots it",
    State.FALLBACK: "boots if the other does not come up",
    State.RETIRED: "its space has been given back",
    State.INVALID: "ran out of space or was damaged",
    State.FAILED: "the rehearsal failed; nothing to promote",
}


def clean(text: str) -> str:
    """`text` without escape sequences, control and direction characters; tabs become spaces."""
    return _UNSAFE.sub("", _ESCAPES.sub("", text.expandtabs(8)))


def fit(text: str, width: int) -> str:
    """`text` in exactly `width` cells: padded, or cut with the cut marked by "~"."""
    length = cell_len(text)
    if length <= width:
        return text + " " * (width - length)
    if width <= 0:
        return ""
    kept = ""
    for character in text:
        if cell_len(kept + character) > width - 1:
            break
        kept += character
    return kept + "~" + " " * (width - 1 - cell_len(kept))


def wrap(text: str, width: int, indent: str = "", first: str | None = None) -> list[str]:
    """`text` in lines of at most `width` cells; `first` starts the first line, `indent` the others."""
    lines = textwrap.wrap(
        clean(text),
        max(width, 20),
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return lines or [(indent if first is None else first).rstrip()]


def size(count: float) -> str:
    """Bytes as "1.2 GiB"."""
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    value = float(count)
    for unit in units:
        if abs(value) < 1024 or unit == units[-1]:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f}"


def room(plan: Plan) -> str:
    """What a run is expected to write, and what there is for it."""
    return (
        f"about {size(plan.expected_bytes)} of {size(plan.free_bytes)} free "
        f"(to the {FULL:.0f} % mark) in {plan.pool}"
    )


def duration(seconds: float) -> str:
    """Seconds as "8 min 12 s"."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {left:02} s" if minutes else f"{left} s"


def clock(seconds: float) -> str:
    """Seconds as "6:35" or "1:02:03"."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def about(seconds: float) -> str:
    """A rough "about 9 min", never more exact than an estimate can be."""
    if seconds < 50:
        return "less than a minute"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 90 else f"about {minutes / 60:.1f} h"


def moment(at: float) -> str:
    """Time of day of an event, seconds since the epoch, "10:22:40"."""
    return time.strftime("%H:%M:%S", time.localtime(at)) if at else "--:--:--"


def day(at: float) -> str:
    """Date and time, "22 Nov 09:40"; empty for 0."""
    return time.strftime("%d %b %H:%M", time.localtime(at)).lstrip("0") if at else ""


def count(number: int, singular: str, plural: str = "") -> str:
    """`count(1, "write")` is "1 write", `count(3, "write")` is "3 writes"."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def state_word(state: State | None) -> str:
    return state.value if state else "INSTALLED"


def state_sentence(state: State | None) -> str:
    return STATE_SENTENCES[state] if state else "the system this machine was installed with"


def to_ascii(text: str) -> str:
    """`text` in printable ASCII with the same number of cells, so that nothing moves."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_ascii_of(character) for character in text)


_ASCII = {
    **dict.fromkeys("─━═╌┄", "-"),
    **dict.fromkeys("│┃║╎┆", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╔╗╚╝╠╣╦╩╬", "+"),
    **dict.fromkeys("█▓", "#"),
    **dict.fromkeys("▒░", "."),
    **dict.fromkeys("‘’‚‛′", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—−", "-"),
    **dict.fromkeys("•·●○", "*"),
    **dict.fromkeys("→▶►▸", ">"),
    **dict.fromkeys("←◀◄◂", "<"),
    **dict.fromkeys("↑▲", "^"),
    **dict.fromkeys("↓▼", "v"),
    "…": "~",
    "✓": "+",
    "✗": "x",
    "\u00a0": " ",
}


def _ascii_of(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else ""
    if character in _ASCII:
        return _ASCII[character]
    cells = cell_len(character)
    base = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return base if len(base) == cells and base.isprintable() else "?" * cells
