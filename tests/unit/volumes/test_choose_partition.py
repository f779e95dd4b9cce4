"""Which system on a partition gets a store, and the sentences where one does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import Refused
from appliance.host.run import RealHost
from appliance.model.machine import InstalledSystem, Machine, Role
from appliance.volumes.choose_partition import store_in, why_no_room, why_not
from tests.unit.twin.machines import plain

MIB = 1 << 20


def with_free(free: int) -> tuple[Machine, InstalledSystem]:
    """The plain machine with `free` bytes behind its last partition."""
    machine = plain()
    (disk,) = machine.disks
    end = max(part.start + part.size for part in disk.partitions)
    return replace(machine, disks=(replace(disk, size=end + free),)), machine.systems[0]


def test_a_plain_root_gets_a_store_beside_it() -> None:
    machine, system = with_free(1 << 40)
    assert why_not(machine, system) == () and why_no_room(machine, system, 100 * MIB) == ()
    store = store_in(RealHost(), machine, system, Path("/run/twinboot/partition"), 100 * MIB)
    assert (store.disk, store.vg, store.called) == ("/dev/vda", "vda", "vda4")
    assert store.why_not(100 * MIB) == () and store.root.path == system.root.device


def test_a_full_disk_is_a_matter_of_room_alone() -> None:
    """So what was made before is found again, and can be removed, when nothing more would fit."""
    machine, system = with_free(0)
    assert why_not(machine, system) == ()
    (why,) = why_no_room(machine, system, 100 * MIB)
    assert "in one piece" in why
    assert store_in(RealHost(), machine, system, Path("/run/twinboot/partition"), 100 * MIB).why_not(MIB)


def test_a_volume_of_the_set_beside_the_root_is_refused() -> None:
    machine, system = with_free(1 << 40)
    var = replace(system.root, role=Role.SET, target="/var", device="/dev/vda6")
    found = replace(system, volumes=(*system.volumes, var))
    (why,) = why_not(machine, found)
    assert why.startswith("/var (/dev/vda6) belongs to the volume set")
    with pytest.raises(Refused):
        store_in(RealHost(), machine, found, Path("/run/twinboot/partition"), 100 * MIB)


def test_a_root_that_is_no_partition_is_refused() -> None:
    machine, system = with_free(1 << 40)
    for root in (replace(system.root, vg="vg0"), replace(system.root, device="/dev/vda")):
        (why,) = why_not(machine, replace(system, root=root))
        assert "is no partition of a disk" in why
        assert why_no_room(machine, replace(system, root=root), MIB) == ()
