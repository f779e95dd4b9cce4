"""The circle on a root inside LUKS: the twin is encrypted in form, the metal asks at each of its starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endings import Kind, kept_and_retired, rolled_back_and_retired
from tests.e2e.test_circle import NEW, appliance_on
from tests.lab import encrypted
from tests.lab.appliance import PROGRAM, Appliance
from tests.lab.circle import lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.console import Answer
from tests.lab.encrypted import PASSPHRASE
from tests.lab.installed import ENCRYPTED, InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot
from tests.lab.screens import SOON, ScreenTerminal, sees

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(10800),
]

HEADER = "dd if=/dev/vda4 bs=1M count=16 status=none | sha256sum"
WRITTEN = "awk '{print $7, $14}' /sys/block/vda/stat"
"""Sectors that the appliance has written to and discarded on the disk (Documentation/block/stat.rst)."""
KEPT_IN = "/run /var/log /var/lib /tmp /root /etc"


@dataclass
class Kept:
    """An encrypted machine that has gone round and is off, and what was seen on the way.

    `told` is what promote said, `found` the files of the appliance that hold the passphrase or the key,
    `heard` all that the machine and its twins said on the serial line.
    """

    machine: Machine
    system: InstalledSystem
    wrong: Answer
    written: tuple[str, str]
    locked: dict[str, Any]
    headers: tuple[str, str]
    verdict: dict[str, Any]
    told: str
    found: list[str]
    consoles: str
    heard: str
    proof: ProofOfBoot


def unlock(appliance: Appliance, passphrase: str = PASSPHRASE) -> Answer:
    """As a script does it: the passphrase comes by standard input."""
    return appliance.shell.run(f"printf '%s\\n' '{passphrase}' | {PROGRAM} unlock", limit=900)


def unlocked(appliance: Appliance) -> Appliance:
    """With the machine's disk open, and whatever an earlier start left inside it looked after."""
    answer = unlock(appliance)
    assert answer.status == 0, answer.text
    appliance.recovered()
    return appliance


def started(machine: Machine) -> ProofOfBoot:
    """The machine's own start, without the stick, by somebody who types the passphrase."""
    machine.pull_stick()
    encrypted.unlock(machine.power_on())
    return machine.proof_of_boot()


KIND = Kind(frozenset({"root", "srv", "swap", "twinboot-state"}), let_in=unlocked, start=started)


def holding(appliance: Appliance) -> list[str]:
    """The appliance's files that hold the passphrase, or the key of the disk in either form."""
    table = appliance.shell.read("dmsetup table --showkeys --target crypt")
    key = next(word for word in table.split() if len(word) == 128)
    raw = "".join(f"\\x{key[at : at + 2]}" for at in range(0, len(key), 2))
    asked = (f"-F -e '{PASSPHRASE}'", f"-F -i -e {key}", f"-P -e '{raw}'")
    found = (appliance.shell.run(f"LC_ALL=C grep -rlas -D skip {w} {KEPT_IN}", limit=600) for w in asked)
    journal = appliance.shell.run(f"journalctl -b --no-pager | grep -F -e '{PASSPHRASE}' -e {key}")
    return [line for answer in (*found, journal) for line in answer.text.splitlines() if line]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("luks"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(ENCRYPTED)
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True)) as machine:
        appliance = Appliance.boot(machine)
        shell = appliance.shell
        locked, before = appliance.inspect(), shell.read(WRITTEN)
        wrong = unlock(appliance, f"{PASSPHRASE}x")
        written, header = (before, shell.read(WRITTEN)), shell.read(HEADER)
        unlocked(appliance)
        verdict = appliance.rehearse("--packages", "ledger", "linux-image-amd64")
        headers = (header, shell.read(HEADER))
        told = appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        consoles = shell.read("cat /run/twinboot/tb1/*/console.log", limit=300)
        found = holding(appliance)
        appliance.reboot()
        encrypted.unlock(machine.console)
        proof = trial_kept(machine)
        heard = machine.console.text
        machine.power_off()
        return Kept(
            machine, system, wrong, written, locked, headers, verdict, told, found, consoles, heard, proof
        )


def test_a_wrong_passphrase_is_refused_and_nothing_is_written(kept: Kept) -> None:
    assert [one["path"] for one in kept.locked["locked"]] == ["/dev/vda4"]
    assert kept.locked["systems"] == []
    assert kept.wrong.status != 0
    assert "The passphrase does not open /dev/vda4." in kept.wrong.text
    before, after = kept.written
    assert before == after


def test_it_is_rehearsed_in_a_twin_that_is_encrypted_in_form_only(kept: Kept) -> None:
    assert kept.verdict["result"] == "PASS", kept.verdict
    assert kept.verdict["seal"] == "frozen" and kept.verdict["proof_boot"]
    (said,) = [c for c in kept.verdict["checks"] if c["name"] == "disk encryption"]
    assert said["outcome"] == "NOT TESTED" and "in form only" in said["why"]
    assert kept.consoles.count("set up successfully") == 3, "control, patched and proof boot were let in"
    assert kept.headers[0] == kept.headers[1], "the header on the machine's disk was not written"


def test_the_passphrase_and_the_key_are_in_no_file_and_on_no_console(kept: Kept) -> None:
    assert kept.found == []
    assert PASSPHRASE not in kept.consoles
    assert PASSPHRASE not in kept.heard


def test_it_is_let_in_at_the_machine_s_own_screen_which_never_shows_the_passphrase(
    kept: Kept, tmp_path: Path
) -> None:
    with (
        kept.machine.fork() as machine,
        appliance_on(machine, stick_with_shell(tmp_path)) as appliance,
    ):
        screen = ScreenTerminal(machine, appliance.shell)
        sees(screen, "/dev/vda4 is encrypted", limit=SOON)
        screen.press("u")
        sees(screen, "Keyboard of the machine's own screen", limit=SOON)
        screen.press("enter")
        sees(screen, "Unlock an encrypted device", limit=SOON)
        screen.press(*PASSPHRASE[:-1], "enter")
        sees(screen, "The passphrase does not open /dev/vda4", limit=SOON)
        screen.press(*PASSPHRASE)
        assert PASSPHRASE not in screen.text()
        screen.press("enter")
        sees(screen, "Debian GNU/Linux 12", limit=SOON)
        assert [one["id"] for one in appliance.inspect()["systems"]] != []
        assert PASSPHRASE not in machine.console.text
        assert holding(appliance) == []


def test_the_metal_runs_what_was_tested_and_keeps_it(kept: Kept) -> None:
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (NEW, "1.1", ())
    assert kept.proof.kernel == kept.system.offers.update.release
    assert "its next start waits until somebody types the passphrase" in kept.told


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        told = rolled_back_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        assert "waits until somebody types the passphrase" in told
        machine.power_off()


def test_retired_the_kept_system_has_the_root_volume_s_name(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        kept_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        machine.power_off()
