"""What the twin says on its serial console: the log file's bytes, and lines fit for a screen."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Escape sequences (ECMA-48: CSI, OSC and the two-byte ones), then every other control character.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

LONGEST = 500
"""Characters of a line; the guest decides what it writes."""


def clean(text: str) -> str:
    """`text` without escape sequences and control characters: the guest's words are hostile."""
    return _CONTROL.sub("", _ESCAPES.sub("", text)).rstrip()[:LONGEST]


@dataclass(slots=True)
class ConsoleReader:
    """Reads on in a log file that grows, is missing at first, or is begun anew."""

    path: Path
    _at: int = 0
    _rest: bytes = b""
    _inode: int = 0

    def new_bytes(self) -> bytes:
        """What was written since the last call, raw: for a terminal emulator."""
        try:
            with self.path.open("rb") as log:
                inode = os.fstat(log.fileno()).st_ino
                size = log.seek(0, 2)
                if inode != self._inode or size < self._at:
                    self._at, self._inode, self._rest = 0, inode, b""
                log.seek(self._at)
                data = log.read(1 << 20)
        except FileNotFoundError:
            return b""
        self._at += len(data)
        return data

    def new_lines(self) -> list[str]:
        """Whole lines written since the last call, cleaned, empty ones dropped."""
        return self.lines(self.new_bytes())

    def lines(self, data: bytes) -> list[str]:
        *whole, self._rest = (self._rest + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = self._rest[-65536:]
        lines = (clean(line.decode(errors="replace")) for line in whole)
        return [line for line in lines if line]


# (what a console says where nobody but a person gets it further, in words of ours). "Kernel panic" is the
# kernel's own; the prompts are initramfs-tools' busybox, dracut's emergency shell and GRUB's rescue shell.
_ENDS = (
    (re.compile(r"Kernel panic - not syncing: (.*)"), "its kernel panics"),
    (re.compile(r"^\(initramfs\)"), "it stops in its initrd, before the root volume is mounted"),
    (re.compile(r"^dracut:/#"), "it stops in its initrd, before the root volume is mounted"),
    (re.compile(r"^grub rescue>"), "GRUB finds neither its files nor its configuration"),
)


def dead_end(path: Path, since: int) -> str:
    """Why a boot will not go on by itself, from what was said after byte `since`; empty where it may."""
    try:
        with path.open("rb") as log:
            log.seek(max(since, path.stat().st_size - (1 << 20)))
            data = log.read()
    except FileNotFoundError:
        return ""
    for line in data.replace(b"\r", b"\n").split(b"\n"):
        said = clean(line.decode(errors="replace"))
        for pattern, words in _ENDS:
            if found := pattern.search(said):
                cause = found[1].strip() if found.groups() else ""
                return f"{words} ({cause})" if cause else words
    return ""


def follow(
    path: Path,
    tell: Callable[[str], None],
    stop: threading.Event,
    every: float = 0.2,
    feed: Callable[[bytes], None] = lambda _: None,
) -> threading.Thread:
    """A thread that hands each new line of `path` to `tell`, and all bytes to `feed`, until `stop` is set."""
    reader = ConsoleReader(path)

    def read_on() -> None:
        while True:
            ending = stop.wait(every)
            data = reader.new_bytes()
            feed(data)
            for line in reader.lines(data):
                tell(line)
            if ending:
                return

    thread = threading.Thread(target=read_on, name="twin-console", daemon=True)
    thread.start()
    return thread


def tail(path: Path, count: int = 40) -> list[str]:
    """The last `count` lines, for an error message or the record."""
    try:
        data = path.read_bytes()[-65536:]
    except FileNotFoundError:
        return []
    lines = (clean(line.decode(errors="replace")) for line in data.replace(b"\r", b"\n").split(b"\n"))
    return [line for line in lines if line][-count:]
