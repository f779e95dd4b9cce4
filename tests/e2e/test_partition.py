"""A second root on the machine's own disk, made by the store alone: the workflow does not use it yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_circle import appliance_on, boot_without_stick
from tests.lab.appliance import DEBUG_SHELL, Appliance
from tests.lab.circle import IMAGE, outliving, played
from tests.lab.console import Console
from tests.lab.disks import region_hash
from tests.lab.hardware import Hardware
from tests.lab.installed import PLAIN, ROOT, ROOT_UUID, InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.stick import prepare

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(7200)]

SCRIPT = Path(__file__).with_name("second_root.py")
DRIVE = "/opt/twinboot/bin/python /run/twinboot/data/second.py"
MIB = 1 << 20
OLD = f"/dev/vda{ROOT}"
SECOND = "/dev/vda6"
TABLE = ((0, MIB), (PLAIN.disk * MIB - MIB, MIB))
"""Where the two copies of the table lie, in bytes, with what is beside them."""


@dataclass
class Story:
    """The machine after its root was copied, and after the copy was shown to it; both off."""

    sealed: Machine
    shown: Machine
    system: InstalledSystem
    stick: Path
    told: list[dict[str, Any]]

    def close(self) -> None:
        self.shown.close()
        self.sealed.close()


def drive(shell: Console, act: str, limit: float = 1500.0) -> list[dict[str, Any]]:
    said = shell.run(f"{DRIVE} {act}", limit)
    assert said.status == 0, said.text[-3000:]
    return [json.loads(line) for line in said.text.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    found = played(_make, tmp_path_factory.mktemp("partition"))
    yield found
    found.close()


def _make(folder: Path) -> Story:
    system = installed_system(PLAIN)
    folder.mkdir(parents=True)
    stick = prepare(IMAGE, folder / "second.img", {"second.py": SCRIPT.read_bytes()}, DEBUG_SHELL)
    with outliving(Machine.with_system(system, Hardware(), folder=folder / "machine")) as machine:
        with appliance_on(machine, stick) as appliance:
            told = drive(appliance.shell, "seal")
        with outliving(machine.fork()) as shown, appliance_on(shown, stick) as appliance:
            assert drive(appliance.shell, "show") == [{"shown": True}]
        return Story(machine, shown, system, stick, told)


def table(machine: Machine) -> list[str]:
    return [machine.region_hash(at, size) for at, size in TABLE]


def test_only_what_is_used_is_copied_and_how_far_it_is_is_told(story: Story) -> None:
    *copied, end = story.told
    assert end["why_not"] == [] and end["changed"] == 0
    assert end["ours"] == ["base", "copy"]
    assert copied[-1]["done"] == copied[-1]["total"] < PLAIN.root * MIB
    assert all(each["rate"] > 0 and each["left"] >= 0 for each in copied)


def test_until_it_is_shown_no_byte_in_use_has_changed(story: Story) -> None:
    """Table, /boot, root and swap: all up to the end of the last partition, and the table's second copy."""
    used = PLAIN.partitions[-1][2] + PLAIN.partitions[-1][3]
    for at, size in ((0, used * MIB), TABLE[1]):
        assert story.sealed.region_hash(at, size) == region_hash(story.system.disk, at, size)


def test_shown_the_machine_starts_it_and_the_old_root_is_beside_it(story: Story) -> None:
    with story.shown.fork() as machine:
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (SECOND, "1.0", ())
        shell = machine.shell()
        assert shell.read("cat /root/second").strip() == "written on the copy"
        uuids = shell.read(f"blkid -s UUID -o value {SECOND}; blkid -s UUID -o value {OLD}").split()
        assert uuids == [story.told[-1]["uuid"], ROOT_UUID]
        assert shell.run("sfdisk --verify /dev/vda").status == 0
        machine.power_off()


def test_removed_the_partition_table_is_what_it_was(story: Story) -> None:
    with story.shown.fork() as machine:
        assert table(machine) != table(story.sealed)
        with appliance_on(machine, story.stick) as appliance:
            assert drive(appliance.shell, "remove") == [{"ours": []}]
        assert table(machine) == table(story.sealed)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.failed_units) == (OLD, ())
        machine.power_off()


def test_kept_it_has_the_old_roots_number_and_the_old_root_is_free_room(story: Story) -> None:
    with story.shown.fork() as machine:
        with appliance_on(machine, story.stick) as appliance:
            assert drive(appliance.shell, "keep") == [{"ours": []}]
            assert "parted" not in appliance.shell.run("parted -s /dev/vda print free").text
        proof = boot_without_stick(machine)
        assert (proof.root, proof.failed_units) == (OLD, ())
        shell = machine.shell()
        assert shell.read(f"blkid -s UUID -o value {OLD}").strip() == story.told[-1]["uuid"]
        assert shell.run("sfdisk --verify /dev/vda").status == 0
        assert shell.run(f"test -e {SECOND}").status == 1
        machine.power_off()


def test_cut_while_it_is_copied_nothing_is_left(story: Story, tmp_path: Path) -> None:
    with Machine.with_system(story.system, Hardware(), folder=tmp_path / "machine") as machine:
        machine.insert_stick(story.stick)
        shell = Appliance.boot(machine).shell
        shell.read(
            f"({DRIVE} seal > /run/told 2>&1 &) ; until grep -q rate /run/told; do sleep 1; done", 1500
        )
        machine.power_cut()
        assert table(machine) == table(story.sealed)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.failed_units) == (OLD, ())
        machine.power_off()
        with appliance_on(machine, story.stick) as appliance:
            (found,) = drive(appliance.shell, "look")
            assert (found["ours"], found["root"], found["slots"]) == ([], OLD, 5)
