"""Tells the person at the keyboard what the build is doing, and how long each stage took."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO


@dataclass(slots=True)
class Progress:
    """Prints one line per stage; `stages` holds (name, seconds) of those that are done."""

    out: TextIO = sys.stdout
    stages: list[tuple[str, float]] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(text, file=self.out, flush=True)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times what happens inside; a stage that fails is named as such."""
        self.say(f"{name} ...")
        started = time.monotonic()
        try:
            yield
        except BaseException:
            self.say(f"{name}: FAILED after {time.monotonic() - started:.0f} s")
            raise
        seconds = time.monotonic() - started
        self.stages.append((name, seconds))
        self.say(f"{name}: {seconds:.1f} s")

    @contextmanager
    def following(self, log: Path, marker: str) -> Iterator[None]:
        """While inside, repeats what follows `marker` in each new line of the growing file `log`."""
        done = threading.Event()
        reader = threading.Thread(target=self._follow, args=(log, marker, done), daemon=True)
        reader.start()
        try:
            yield
        finally:
            done.set()
            reader.join()

    def _follow(self, log: Path, marker: str, done: threading.Event) -> None:
        started, offset, last = time.monotonic(), 0, ""
        while not done.wait(1.0):
            if not log.exists():
                continue
            with log.open(errors="replace") as file:
                file.seek(offset)
                text = file.read()
                offset = file.tell()
            for line in text.splitlines():
                _, found, what = line.partition(marker)
                if found and what.strip() != last:
                    last = what.strip()
                    self.say(f"    {time.monotonic() - started:4.0f} s  {last}")
