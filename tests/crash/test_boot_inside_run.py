"""/boot inside the root, through a run's own steps on a real disk.

What we write there is no sign that the old system has run; what others write is.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.place import BootPlace
from appliance.errors import BootConfigFailed, CommandFailed
from appliance.host.files import mounted
from appliance.volumes.partition_disk import device_of
from appliance.workflow.steps.boot import machine_boot, machine_boot_to_read
from appliance.workflow.steps.ground import Ground
from tests.crash.test_partition_run import Lab, lab, pytestmark, rehearsed, shown

__all__ = ["lab", "pytestmark"]


def grounded(lab: Lab) -> Ground:
    """Its run, where the loader's files lie inside the root."""
    ground = lab.ground()
    loader = replace(ground.system.loader, boot_prefix="/boot", folder="grub")
    return lab.ground(system=replace(ground.system, loader=loader))


def origin(lab: Lab) -> str:
    return device_of(lab.bench.loop, 1)


def has_run(lab: Lab) -> bool:
    return any(bool(written) for _, written in lab.ground().changed(lab.bench.host))


@pytest.fixture
def at_rest(lab: Lab) -> Lab:
    """Rehearsed, with a /boot in the root since before."""
    lab.put(origin(lab), hostname="old")
    with mounted(lab.bench.host, origin(lab), "ext4", lab.folder / "hand") as root:
        (root / "boot/grub").mkdir(parents=True)
        (root / "boot/grub/grub.cfg").write_text("menuentry old {}\n")
    rehearsed(lab)
    assert not has_run(lab)
    return lab


def write_something(lab: Lab, name: str = "twinboot") -> BootPlace:
    with machine_boot(lab.bench.host, grounded(lab)) as boot:
        boot.disk.make_folder(name)
        boot.disk.create(f"{name}/env", b"x" * 1024)
        return boot.place


def test_what_we_write_is_no_sign_that_the_old_system_ran(at_rest: Lab) -> None:
    place = write_something(at_rest)
    assert (place.device, place.prefix, place.inside) == (origin(at_rest), "/boot", True)
    assert not has_run(at_rest)


def test_another_appliance_sees_it_so_as_well(at_rest: Lab, tmp_path: Path) -> None:
    shown(at_rest)
    write_something(at_rest)
    shutil.rmtree(tmp_path / "memory")
    assert not has_run(at_rest)
    write_something(at_rest, "again")
    assert not has_run(at_rest)


def test_what_others_write_is_seen_before_ours_and_after(at_rest: Lab, tmp_path: Path) -> None:
    write_something(at_rest)
    at_rest.put(origin(at_rest), fstab="# the old system\n")
    assert has_run(at_rest)
    write_something(at_rest, "again")
    assert has_run(at_rest), "ours does not hide it"
    shutil.rmtree(tmp_path / "memory")
    assert has_run(at_rest)


def test_cut_off_while_we_wrote_it_is_taken_for_changed(at_rest: Lab) -> None:
    with pytest.raises(KeyboardInterrupt):
        # A process that is killed comes to no end of any kind.
        host, ground = at_rest.bench.host, grounded(at_rest)
        store = ground.store(host)
        entered = store.our_writes(ground.system.root.name)
        entered.__enter__()
        at_rest.put(origin(at_rest), half="written")
        raise KeyboardInterrupt
    assert has_run(at_rest)


def test_looking_writes_nothing(at_rest: Lab, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "memory")
    before = Path(origin(at_rest)).read_bytes()
    with machine_boot_to_read(at_rest.bench.host, grounded(at_rest)) as boot:
        assert boot.disk.read("grub/grub.cfg") == b"menuentry old {}\n"
        with pytest.raises((BootConfigFailed, CommandFailed)):
            boot.disk.create("x", b"y")
    assert Path(origin(at_rest)).read_bytes() == before and not has_run(at_rest)
