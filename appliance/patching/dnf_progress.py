"""dnf 4's own output as events: bytes while it fetches, packages while it installs."""

from __future__ import annotations

import re

from appliance.patching.line_progress import LineProgress

_FETCHED = re.compile(r"^(?:\(\d+/\d+\): )?\S.*\| +(?P<number>[\d.]+) (?P<unit>[kMG]?)i?B ")
_UNITS = {"": 1.0, "k": 1024.0, "M": 1024.0**2, "G": 1024.0**3}
_STEP = re.compile(
    r"^ +(?P<act>Installing|Upgrading|Downgrading|Reinstalling) +: +\S.*?(?P<n>\d+)/(?P<all>\d+) *$"
)
_ERROR = re.compile(r"^(Error|error:|\[FAILED\]|Package .* is not signed|Public key for .* is not installed)")
_WARNING = re.compile(r"^(warning:|Warning|\[MIRROR\]|Ignoring repositories)")


class DnfProgress(LineProgress):
    """Lines such as "(2/5): ledger-1.1-1.noarch.rpm  133 kB/s | 6.1 kB  00:00" and "  Upgrading : … 1/7"."""

    def read(self, text: str) -> None:
        level = "error" if _ERROR.match(text) else "warning" if _WARNING.match(text) else "info"
        self.say(text, level)
        if (match := _FETCHED.match(text)) and not text.startswith("Total "):
            self.fetched(float(match["number"]) * _UNITS[match["unit"]])
        elif match := _STEP.match(text):
            self.installed(int(match["n"]) / max(int(match["all"]), 1))
