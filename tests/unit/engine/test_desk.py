"""Planning an act reads the disks, so it waits for a run to leave them, and says so when it does not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from appliance.engine import desk as engine_desk
from appliance.engine.bus import Bus
from appliance.engine.desk import Desk
from appliance.engine.packages import PackageDesk
from appliance.engine.runs import Runs
from appliance.errors import Busy, Refused
from appliance.host.run import Command, Output, RealHost
from appliance.model.events import Line
from appliance.model.lineage import Lineage
from appliance.model.machine import Machine
from appliance.model.plan import PatchKind, PatchRequest, Request, Verb
from appliance.workflow.descent import Descent
from appliance.workflow.places import Places
from tests.unit.workflow.test_rehearse_plan import machine


def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Desk, list[Verb]]:
    host, bus, places, asked = RealHost(), Bus(), Places(tmp_path), list[Verb]()
    made = Desk(host, bus, Runs(host, bus, places), places, lambda: 0)
    monkeypatch.setattr(Desk, "machine", lambda self, max_age=0.0: machine())
    monkeypatch.setattr(Desk, "descent", lambda self: Descent(Lineage(), "", "", ""))
    monkeypatch.setattr(
        engine_desk.catalogue, "build_plan", lambda machine, request, *rest: asked.append(request.verb)
    )
    monkeypatch.setattr(engine_desk, "DISKS_WAIT", 0.01)
    return made, asked


def test_an_act_is_not_planned_while_a_run_works_on_the_disks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, asked = desk(tmp_path, monkeypatch)
    with made.runs.disks, pytest.raises(Busy, match="A run is at work on the disks"):
        made.plan(Request(verb=Verb.ROLLBACK, run="tb1"))
    assert asked == []
    made.plan(Request(verb=Verb.ROLLBACK, run="tb1"))
    assert asked == [Verb.ROLLBACK]
    assert made.runs.disks.acquire(blocking=False), "and the disks are left again"
    made.runs.disks.release()
    made.runs.going = SimpleNamespace(at_hand=True)  # type: ignore[assignment]
    with pytest.raises(Busy):
        made.plan(Request(verb=Verb.PROMOTE, run="tb1"))
    assert asked == [Verb.ROLLBACK]


def test_a_rehearsal_is_planned_without_the_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = desk(tmp_path, monkeypatch)
    with made.runs.disks:
        made.plan(Request(verb=Verb.REHEARSE))
    assert asked == [Verb.REHEARSE]


def test_a_reading_that_found_no_system_serves_no_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one while somebody in a shell was at the volume group: the next one may find it again."""
    none = replace(machine(), systems=())
    readings = [none, machine(), none, machine()]
    monkeypatch.setattr(engine_desk, "probe", lambda host, passphrases: readings.pop(0))
    monkeypatch.setattr(Desk, "descent", lambda self: Descent(Lineage(), "", "", ""))
    planned = list[Machine]()
    monkeypatch.setattr(
        engine_desk.catalogue, "build_plan", lambda machine, *rest: planned.append(machine) or machine
    )
    host, bus, places = RealHost(), Bus(), Places(tmp_path)
    made = Desk(host, bus, Runs(host, bus, places), places, lambda: 0)
    assert made.machine().systems == () and made.machine().systems == ()
    made.plan(Request(verb=Verb.REHEARSE))
    made.plan(Request(verb=Verb.REHEARSE))
    assert planned == [machine(), machine()] and readings == [none, machine()]
    made.forget()
    made.plan(Request(verb=Verb.REHEARSE))
    assert planned[2:] == [machine()] and readings == [], "what was there a moment ago is looked for again"


@pytest.mark.parametrize("verb", [Verb.REHEARSE, Verb.PROMOTE])
def test_nobody_is_refused_for_what_was_put_right_since_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: Verb
) -> None:
    put_right = replace(machine(), vendor="put right")
    readings, planned = [machine(), put_right], list[Machine]()
    monkeypatch.setattr(engine_desk, "probe", lambda host, passphrases: readings.pop(0))
    monkeypatch.setattr(Desk, "descent", lambda self: Descent(Lineage(), "", "", ""))

    def build_plan(found: Machine, *_: object) -> None:
        planned.append(found)
        if found != put_right:
            raise Refused(("Something is wrong.",))

    monkeypatch.setattr(engine_desk.catalogue, "build_plan", build_plan)
    host, bus, places = RealHost(), Bus(), Places(tmp_path)
    made = Desk(host, bus, Runs(host, bus, places), places, lambda: 0)
    with pytest.raises(Refused):
        made.plan(Request(verb=verb, run="tb1"))
    assert planned == [machine()], "what was read for it is not read twice"
    made.plan(Request(verb=verb, run="tb1"))
    assert planned[1:] == [machine(), put_right]
    made.plan(Request(verb=verb, run="tb1"))
    assert planned[3:] == [put_right] and readings == []


def test_what_a_plan_kept_in_a_file_needs_from_the_stick_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one just made is begun as it is: it was asked a moment ago."""
    monkeypatch.setattr(Desk, "machine", lambda self, max_age=0.0: machine())
    monkeypatch.setattr(Desk, "descent", lambda self: Descent(Lineage(), "", "", ""))
    monkeypatch.setattr(PackageDesk, "sizes", lambda self, system, machine: {})
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts/fix.sh"
    script.write_text("true\n")
    host, bus, places = RealHost(), Bus(), Places(tmp_path, data=tmp_path)
    first, later = (Desk(host, bus, Runs(host, bus, places), places, lambda: 0) for _ in range(2))
    kept = first.plan(
        Request(verb=Verb.REHEARSE, patch=PatchRequest(kind=PatchKind.SCRIPT, script="scripts/fix.sh"))
    )
    assert later.start(kept, dry=True).would == first.start(kept, dry=True).would != ()
    script.unlink()
    with pytest.raises(Refused, match=r"fix\.sh"):
        later.start(kept, dry=True)
    assert first.start(kept, dry=True).would


class Remembers:
    """A host that does nothing and remembers what it was asked."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []

    def run(self, command: Command) -> Output:
        self.ran.append(command.argv)
        return Output(0, "", "")


@pytest.mark.parametrize(
    ("act", "target"), [("reboot", "reboot"), ("poweroff", "poweroff"), ("firmware", "reboot")]
)
def test_the_machine_goes_down_by_systemd_itself_for_there_is_no_logind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str, target: str
) -> None:
    host, bus, places = Remembers(), Bus(), Places(tmp_path)
    made = Desk(host, bus, Runs(host, bus, places), places, lambda: 0)
    asked = list[str]()
    monkeypatch.setattr(engine_desk.catalogue, "ask_for_setup", lambda host: asked.append("setup"))
    made.power(act)
    assert host.ran == [
        ("systemctl", "start", f"{target}.target", "--job-mode=replace-irreversibly", "--no-block")
    ]
    assert asked == (["setup"] if act == "firmware" else [])


def test_the_machine_does_not_go_down_for_another_word_or_in_a_run(tmp_path: Path) -> None:
    host, bus, places = Remembers(), Bus(), Places(tmp_path)
    made = Desk(host, bus, Runs(host, bus, places), places, lambda: 0)
    with pytest.raises(Refused, match="not halt"):
        made.power("halt")
    made.runs.going = SimpleNamespace(busy=True)  # type: ignore[assignment]
    with pytest.raises(Refused, match="A run is going on"):
        made.power("reboot")
    assert host.ran == []


def test_at_the_end_of_a_run_what_is_known_is_said_to_be_outdated_until_it_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as what boots next, right after a trial was armed; the run still holds the disks then."""
    monkeypatch.setattr(engine_desk, "probe", lambda host, passphrases: machine())
    monkeypatch.setattr(engine_desk.beneath, "lift", lambda *_: None)
    monkeypatch.setattr(engine_desk.catalogue, "descent", lambda *_: Descent(Lineage(), "Debian", "none", ""))
    host, bus, places = RealHost(), Bus(), Places(tmp_path)
    made = Desk(host, bus, Runs(host, bus, places), places, lambda: 0)
    monkeypatch.setattr(made.runs, "view", lambda: None)
    assert not made.status("tty1").outdated
    journal = SimpleNamespace(finished=False)
    made.runs.going = SimpleNamespace(at_hand=False, busy=True, journal=journal)  # type: ignore[assignment]
    with made.runs.disks:
        made.forget()
        assert not made.status("tty1").outdated, "while it is at its steps nothing has come of it"
        journal.finished = True
        assert made.status("tty1").outdated
    assert not made.status("tty1").outdated, "read again"


def test_a_status_knows_of_no_event_that_came_while_the_machine_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, bus, places = RealHost(), Bus(), Places(tmp_path)
    made = Desk(host, bus, Runs(host, bus, places), places, lambda: 0)

    def slow(self: Desk) -> Descent:
        bus.publish(Line(source="log", text="meanwhile"))
        return Descent(Lineage(), "", "", "")

    monkeypatch.setattr(Desk, "descent", slow)
    monkeypatch.setattr(made.runs, "view", lambda: None)
    assert made.status("tty1").last_seq == 0
    assert bus.last_seq == 1
