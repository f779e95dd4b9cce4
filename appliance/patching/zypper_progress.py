"""zypper's XML stream as events: bytes while it fetches, packages while it installs, messages as lines."""

from __future__ import annotations

import html
import re

from appliance.patching.line_progress import LineProgress
from appliance.patching.zypper_text import attributes

_NUMBERED = re.compile(r"\((?P<n>\d+)/(?P<all>\d+)\) ")
_RETRIEVING = re.compile(r"^Retrieving .*\(\d+/\d+\), +(?P<number>[\d.]+) +(?P<unit>[KMG]?)i?B? ")
_UNITS = {"": 1.0, "K": 1024.0, "M": 1024.0**2, "G": 1024.0**3}
_OPEN = re.compile(r'^<message type="(?P<kind>[a-z]+)">')
_END = "</message>"


class ZypperProgress(LineProgress):
    """A message may go over many lines; a prompt is answered by --non-interactive and is not shown."""

    _kind = ""
    _silent = False
    _size = 0.0

    def read(self, text: str) -> None:
        if self._kind:
            self._message(text)
        elif match := _OPEN.match(text):
            self._kind = match["kind"]
            self._message(text[match.end() :])
        elif text.startswith("<prompt"):
            self._silent = True
        elif text.startswith("</prompt"):
            self._silent = False
        elif text.startswith("<download ") and 'done="1"' in text:
            self.fetched(self._size)
        elif text.startswith("<progress "):
            self._step(attributes(text))
        elif not self._silent and not text.lstrip().startswith("<"):
            self.say(html.unescape(text))

    def _message(self, text: str) -> None:
        body, end, _ = text.partition(_END)
        body = html.unescape(body)
        if match := _RETRIEVING.match(body):
            self._size = float(match["number"]) * _UNITS[match["unit"]]
        self.say(body, self._kind if self._kind in ("warning", "error") else "info")
        if end:
            self._kind = ""

    def _step(self, one: dict[str, str]) -> None:
        match = _NUMBERED.match(one.get("name", ""))
        if one.get("id") not in ("install-resolvable", "remove-resolvable") or not match:
            return
        if "value" not in one and "done" not in one:
            self.say(one["name"])
        elif one.get("done") == "1":
            self.installed(int(match["n"]) / max(int(match["all"]), 1))
