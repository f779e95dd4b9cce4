"""APT's status stream and log, told as events: bytes while it fetches, packages while it installs."""

from __future__ import annotations

import re
from collections.abc import Callable

from appliance.model.events import Line, Progress
from appliance.model.plain import plain
from appliance.patching.base import Tell
from appliance.patching.job import News

_SETTLED = 20.0  # seconds of a phase before its pace says anything
_STALL = 30.0  # seconds without a change after which a promise of time left would be a guess
_ERROR = re.compile(r"^(E:|dpkg: error|Err:\d)")
_WARNING = re.compile(r"^(W:|dpkg: warning|N:)")


class Pace:
    """Time left of one phase from its own speed; -1 where nothing honest can be said."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start = self._moved = clock()
        self._last = 0.0

    def left(self, fraction: float) -> float:
        """Seconds left at `fraction` (0 to 1) of the work."""
        now = self._clock()
        if fraction > self._last:
            self._last, self._moved = fraction, now
        spent = now - self._start
        if fraction < 0.1 or spent < _SETTLED or now - self._moved > _STALL:
            return -1.0
        return spent * (1 - fraction) / fraction


class AptProgress:
    """Feed it what a poll brought. It keeps apt's last words, which name the cause when apt-get fails."""

    def __init__(
        self, tell: Tell, step: str, packages: int, download: int, clock: Callable[[], float]
    ) -> None:
        self._tell = tell
        self._step = step
        self._packages = packages
        self._download = download
        self._clock = clock
        self._pace = Pace(clock)
        self._phase = ""
        self._done: set[str] = set()
        self._log_rest = b""
        self._status_rest = b""
        self._told: Progress | None = None
        self.errors: list[str] = []

    def heard(self, news: News) -> None:
        log = (self._log_rest + news.log).split(b"\n")
        self._log_rest = log.pop()[-4096:]
        for raw in log:
            self._line(plain(raw.decode(errors="replace")))
        status = (self._status_rest + news.status).split(b"\n")
        self._status_rest = status.pop()[-4096:]
        for raw in status:
            self._status(plain(raw.decode(errors="replace")))
        if news.exit is not None and self._log_rest:
            self._line(plain(self._log_rest.decode(errors="replace")))
            self._log_rest = b""
        if self._told is not None:
            self._tell(self._told)
            self._told = None

    def _line(self, text: str) -> None:
        level = "error" if _ERROR.match(text) else "warning" if _WARNING.match(text) else "info"
        if level == "error":
            self.errors.append(text)
        self._tell(Line(source="patch", text=text, level=level))

    def _status(self, text: str) -> None:
        """dlstatus:N:PERCENT:TEXT, pmstatus:PACKAGE:PERCENT:TEXT, pmerror:PACKAGE:PERCENT:TEXT."""
        kind, _, rest = text.partition(":")
        # A package name may itself hold a colon (libc6:i386), so the percentage is looked for.
        match = re.match(r"(.*?):(\d{1,3}(?:\.\d+)?):(.*)", rest)
        if not match:
            return
        name, fraction, words = match[1], min(float(match[2]) / 100, 1.0), match[3]
        if kind == "dlstatus":
            self._progress("bytes", fraction * self._download, self._download, fraction)
        elif kind == "pmstatus":
            if words.startswith("Installed "):
                self._done.add(name)
            total = max(self._packages, len(self._done))
            self._progress("packages", len(self._done), total, fraction)
        elif kind == "pmerror":
            self.errors.append(f"{name}: {words}")

    def _progress(self, unit: str, done: float, total: float, fraction: float) -> None:
        if unit != self._phase:
            if unit == "packages" and self._download:
                # apt installs when all is fetched, and tells nothing of a fetch of under half a second.
                whole = float(self._download)
                self._tell(Progress(step=self._step, done=whole, total=whole, unit="bytes", left=0.0))
            self._phase, self._pace = unit, Pace(self._clock)
        left = self._pace.left(fraction)
        self._told = Progress(step=self._step, done=done, total=total, unit=unit, left=left)
