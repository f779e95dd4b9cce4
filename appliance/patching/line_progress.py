"""The output of a package manager line by line, and how far it is, for those that have no status stream."""

from __future__ import annotations

from appliance.model.events import Line, Progress
from appliance.model.plain import plain
from appliance.patching.apt_progress import Pace
from appliance.patching.base import Setting, Tell
from appliance.patching.job import News


class LineProgress:
    """Feed it what a poll brought. `read` gets each line; it tells by `say`, `fetched` and `installed`.

    `packages` and `download` (bytes) are the preview's: what is to be reached.
    """

    def __init__(self, tell: Tell, setting: Setting, packages: int = 0, download: int = 0) -> None:
        self._tell = tell
        self._setting = setting
        self._packages = packages
        self._download = download
        self._rest = b""
        self._phase = ""
        self._pace = Pace(setting.clock)
        self._latest: Progress | None = None
        self._bytes = 0.0
        self._done = 0
        self.lines: list[str] = []

    def heard(self, news: News) -> None:
        parts = (self._rest + news.log).split(b"\n")
        self._rest = parts.pop()[-65536:]
        if news.exit is not None and self._rest:
            parts.append(self._rest)
            self._rest = b""
        for raw in parts:
            text = raw.decode(errors="replace").rpartition("\r")[2]
            self.lines.append(text)
            self.read(text)
        if self._latest is not None:
            self._tell(self._latest)
            self._latest = None

    def read(self, text: str) -> None:
        """One line as it came. This one knows no progress."""
        self.say(text)

    def say(self, text: str, level: str = "info") -> None:
        if text.strip():
            self._tell(Line(source="patch", text=plain(text.rstrip()), level=level))

    def fetched(self, size: float) -> None:
        """So many bytes more."""
        self._bytes = min(self._bytes + size, float(self._download))
        if self._download:
            self._progress("bytes", self._bytes, float(self._download), self._bytes / self._download)

    def installed(self, fraction: float) -> None:
        """One package more; `fraction` (0 to 1) of all the work of this phase."""
        self._done += 1
        self._progress("packages", self._done, max(self._packages, self._done), fraction)

    def _progress(self, unit: str, done: float, total: float, fraction: float) -> None:
        if unit != self._phase:
            if self._latest is not None:  # one poll may bring the end of a phase and the next one's beginning
                self._tell(self._latest)
            self._phase, self._pace = unit, Pace(self._setting.clock)
        left = self._pace.left(min(max(fraction, 0.001), 1.0))
        self._latest = Progress(step=self._setting.step, done=done, total=total, unit=unit, left=left)
