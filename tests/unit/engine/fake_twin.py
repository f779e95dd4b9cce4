"""A twin without a VM under it, in a run that waits: what VmDesk sees of the workflow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from appliance.errors import Refused, TwinFailed
from appliance.twin.hypervisor import PowerState
from appliance.twin.pausing import Pausing
from appliance.twin.picture import png_from_ppm
from appliance.twin.terminal import Terminal

PNG = png_from_ppm(b"P6\n3 2\n255\n" + bytes(18))


@dataclass
class FakeLine:
    typed: bytes = b""
    ended: bool = False
    closed: bool = False
    deaf: bool = False

    def send(self, data: bytes) -> None:
        if self.deaf:
            raise TwinFailed("The twin does not read its serial line.")
        self.typed += data

    def close(self) -> None:
        self.closed = True


@dataclass(eq=False)
class FakeTwin:
    name: str = "twinboot-tb1-work"
    power: PowerState = PowerState.RUNNING
    terminal: Terminal = field(default_factory=Terminal)
    pausing: Pausing = field(default_factory=lambda: Pausing(lambda: False))
    lines: list[FakeLine] = field(default_factory=list)
    vga: tuple[str, ...] = ("GRUB loading.",)
    setup: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(part="work"))

    def state(self) -> PowerState:
        return self.power

    def open_console(self) -> FakeLine:
        self.lines.append(FakeLine())
        return self.lines[-1]

    def vga_text(self) -> tuple[str, ...]:
        return self.vga

    def screenshot(self) -> bytes:
        return PNG

    def pause(self) -> None:
        self.pausing.pause(lambda: setattr(self, "power", PowerState.PAUSED))

    def resume(self) -> float:
        return self.pausing.resume(lambda: setattr(self, "power", PowerState.RUNNING))


@dataclass
class FakeRuns:
    """The one run, tb1, whose folder is `folder`."""

    folder: Path
    twin: FakeTwin | None = field(default_factory=FakeTwin)

    @property
    def going(self) -> SimpleNamespace:
        plan = SimpleNamespace(names=SimpleNamespace(run="tb1"))
        return SimpleNamespace(plan=plan, twin=self.twin, folder=self.folder)

    def named(self, run: str) -> SimpleNamespace:
        if run != "tb1":
            raise Refused((f"There is no run {run} going on.",))
        return self.going
