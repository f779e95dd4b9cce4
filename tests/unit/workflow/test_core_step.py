"""Which root's /boot GRUB's core image reads: asked before a promotion counts on it or a root is deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.bios_core import Core
from appliance.errors import Refused
from appliance.model.machine import Machine
from appliance.model.plan import Request, Verb
from appliance.workflow.steps import core
from appliance.workflow.steps.core import read_from_a_copy, refuse_what_grub_reads, why_not_read
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.unit.workflow.plans import planned
from tests.unit.workflow.test_inside_plan import machine
from tests.unit.workflow.test_partition_plan import NEW
from tests.unit.workflow.test_partition_plan import machine as beside


def ground(tmp_path: Path, found: Machine, doomed: tuple[str, ...] = ()) -> Ground:
    plan = replace(planned(machine()), request=Request(verb=Verb.RETIRE, run="tb1"), doomed=doomed)
    return Ground(plan, Workplace(found, "tb1", tmp_path, tmp_path, tmp_path))


def listed(number: int = 6) -> Machine:
    found = machine("trial")
    (disk,) = found.disks
    copies = tuple(replace(c, number=number) if c.name == "part4-tb1" else c for c in disk.copies)
    return replace(found, disks=(replace(disk, copies=copies),))


def reads(monkeypatch: pytest.MonkeyPatch, prefix: bytes | None) -> None:
    found = None if prefix is None else Core(b"\0" * 40 + prefix)
    monkeypatch.setattr(core, "read_core", lambda disk: found)


@pytest.mark.parametrize(
    ("prefix", "why"),
    [
        (b"(,gpt4)/boot/grub", ""),
        (b"(,msdos4)/boot/grub", ""),
        (b"search.fs_uuid uuid-4 root", ""),
        (b"(,gpt2)/grub", "reads another /boot"),
        (b"(,gpt40)/boot/grub", "reads another /boot"),
        (None, "is of no kind that is known here"),
    ],
)
def test_what_grub_does_not_read_is_not_promoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prefix: bytes | None, why: str
) -> None:
    reads(monkeypatch, prefix)
    said = why_not_read(ground(tmp_path, machine("trial")))
    assert (why in said[0] and "grub-install /dev/vda" in said[0]) if why else said == ()


@pytest.mark.parametrize("prefix", [b"(,gpt6)/boot/grub", NEW.removeprefix("UUID=").encode()])
def test_a_root_that_grub_reads_is_not_deleted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prefix: bytes
) -> None:
    reads(monkeypatch, prefix)
    on = ground(tmp_path, listed(), ("part4-tb1",))
    assert read_from_a_copy(on) == "part4-tb1"
    with pytest.raises(Refused, match="run grub-install /dev/vda there"):
        refuse_what_grub_reads(on)


def test_the_others_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reads(monkeypatch, b"(,gpt4)/boot/grub")
    refuse_what_grub_reads(ground(tmp_path, listed(), ("part4-tb1",)))
    reads(monkeypatch, b"(,gpt6)/boot/grub")
    assert read_from_a_copy(ground(tmp_path, listed(0))) == "", "no table lists it"


def test_where_boot_is_a_partition_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(core, "read_core", lambda disk: pytest.fail("asked"))
    plan = planned(beside())
    on = Ground(plan, Workplace(beside("trial"), "tb1", tmp_path, tmp_path, tmp_path))
    assert why_not_read(on) == () and read_from_a_copy(on) == ""
