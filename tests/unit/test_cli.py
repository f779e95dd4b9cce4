"""The command line against the engine's own server: what is printed, what is sent, and the exit status."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.cli import main, parser, request
from appliance.engine.bus import Bus
from appliance.engine.desk import command_line
from appliance.engine.server import Server
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model.codec import from_json
from appliance.model.events import Line, RunFinished
from appliance.model.machine import Machine
from appliance.model.plan import PatchKind, PatchRequest, Plan, RepairKind, Request, Verb
from appliance.model.verdict import Result, Verdict
from appliance.model.vm_messages import Pause, Resume
from appliance.session import Session
from tests.fixtures.machines.derive import load
from tests.unit.engine.recorded_desk import RecordedDesk

MACHINE = Path(__file__).parents[1] / "fixtures/machines/thin-uefi.json"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedDesk]:
    found: Machine = from_json(MACHINE.read_bytes(), Machine, str(MACHINE))
    bus, path = Bus(), tmp_path / "engine.sock"
    desk = RecordedDesk(bus, replace(found, kvm=True))
    stop = threading.Event()

    async def serve() -> None:
        task = asyncio.create_task(Server(bus, desk).listen(path))  # type: ignore[arg-type]
        await asyncio.to_thread(stop.wait)
        task.cancel()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    while not path.exists():
        threading.Event().wait(0.01)
    monkeypatch.setenv("TWINBOOT_SOCKET", str(path))
    yield desk
    stop.set()
    thread.join(10)


def plan_file(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Path:
    assert main(["rehearse", *words, "--dry-run", "--json"]) == 0
    path = folder / "plan.json"
    path.write_text(capsys.readouterr().out)
    return path


def test_a_dry_run_names_every_write_and_starts_nothing(
    desk: RecordedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rehearse", "--all", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "Dry run, nothing was written." in said
    assert "add the sealed snapshot, read-only" in said
    assert desk.started == []


@pytest.mark.parametrize(
    ("words", "kind", "watch"),
    [
        (("--initrd",), RepairKind.INITRD, True),
        (("--fsck", "--no-watch"), RepairKind.FSCK, False),
        (("--older-kernel",), RepairKind.OLDER_KERNEL, True),
        (("--finish-packages",), RepairKind.FINISH_PACKAGES, True),
        (("--undo-packages",), RepairKind.UNDO_PACKAGES, True),
        (("--by-hand",), RepairKind.BY_HAND, True),
    ],
)
def test_each_repair_is_asked_for_as_typed(words: tuple[str, ...], kind: RepairKind, watch: bool) -> None:
    args = parser().parse_args(["repair", *words, "--system", "/dev/mapper/vg0-root", "--emulate"])
    wanted = request(args)
    assert wanted == Request(
        verb=Verb.REPAIR, repair=kind, watch=watch, system="/dev/mapper/vg0-root", emulate=True
    )
    assert command_line(wanted).split() == [
        "twinboot", "repair", *words, "--system", "/dev/mapper/vg0-root", "--emulate"
    ]  # fmt: skip


def test_a_repair_must_be_named_and_only_one(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--initrd", "--fsck"]):
        with pytest.raises(SystemExit) as ended:
            main(["repair", *words])
        assert ended.value.code == 2
    assert "--older-kernel" in capsys.readouterr().err


def test_a_plan_file_is_carried_out_as_it_stands(
    desk: RecordedDesk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plan_file(tmp_path, capsys, "--packages", "nginx")
    written: Plan = from_json(path.read_bytes(), Plan, "plan")
    assert written.request.patch.packages == ("nginx",)
    assert main(["run", str(path)]) == 0
    assert [plan.digest for plan in desk.started] == [written.digest]
    assert "the record of tb1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content, named",
    [
        (b"{}", "missing required field"),
        (b'{"colour": "blue"}', "unknown field `colour`"),
        (b"nonsense", "does not read as Plan"),
        (b"\xff", "does not read"),
    ],
)
def test_a_damaged_plan_file_is_one_clear_error(
    desk: RecordedDesk, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, named: str
) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    assert main(["run", str(path)]) == 1
    said = capsys.readouterr()
    assert named in said.err and "DATA-01" in said.err and "What is safe:" in said.err
    assert (said.out, desk.started) == ("", [])


def test_a_plan_file_that_is_not_there(desk: RecordedDesk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "/nowhere/plan.json"]) == 1
    assert "/nowhere/plan.json can not be read: No such file or directory." in capsys.readouterr().err


def test_json_is_nothing_but_json(desk: RecordedDesk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearse", "--nothing", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "run-finished"


def test_a_bad_verdict_is_an_exit_status_a_script_can_see(desk: RecordedDesk) -> None:
    desk.verdict = Verdict(result=Result.FAIL, checks=())
    assert main(["rehearse", "--nothing"]) == 1


def test_every_refusal_is_said_and_the_exit_status_is_three(
    desk: RecordedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.machine = replace(desk.machine, kvm=False)
    assert main(["rehearse", "--script", ""]) == 3
    said = capsys.readouterr().err
    assert "hardware virtualisation" in said and "No script was named" in said
    assert desk.started == []


def test_a_run_that_waits_is_approved_from_another_terminal(
    desk: RecordedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rehearse", "--by-hand"]) == 130
    assert "twinboot approve tb1" in capsys.readouterr().err
    assert main(["approve", "tb2", "--confirm", "done"]) == 3
    assert desk.approved == []
    assert main(["approve", "tb1", "--confirm", "done"]) == 0
    assert desk.approved == [("by-hand", "done")]
    assert "the record of tb1" in capsys.readouterr().out


def test_another_in_control_is_named_and_taken_over_knowingly(
    desk: RecordedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    in_control, leave = threading.Event(), threading.Event()

    async def hold() -> None:
        async with Session("tty1") as session:
            await session.cancel("tb1")
            in_control.set()
            await asyncio.to_thread(leave.wait, 30)

    other = threading.Thread(target=asyncio.run, args=(hold(),))
    other.start()
    assert in_control.wait(30)
    assert main(["cancel", "tb2"]) == 4
    said = capsys.readouterr().err
    assert "BUSY-01: tty1 is in control." in said and "--take-over at a command" in said
    assert desk.cancelled == ["tb1"]
    assert main(["cancel", "tb2", "--take-over"]) == 0
    assert desk.cancelled == ["tb1", "tb2"]
    leave.set()
    other.join(30)


def test_ctrl_c_while_a_run_starts_cancels_it(desk: RecordedDesk) -> None:
    """The engine has begun before the command line hears so: the run must not go on with nobody there."""
    desk.at_start = lambda: os.kill(os.getpid(), signal.SIGINT)
    assert main(["rehearse", "--nothing"]) == 0
    assert desk.cancelled == ["tb1"]


class PressingAt(io.StringIO):
    """A standard output at which Ctrl-C is pressed once these words are out."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.words in text:
            os.kill(os.getpid(), signal.SIGINT)
        return written


def test_ctrl_c_at_a_question_cancels_the_run_and_the_program_ends(
    desk: RecordedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, line = pty.openpty()
    with os.fdopen(master, "rb"), os.fdopen(line, "r") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("sys.stdout", PressingAt("Type to confirm: "))
        assert main(["rehearse", "--by-hand"]) == 0
    assert (desk.cancelled, desk.approved) == (["tb1"], [])


def test_ctrl_c_at_the_plan_starts_nothing(desk: RecordedDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", PressingAt("add the sealed snapshot, read-only"))
    assert main(["rehearse", "--nothing"]) == 130
    assert (desk.started, desk.cancelled) == ([], [])


def test_ctrl_c_just_before_the_start_starts_nothing(
    desk: RecordedDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status = Session.status

    async def pressed_meanwhile(session: Session) -> m.Status:
        os.kill(os.getpid(), signal.SIGINT)
        return await status(session)

    monkeypatch.setattr(Session, "status", pressed_meanwhile)
    assert main(["rehearse", "--nothing"]) == 130
    assert "Nothing was started." in capsys.readouterr().err
    assert (desk.started, desk.cancelled) == ([], [])


def test_what_is_typed_at_a_question_opens_the_gate(
    desk: RecordedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, line = pty.openpty()
    with os.fdopen(master, "wb", buffering=0) as keys, os.fdopen(line, "r") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        keys.write(b"done\n")
        assert main(["rehearse", "--by-hand"]) == 0
    assert desk.approved == [("by-hand", "done")]


def test_what_was_chosen_is_saved_and_nothing_starts(
    desk: RecordedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rehearse", "--packages", "nginx", "--save", "june"]) == 0
    assert "twinboot.plan=june.json" in capsys.readouterr().out
    assert [(say.name, say.request.patch.packages, say.promote) for say in desk.saved] == [
        ("june", ("nginx",), False)
    ]
    assert desk.started == []


def test_the_plans_of_the_stick_are_listed_and_one_is_carried_out(
    desk: RecordedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plans"]) == 0
    said = capsys.readouterr().out
    assert "june.json" in said and "NOT HERE: The plan x.json is for OTHER." in said
    assert main(["run", "x"]) == 3
    assert "is for OTHER" in capsys.readouterr().err and desk.started == []
    assert main(["run", "june"]) == 0
    assert len(desk.started) == 1


def test_what_a_machine_would_fetch_goes_to_the_stick(
    desk: RecordedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["wanted"]) == 0
    said = capsys.readouterr().out
    assert "Written   /stick/x.json" in said and "3 packages, 2 sources, 1 keys; no password" in said
    assert "Unknown   The source x wants a name." in said
    assert main(["wanted", "--security"]) == main(["wanted", "--packages", "nginx", "--json"]) == 0
    assert [say for say in desk.asked if isinstance(say, s.WriteWanted)] == [
        s.WriteWanted(system="", kind=PatchKind.ALL),
        s.WriteWanted(system="", kind=PatchKind.SECURITY),
        s.WriteWanted(system="", kind=PatchKind.PACKAGES, packages=("nginx",)),
    ]


def test_a_port_is_shown_set_and_found(desk: RecordedDesk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["network"]) == 0
    assert "192.0.2.10/24" in capsys.readouterr().out
    assert main(["network", "eno1", "--address", "192.0.2.10/24", "--proxy", "http://p:1"]) == 0
    assert main(["network", "eno1", "--blink"]) == 0
    assert main(["network", "--address", "192.0.2.10/24"]) == 3
    assert "Name the port to set" in capsys.readouterr().err
    assert [say for say in desk.asked if isinstance(say, (s.SetNetwork, s.SetProxy, s.Blink))] == [
        s.SetProxy(proxy="http://p:1"),
        s.SetNetwork(link="eno1", address="192.0.2.10/24"),
        s.Blink(link="eno1"),
    ]


def test_ssh_keyboard_and_power(desk: RecordedDesk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ssh"]) == 0
    assert "nothing listens" in capsys.readouterr().out
    assert main(["ssh", "on"]) == 0
    assert "ssh root@192.0.2.10" in (said := capsys.readouterr().out) and "a-b-c" in said
    assert main(["keyboard", "de"]) == 0
    assert "de" in capsys.readouterr().out
    assert main(["power", "firmware"]) == 0
    assert desk.asked[-1] == m.Power(act="firmware")


def unlocking(desk: RecordedDesk, monkeypatch: pytest.MonkeyPatch, typed: bytes, *words: str) -> int:
    desk.machine = load("locked")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
    return main(["unlock", *words])


@pytest.mark.parametrize("words", [(), ("/dev/vda4",), (load("locked").locked[0].uuid,)])
def test_a_passphrase_comes_by_standard_input_to_the_byte(
    desk: RecordedDesk,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    assert unlocking(desk, monkeypatch, b"correct horse\nand more\n", *words) == 0
    said = capsys.readouterr()
    assert "/dev/vda4 is unlocked until power-off." in said.out and "ledger" in said.out
    assert "correct horse" not in said.out + said.err
    (asked,) = (say for say in desk.asked if isinstance(say, m.Unlock))
    assert asked == m.Unlock(uuid=load("locked").locked[0].uuid, passphrase=b"correct horse")
    assert "correct" not in repr(asked)


def test_a_wrong_passphrase_is_one_error_that_does_not_repeat_it(
    desk: RecordedDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert unlocking(desk, monkeypatch, b" correct horse\n") == 3
    said = capsys.readouterr()
    assert said.out == "" and "LUKS-01" in said.err and "does not open /dev/vda4" in said.err
    assert "horse" not in said.err


def test_what_is_not_locked_is_not_asked_for(
    desk: RecordedDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert unlocking(desk, monkeypatch, b"correct horse\n", "/dev/vda9") == 3
    assert "Name the one to unlock: /dev/vda4 (" in capsys.readouterr().err
    desk.machine = load("thin-bios")
    assert main(["unlock"]) == 3
    assert "Nothing on this machine is locked." in capsys.readouterr().err
    assert not any(isinstance(say, m.Unlock) for say in desk.asked)


def test_an_export_says_where_how_much_and_what_was_hidden(
    desk: RecordedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "tb1"]) == 0
    said = capsys.readouterr().out
    assert "x.tar.gz, 2 KiB, 3 files" in said and "To        stick" in said
    assert "masked at 2 places: token 2" in said
    assert main(["export", "--to", "/tmp", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["where"] == "/tmp"


def test_an_export_that_fails_is_one_clear_error(
    desk: RecordedDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "tb9"]) == 1
    said = capsys.readouterr()
    assert "EXPORT-01: There is no stick." in said.err and "What is safe:" in said.err and said.out == ""


@pytest.mark.parametrize(
    "words, wanted",
    [
        (["undo"], Request(verb=Verb.UNDO)),
        (
            ["rehearse", "--all", "--skip-check", "10-web", "--skip-check", "20-mail"],
            Request(
                verb=Verb.REHEARSE,
                patch=PatchRequest(kind=PatchKind.ALL),
                skip_checks=("10-web", "20-mail"),
            ),
        ),
        (
            ["rehearse", "--all", "--set", "/srv", "--set", "/home"],
            Request(verb=Verb.REHEARSE, patch=PatchRequest(kind=PatchKind.ALL), added=("/srv", "/home")),
        ),
        (["rehearse", "--nothing", "--into", "/dev/sda5"], Request(verb=Verb.REHEARSE, into="/dev/sda5")),
        (["retire", "tb3"], Request(verb=Verb.RETIRE, run="tb3")),
        (
            ["keep", "tb1", "--retire-on", "2027-01-31"],
            Request(verb=Verb.KEEP, run="tb1", retire_on="2027-01-31"),
        ),
    ],
)
def test_an_act_is_asked_for_as_it_was_typed(words: list[str], wanted: Request) -> None:
    assert request(parser().parse_args(words)) == wanted
    assert shlex.split(command_line(wanted))[1:] == words


def test_pause_resume_and_the_vms_lines(desk: RecordedDesk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["console", "tb1"]) == 3
    assert "tb1 is not going on." in capsys.readouterr().err
    assert main(["rehearse", "--by-hand"]) == 130
    desk.bus.publish(Line(source="vm", text="ledger login: \x1b[31mroot", run="tb1"))
    desk.bus.publish(Line(source="disk", text="not the VM's", run="tb1"))
    assert main(["pause", "tb1"]) == main(["resume", "tb1"]) == 0
    assert [say for say in desk.asked if isinstance(say, Pause | Resume)] == [
        Pause(run="tb1"),
        Resume(run="tb1"),
    ]
    capsys.readouterr()
    threading.Timer(0.3, lambda: desk.bus.publish(RunFinished(outcome="done", run="tb1"))).start()
    assert main(["console", "tb1"]) == 0
    assert capsys.readouterr().out == "ledger login: ?[31mroot\n"
    assert main(["approve", "tb1", "--confirm", "done"]) == 0


def test_where_there_is_no_appliance_nothing_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the technician's own machine, where nothing will ever make the socket."""
    waited: list[float] = []
    monkeypatch.setattr("appliance.cli.asyncio.sleep", lambda seconds: waited.append(seconds))
    monkeypatch.setenv("TWINBOOT_SOCKET", str(tmp_path / "none/engine.sock"))
    assert main(["status"]) == 1
    said = capsys.readouterr().err
    assert "ENGINE-01: The engine does not answer" in said and "What is safe: Nothing" in said
    assert waited == []
