"""Asking UEFI for its setup: one bit, in one write, where the firmware offers it."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot.firmware_setup import GUID, ask_for_setup
from appliance.errors import Refused
from appliance.host.run import Command, Effect, Output, RealHost


class Watched:
    def __init__(self) -> None:
        self.writes: list[Command] = []

    def run(self, command: Command) -> Output:
        assert command.effect is Effect.WRITE
        self.writes.append(command)
        return RealHost().run(command)


def variables(folder: Path, supported: int | None, now: int | None = None) -> Path:
    for name, value in (("OsIndicationsSupported", supported), ("OsIndications", now)):
        if value is not None:
            (folder / f"{name}-{GUID}").write_bytes(b"\x07\0\0\0" + value.to_bytes(8, "little"))
    return folder


@pytest.mark.parametrize(("now", "after"), [(None, 1), (0, 1), (0x40, 0x41), (1, 1)])
def test_one_bit_is_set_and_the_others_stay(tmp_path: Path, now: int | None, after: int) -> None:
    host = Watched()
    ask_for_setup(host, variables(tmp_path, 0x41, now))
    content = (tmp_path / f"OsIndications-{GUID}").read_bytes()
    assert content == b"\x07\0\0\0" + after.to_bytes(8, "little")
    assert len(host.writes) == 1, "it counts as a write to this machine"


@pytest.mark.parametrize("supported", [None, 0, 0x40])
def test_firmware_that_does_not_offer_it_is_left_alone(tmp_path: Path, supported: int | None) -> None:
    host = Watched()
    with pytest.raises(Refused, match="press the key"):
        ask_for_setup(host, variables(tmp_path, supported))
    assert host.writes == [] and not (tmp_path / f"OsIndications-{GUID}").exists()
