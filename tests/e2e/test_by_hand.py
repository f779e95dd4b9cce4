"""A rehearsal worked by hand at the serial line, watched by ssh, its record taken away, and all of it undone.

One start of the stick; everything but the export is done by keys.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.lab.appliance import REHEARSAL, RUNS, Appliance
from tests.lab.circle import played, stick_with_shell
from tests.lab.hardware import SITE, Hardware
from tests.lab.installed import SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.screens import SOON, SerialTerminal, go_on, sees, twins_keyboard

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(7200)]

SSH = "ssh -o UserKnownHostsFile=/dev/null -o PubkeyAuthentication=no -p {port} root@127.0.0.1"
TWIN = "pgrep -f guest=twinboot-tb1"
"""libvirt runs QEMU before the twin's start as well, to ask what it can do."""

HOME = "What this machine can start"


@dataclass
class Worked:
    """What was seen on the way, and what there is at the end, with everything undone."""

    fingerprints: tuple[str, str]
    paused: str
    watched: str
    verdict: dict[str, Any]
    uploads: Path
    exported: str
    during: set[str]
    before: set[str]
    after: set[str]
    undone: str
    closed: bool


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Worked:
    return played(_work, tmp_path_factory.mktemp("by-hand"))


def _work(folder: Path) -> Worked:
    uploads, port = folder / "uploads", _free_port()
    uploads.mkdir(parents=True)
    machine = Machine.with_system(
        installed_system(SystemSpec()),
        Hardware(ssh=port),
        folder=folder / "machine",
        site={"uploads": uploads},
    )
    machine.insert_stick(stick_with_shell(folder))
    with machine:
        appliance = Appliance.boot(machine)
        terminal = SerialTerminal(machine.console)
        sees(terminal, "WRITES TO THIS MACHINE: 0", "INSTALLED", limit=SOON)
        before = appliance.volumes()
        password, shown = _ssh_on(terminal)

        _begin_by_hand(terminal)
        paused = _paused(appliance, terminal)
        sees(terminal, "WAITING FOR YOU", "Work in the twin", limit=REHEARSAL, never="STOPPED")
        with _by_ssh(port, password) as (guest, told):
            watched = _seen_by(guest, "WAITING FOR YOU")
            during = appliance.volumes()
            _work_in_the_twin(terminal)
        sees(terminal, "Finished", limit=REHEARSAL, never="STOPPED")
        verdict = json.loads(appliance.shell.read(f"cat {RUNS}/tb1/verdict.json"))

        exported = appliance.read("export", "tb1", "--to", f"http://{SITE}/uploads/")
        terminal.press("escape")
        sees(terminal, HOME, limit=SOON)
        terminal.press("b")
        sees(terminal, "BOOT AND ROLL BACK", limit=SOON)
        terminal.press("u")
        sees(terminal, "last 4 characters", limit=SOON)
        terminal.press(*"0001", "enter")
        undone = sees(terminal, "Undone: nothing of Twinboot is left", limit=900, never="STOPPED")
        appliance.read("ssh", "off", "--take-over")
        closed = not _answers(port)
        after = appliance.volumes()
        appliance.power_off()
    return Worked(
        fingerprints=(shown, told),
        paused=paused,
        watched=watched,
        verdict=verdict,
        uploads=uploads,
        exported=exported,
        during=during,
        before=before,
        after=after,
        undone=undone,
        closed=closed,
    )


def _free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


def _ssh_on(terminal: SerialTerminal) -> tuple[str, str]:
    """Password and fingerprint as the page shows them."""
    terminal.press("a")
    sees(terminal, "THIS APPLIANCE", limit=SOON)
    terminal.press("s")
    sees(terminal, "ssh is off", limit=SOON)
    terminal.press("o")
    sees(terminal, "type yes", limit=SOON)
    terminal.press(*"yes", "enter")
    page = sees(terminal, "ssh root@", "SHA256:", limit=SOON)
    password = re.search(r"Password\s+(\S+)", page)
    fingerprint = re.search(r"SHA256:\S+", page)
    assert password is not None and fingerprint is not None
    terminal.press("escape", "escape")
    sees(terminal, HOME, limit=SOON)
    return password[1], fingerprint[0]


@contextlib.contextmanager
def _by_ssh(port: int, password: str) -> Iterator[tuple[pexpect.spawn[str], str]]:
    """A session on the console, and the host key's fingerprint it was shown."""
    with pexpect.spawn(SSH.format(port=port), timeout=120, encoding="utf-8", dimensions=(24, 80)) as guest:
        guest.expect(r"SHA256:[^\s.]+")
        told = str(guest.after)
        guest.expect(r"\[fingerprint\]\)\?")
        guest.sendline("yes")
        guest.expect("password:")
        guest.sendline(password)
        yield guest, told


def _seen_by(guest: pexpect.spawn[str], text: str) -> str:
    guest.expect(re.escape(text), timeout=SOON)
    return str(guest.after)


def _answers(port: int) -> bool:
    """Whether an ssh server greets there; the emulator itself takes every connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line, contextlib.suppress(OSError):
        return line.recv(4) == b"SSH-"
    return False


def _begin_by_hand(terminal: SerialTerminal) -> None:
    terminal.press("n")
    sees(terminal, "By hand", limit=SOON)
    terminal.press(*["down"] * 6, "enter")
    sees(terminal, "nothing stands in the way", limit=SOON)
    terminal.press(*"yes", "enter")
    sees(terminal, "Control boot", "elapsed", limit=SOON)


def _paused(appliance: Appliance, terminal: SerialTerminal) -> str:
    """The VM stands still in its control boot: not a tick of processor time goes by, and then it goes on."""
    appliance.shell.read(f"until {TWIN}; do sleep 2; done; sleep 10", limit=REHEARSAL)
    spent = f"cut -d' ' -f14,15 /proc/$({TWIN})/stat"
    terminal.press("p")
    screen = sees(terminal, "PAUSED", limit=SOON)
    first = appliance.shell.read(f"sleep 3; {spent}")
    again = appliance.shell.read(f"sleep 20; {spent}")
    ticks = [sum(map(int, said.split())) for said in (first, again)]
    assert ticks[1] - ticks[0] < 100, "one second of twenty is QEMU's own"
    terminal.press("p")
    sees(terminal, "Step ", "Control boot", limit=SOON)
    return screen


def _work_in_the_twin(terminal: SerialTerminal) -> None:
    with twins_keyboard(terminal):
        terminal.press(*"id -un; echo done by $((6 * 7)) >/etc/by-hand; cat /etc/by-hand", "enter")
        sees(terminal, "root", "done by 42", limit=SOON)
    terminal.press("s")
    sees(terminal, "Kept in the run's report", limit=SOON)
    go_on(terminal)


def test_ssh_shows_the_key_that_the_screen_shows_and_its_client_sees_the_run(worked: Worked) -> None:
    shown, told = worked.fingerprints
    assert shown == told
    assert worked.watched == "WAITING FOR YOU"
    assert worked.closed, "off again, nothing listens"


def test_a_paused_vm_is_said_to_stand_still(worked: Worked) -> None:
    assert "The VM stands still; no time limit counts." in worked.paused
    assert "P unpause" in worked.paused


def test_what_was_changed_by_hand_is_tested_and_told(worked: Worked) -> None:
    verdict = worked.verdict
    assert (verdict["result"], verdict["seal"], verdict["proof_boot"]) == ("PASS", "frozen", True)
    assert "/etc/by-hand" in {file["path"] for file in verdict["files"]}
    assert verdict["packages"] == []


def test_the_record_at_the_address_holds_console_and_picture(worked: Worked) -> None:
    (file,) = worked.uploads.iterdir()
    assert f"http://{SITE}/uploads/{file.name}" in worked.exported
    with tarfile.open(file) as bundle:
        names = bundle.getnames()
        (report,) = (name for name in names if name.endswith("report.html"))
        assert any(name.endswith(".png") for name in names)
        held = bundle.extractfile(report)
        assert held is not None and b"/etc/by-hand" in held.read()


def test_undone_nothing_is_left(worked: Worked) -> None:
    assert worked.during > worked.before
    assert worked.after == worked.before
    assert "Undone" in worked.undone
