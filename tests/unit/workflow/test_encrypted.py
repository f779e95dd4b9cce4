"""A volume group inside LUKS: what is said before, what must be in an initrd, what is proven unchanged."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.drivers import root_stack
from appliance.boot.initrd_maker import INITRAMFS_TOOLS
from appliance.boot.shapes import BootState
from appliance.model.lineage import Lineage
from appliance.model.machine import Firmware, Kernel, Locked
from appliance.model.plan import Request, Verb
from appliance.model.verdict import Outcome, Result
from appliance.twin.luks_header import MODULES
from appliance.workflow import elsewhere, rehearse, standing
from appliance.workflow.steps import metal, snapshot
from appliance.workflow.steps.ground import Ground
from appliance.workflow.steps.metal import Needed
from appliance.workflow.steps.verdict import provisional
from appliance.workflow.ways import ways_to_room
from tests.unit.twin.machines import encrypted
from tests.unit.workflow import test_descent, test_promote_plan
from tests.unit.workflow.test_retirement import FOUND, group, run_volumes, view
from tests.unit.workflow.var import ground_of, installed

INSIDE = replace(encrypted(FOUND), firmware=Firmware.BIOS)
KERNEL = Kernel(version="6.1", vmlinuz="vmlinuz-6.1", initrd="initrd.img-6.1")
WHOLE = ("dm-crypt", "ecb", "crypto_null", "xts", "aes_generic", "dm-snapshot")


def warned(verb: Verb) -> tuple[str, ...]:
    machine = encrypted(replace(FOUND, kvm=True, volume_groups=(group(*run_volumes("tb1")),)))
    seen = view(BootState.KEPT) if verb is Verb.ROLLBACK else None
    return test_promote_plan.plan(verb, seen, machine=machine).warnings


def test_before_a_promotion_it_is_said_that_somebody_must_type() -> None:
    first, second = warned(Verb.PROMOTE)
    assert "waits until somebody types the passphrase" in first and "Be there." in first
    assert "in form only" in second
    assert test_promote_plan.plan(Verb.PROMOTE).warnings == ()
    (back,) = warned(Verb.ROLLBACK)
    assert "the next start waits until somebody types the passphrase" in back


def test_what_a_trial_falls_back_from_begins_with_who_must_be_there() -> None:
    said = standing.falls_back(INSIDE)
    assert said[0].startswith("Never without somebody at its console")
    assert said[1:] == standing.falls_back(FOUND)


def test_the_verdict_says_what_the_twin_s_disk_was(tmp_path: Path) -> None:
    plain = test_descent.ground(tmp_path)
    stage = inside(plain)
    for each in (plain, stage):
        each.work.save("control", test_descent.facts())
        each.work.save("patched", test_descent.facts())
    (said,) = [c for c in provisional(stage).checks if c.name == "disk encryption"]
    assert said.outcome is Outcome.NOT_TESTED and "encrypted in form only" in said.why
    assert provisional(stage).result is Result.PASS, "it is no fault of the patch"
    assert not any(c.name == "disk encryption" for c in provisional(plain).checks)


def inside(ground: Ground) -> Ground:
    """The same run on a machine whose volume group lies in LUKS."""
    work = dataclasses.replace(ground.work, machine=encrypted(ground.machine))
    return dataclasses.replace(ground, work=work)


def test_the_header_is_among_what_is_proven_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []
    monkeypatch.setattr(snapshot, "sha256_of", lambda at, size: seen.append((str(at), size)) or "")
    plan = rehearse.build_plan(INSIDE, Request(verb=Verb.REHEARSE, emulate=True), Lineage())
    found = snapshot.take_evidence(installed(), ground_of(plan, tmp_path, INSIDE))
    (layer,) = INSIDE.layers
    assert (layer.below[0], layer.offset) in seen
    assert f"{layer.name} LUKS header" in found
    assert (INSIDE.disks[0].path, 1 << 20) in seen, "and the head of the disk, which no volume begins in"


def test_the_metal_s_stack_decrypts() -> None:
    stack = root_stack((), ("thin",), "ext4", ciphers=("aes-xts-plain64",))
    assert {"dm_crypt", "xts", "aes_generic", "dm_thin_pool"} <= set(stack.modules)
    assert ("cryptsetup", "systemd-cryptsetup") in stack.programs


@pytest.mark.parametrize(
    ("missing", "snapshots", "said"),
    [
        ("", ("dm_snapshot",), ()),
        ("crypto_null", (), ("it could not open the disk of a twin",)),
        ("xts", (), ("it could not open the disk of a twin",)),
        ("dm-snapshot", ("dm_snapshot",), ("this machine would not boot",)),
        ("dm-snapshot", (), ()),
    ],
)
def test_an_initrd_that_could_not_open_a_twin_s_disk_is_named(
    missing: str,
    snapshots: tuple[str, ...],
    said: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = tuple(f"lib/modules/6.1/{name}.ko" for name in WHOLE if name != missing)
    monkeypatch.setattr(metal, "initrd_names", lambda host, path: names)
    monkeypatch.setattr(metal, "modules_folder", lambda root, version: tmp_path)
    needed = Needed(snapshots=snapshots, form=(*MODULES, "aes_generic", "xts"))
    found = metal._why_not_by(installed(), KERNEL, needed, tmp_path, tmp_path)
    assert len(found) == len(said)
    for sentence, words in zip(found, said, strict=True):
        assert sentence.startswith("The initrd initrd.img-6.1 of the installed system lacks the driver ")
        assert words in sentence and "update-initramfs -u -k 6.1" in sentence


def test_modules_that_nothing_asks_for_are_named_in_the_way_on() -> None:
    typed = INITRAMFS_TOOLS.with_modules(MODULES)
    assert typed == "printf '%s\\n' dm_crypt crypto_null ecb >>/etc/initramfs-tools/modules; "


def test_nothing_is_read_where_no_initrd_must_do_more() -> None:
    assert not Needed((), ()).any and Needed((), ("ecb",)).any


def test_a_disk_with_something_locked_is_offered_to_nobody() -> None:
    """Neither for a copy of ours, nor to the volume group as more room."""
    (spare,) = (replace(FOUND.disks[0], path="/dev/vdx", table="", partitions=()),)
    there = replace(FOUND, disks=(*FOUND.disks, spare))
    assert "/dev/vdx" in " ".join(ways_to_room(there, there.systems[0], 1 << 30))
    locked = replace(there, locked=(Locked(path="/dev/vdx", uuid="x", name="/dev/vdx"),))
    assert "/dev/vdx" not in " ".join(ways_to_room(locked, locked.systems[0], 1 << 30))
    assert not list(elsewhere.usb(locked))
