"""Data that somebody adds to the volume set goes round with the root, as /var does; other data stays data."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model.lineage import Lineage
from appliance.model.machine import Machine, Role, Storage, Volume
from appliance.workflow.rehearse import build_plan
from tests.unit.workflow.test_rehearse_plan import machine, request


def srv(found: Machine) -> Volume:
    return next(v for v in found.systems[0].volumes if v.target == "/srv")


def with_srv(found: Machine, volume: Volume, *specs: str) -> Machine:
    """`found` with /srv as `volume`, and with one line of fstab for each spec, where there are any."""
    (system,) = found.systems
    volumes = (volume if v.target == "/srv" else v for v in system.volumes)
    (line,) = (entry for entry in system.fstab if entry.target == "/srv")
    lines = tuple(replace(line, spec=spec) for spec in specs) or (line,)
    fstab = (*(entry for entry in system.fstab if entry.target != "/srv"), *lines)
    return replace(found, systems=(replace(system, volumes=tuple(volumes), fstab=fstab),))


def refused(found: Machine, **words: object) -> tuple[str, ...]:
    with pytest.raises(Refused) as said:
        build_plan(found, request(**words), Lineage())
    return said.value.reasons


def test_added_data_has_the_names_of_the_set_and_none_of_data() -> None:
    made = build_plan(machine(), request(added=("/srv",)), Lineage())
    names = made.names
    assert [v.target for v in made.system.volume_set] == ["/", "/srv"]
    assert (names.data_work, names.data_proof, names.data_before, names.data_safety) == ((), (), (), ())
    assert names.set_trial == (("srv", "srv-tb1"),)
    assert names.set_base == (("srv", "srv-tb1-base"),)
    assert made.warnings[0].startswith(
        "/srv goes round with the root: sealed, promoted and given back in one"
    )


def test_nothing_is_added_that_nobody_named() -> None:
    made = build_plan(machine(), request(), Lineage())
    assert [v.target for v in made.system.volume_set] == ["/"]
    assert made.names.set_trial == () and made.names.data_safety == (("srv", "srv-tb1-safety"),)
    assert not any("goes round with the root" in warning for warning in made.warnings)


@pytest.mark.parametrize("place", ["/home", "/", "none", "srv"])
def test_what_is_no_data_of_this_system_is_refused_and_what_can_be_added_is_named(place: str) -> None:
    assert refused(machine(), added=(place,)) == (
        f"{place} can not go round with the root; of this system's data /srv can: what lies on thin volumes"
        " of LVM beside a thin root.",
    )


def test_data_on_another_kind_of_volume_is_refused() -> None:
    found = machine()
    for other in (replace(srv(found), storage=Storage.LVM_THICK), replace(srv(found), vg="vg1")):
        said = refused(with_srv(found, other), added=("/srv",))
        assert "of this system's data none can" in said[0]


def test_beside_a_root_of_another_kind_none_can_be_added() -> None:
    thick = machine("ubuntu-thick")
    (system,) = thick.systems
    data = replace(system.root, role=Role.DATA, target="/data", lv="data", device="/dev/mapper/vg0-data")
    found = replace(thick, systems=(replace(system, volumes=(*system.volumes, data)),))
    assert any("/data can not go round with the root" in said for said in refused(found, added=("/data",)))


def test_a_line_that_can_not_name_a_snapshot_is_refused() -> None:
    found = machine()
    by_tag = with_srv(found, srv(found), "UUID=c4e1f7b0-6d28-4c93-b5a9-0f3e8d7a2b16")
    (said,) = refused(by_tag, added=("/srv",))
    assert said.startswith("fstab names /srv by what its snapshots bear as well")
    twice = with_srv(found, srv(found), "/dev/mapper/vg0-srv", "/dev/vg0/srv")
    (said,) = refused(twice, added=("/srv",))
    assert said.startswith("fstab has more than one line for /srv")
    assert build_plan(by_tag, request(), Lineage()).steps, "as data it goes as it did"


def test_what_keeps_nothing_adds_nothing() -> None:
    said = refused(machine(), added=("/srv",), rehearse_only=True, store="ram")
    assert "What is rehearsed only keeps nothing: leave out --set, or --rehearse-only." in said
