"""The keyboard of the machine's own screen: loadkeys(1), for this start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.errors import Refused
from appliance.host.run import Host, read
from appliance.model.service_messages import LAYOUTS


@dataclass(frozen=True, slots=True)
class Keyboard:
    """READ: the kernel's key table is the appliance's own memory."""

    host: Host
    runtime: Path

    def current(self) -> str:
        """The code of the layout chosen, "us" before one was: the kernel's own."""
        try:
            return (self.runtime / "keyboard").read_text().strip() or "us"
        except OSError:
            return "us"

    def choose(self, code: str) -> str:
        """Raises Refused for a layout this appliance does not have."""
        layout = next((one for one in LAYOUTS if one.code == code), None)
        if layout is None:
            raise Refused((f'There is no layout "{code}": {", ".join(one.code for one in LAYOUTS)}.',))
        self.host.run(read("loadkeys", "--quiet", "--console=/dev/tty1", layout.keymap, timeout=30))
        (self.runtime / "keyboard").write_text(code + "\n")
        return code
