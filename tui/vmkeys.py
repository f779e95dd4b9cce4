"""A key press as the bytes a terminal sends for it. Pure, no Textual."""

from __future__ import annotations

# VT220 and xterm forms, as terminfo's vt220 and linux read them ("Function Keys", XTerm Control Sequences).
_NAMED = {
    "enter": b"\r",
    "backspace": b"\x7f",
    "tab": b"\t",
    "escape": b"\x1b",
    "ctrl+@": b"\x00",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "home": b"\x1b[1~",
    "insert": b"\x1b[2~",
    "delete": b"\x1b[3~",
    "end": b"\x1b[4~",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "shift+tab": b"\x1b[Z",
    "f1": b"\x1bOP",
    "f2": b"\x1bOQ",
    "f3": b"\x1bOR",
    "f4": b"\x1bOS",
    **{
        f"f{number}": b"\x1b[%d~" % code
        for number, code in zip(range(5, 13), (15, 17, 18, 19, 20, 21, 23, 24), strict=True)
    },
}


def bytes_of(key: str, character: str | None) -> bytes:
    """Empty for a key that no terminal sends anything for."""
    if key.startswith("alt+"):
        rest = bytes_of(key[4:], character)
        return b"\x1b" + rest if rest else b""
    if key in _NAMED:
        return _NAMED[key]
    if character is not None and len(character) == 1:
        return character.encode(errors="replace")
    letter = key.removeprefix("ctrl+")
    if letter != key and len(letter) == 1 and letter.isalpha():
        return bytes((ord(letter.upper()) - 64,))
    return b""
