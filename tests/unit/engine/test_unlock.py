"""A passphrase goes from the session to cryptsetup's standard input, into nothing that is kept or told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.engine import CommandLog
from appliance.engine import desk as engine_desk
from appliance.engine.bus import Bus
from appliance.engine.desk import Desk
from appliance.engine.runs import Runs
from appliance.engine.server import Server
from appliance.engine.vm import VmDesk
from appliance.errors import Busy, CommandFailed, Refused, WrongPassphrase
from appliance.host.passphrases import Passphrases
from appliance.host.run import Command, Host, Output
from appliance.model import messages as m
from appliance.model.codec import to_json
from appliance.model.machine import Machine
from appliance.probe.machine import probe
from appliance.session import SaidNo, Session
from appliance.workflow.places import Places
from tests.unit.probe.recorded import RecordedMachine
from tests.unit.probe.test_luks import OPEN, SECRET, UUID, encrypted

__all__ = ["encrypted"]


class Told:
    """The recorded machine, whose commands are told as the engine tells them."""

    def __init__(self, machine: RecordedMachine, bus: Bus) -> None:
        self.machine, self.log = machine, CommandLog(bus)

    def run(self, command: Command) -> Output:
        output = self.machine.run(command)
        self.log(command, output, 0.0)
        return output


@pytest.fixture
def desk(encrypted: RecordedMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    def looked(host: Host, passphrases: Passphrases) -> Machine:
        return probe(host, encrypted.root, passphrases)

    monkeypatch.setattr(engine_desk, "probe", looked)
    bus, places = Bus(), Places(tmp_path / "places")
    host = Told(encrypted, bus)
    return Desk(host, bus, Runs(host, bus, places), places, lambda: 0)


def told(desk: Desk) -> bytes:
    return b"\n".join(to_json(event) for event in desk.bus.kept())


def test_unlocked_it_stays_so_and_is_asked_once(desk: Desk, encrypted: RecordedMachine) -> None:
    assert desk.machine().systems == ()
    found = desk.unlock(UUID, SECRET)
    assert [system.hostname for system in found.systems] == ["ledger"]
    desk.forget()
    assert desk.machine(0.0).locked == ()
    with pytest.raises(Refused, match="no locked device with the UUID"):
        desk.unlock(UUID, SECRET)
    assert encrypted.left() == [OPEN.rpartition("/")[2]], "up for writing, for whatever comes"
    opened = [line for line in encrypted.ran if line.startswith("cryptsetup open")]
    assert ["--readonly" in line for line in opened] == [True, False]


def test_of_what_is_up_already_a_wrong_passphrase_is_not_believed(
    desk: Desk, encrypted: RecordedMachine
) -> None:
    """An engine before this one died and left the device up."""
    encrypted.up(OPEN.rpartition("/")[2], readonly=False)
    assert desk.machine().systems == ()
    with pytest.raises(WrongPassphrase):
        desk.unlock(UUID, b"wrong")
    assert desk.passphrases.of(UUID) is None
    assert [system.hostname for system in desk.unlock(UUID, SECRET).systems] == ["ledger"]


def test_what_an_earlier_start_left_inside_is_looked_after_before_anything_begins(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def recover(machine: Machine) -> None:
        seen.append(desk.runs.recovered.is_set())
        raise CommandFailed("made to fail")

    monkeypatch.setattr(desk.runs, "recover_unfinished", recover)
    desk.machine()
    desk.unlock(UUID, SECRET)
    assert desk.runs.recovered.wait(10)
    assert seen == [False]
    assert b"made to fail" in told(desk)


def test_a_wrong_one_is_one_clear_error_and_the_right_one_still_opens(desk: Desk) -> None:
    for wrong in (b"wrong", b"", b"x" * 513):
        with pytest.raises(WrongPassphrase) as error:
            desk.unlock(UUID, wrong)
        assert not wrong or wrong.decode() not in error.value.what
    assert [one.uuid for one in desk.machine().locked] == [UUID]
    assert desk.unlock(UUID, SECRET).locked == ()


def test_one_that_can_not_be_shown_is_not_called_a_wrong_passphrase(
    desk: Desk, encrypted: RecordedMachine
) -> None:
    encrypted.fails.add("cryptsetup open")
    with pytest.raises(Refused, match="the log says why"):
        desk.unlock(UUID, SECRET)
    encrypted.fails.clear()
    assert desk.unlock(UUID, SECRET).locked == ()


def test_no_unlocking_while_a_run_is_at_work(desk: Desk) -> None:
    desk.machine()
    plan = SimpleNamespace(names=SimpleNamespace(run="tb1"))
    for busy, gate in ((True, ""), (False, "confirm")):
        going = SimpleNamespace(at_hand=False, busy=busy, gate=gate, plan=plan)
        desk.runs.going = going  # type: ignore[assignment]
        with pytest.raises(Busy, match="tb1 is not finished: unlock when it is over"):
            desk.unlock(UUID, SECRET)


async def test_over_the_socket_by_the_operator_alone_and_told_to_nobody(
    desk: Desk, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s"
    server = asyncio.create_task(Server(desk.bus, desk, VmDesk(desk.bus, desk.runs)).listen(path))
    while not path.exists():
        await asyncio.sleep(0.01)
    async with Session("tty1", path) as first, Session("ttyS0", path) as second:
        with pytest.raises(SaidNo) as wrong:
            await first.unlock(UUID, b"correct house")
        assert (wrong.value.code, wrong.value.what) == ("LUKS-01", "The passphrase does not open /dev/vda4.")
        with pytest.raises(SaidNo) as watching:
            await second.unlock(UUID, SECRET)
        assert watching.value.code == "BUSY-01"
        assert (await first.unlock(UUID, SECRET)).locked == ()
    server.cancel()
    said = capfd.readouterr()
    everything = told(desk) + said.out.encode() + said.err.encode()
    assert b"cryptsetup open" in everything
    for word in (SECRET, b"house"):
        assert word not in everything


def test_what_does_not_decode_is_not_repeated() -> None:
    assert "horse" not in repr(m.Unlock(uuid=UUID, passphrase=SECRET))
    assert "horse" not in repr(m.Call(id=1, say=m.Unlock(uuid=UUID, passphrase=SECRET)))
