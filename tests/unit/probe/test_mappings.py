"""Device-mapper tables that show volumes without being able to write them."""

from __future__ import annotations

from appliance.probe.lvm_metadata import VgMetadata, parse
from appliance.probe.mappings import Readable, Sources, readable
from tests.unit.probe.test_lvm_metadata import STRIPED, recorded

THIN = parse(recorded())
THICK = parse(STRIPED)
COW = {"pool": "/dev/loop7"}


def pvs(meta: VgMetadata) -> dict[str, str]:
    return {pv.id: f"/dev/sd{'abc'[n]}1" for n, pv in enumerate(meta.pvs)}


def tables(found: Readable) -> dict[str, tuple[str, ...]]:
    return {m.path: m.table for m in found.mappings}


def test_linear_and_striped_tables_cover_their_volumes() -> None:
    found = readable(THICK, Sources(pvs=pvs(THICK)))
    shown = tables(found)
    assert dict(found.volumes) == {
        "swap": "/dev/mapper/twinboot-probe-0",
        "str": "/dev/mapper/twinboot-probe-1",
    }
    assert shown["/dev/mapper/twinboot-probe-0"] == (
        "0 204800 linear /dev/sda1 2048",
        f"204800 409600 linear /dev/sda1 {2048 + 113 * 8192}",
    )
    assert shown["/dev/mapper/twinboot-probe-1"] == (
        f"0 212992 striped 2 128 /dev/sda1 {2048 + 25 * 8192} /dev/sdb1 2048",
    )
    assert not any(m.writable for m in found.mappings)


def test_a_private_pool_lies_over_a_copy_on_write_of_its_metadata() -> None:
    found = readable(THIN, Sources(pvs=pvs(THIN), cows=COW), first=10)
    meta, cow, data, pool, *rest = found.mappings
    assert [m.name for m in found.mappings] == [
        f"twinboot-probe-{n}" for n in range(10, 10 + len(found.mappings))
    ]
    assert cow.table[0].endswith(f"snapshot {meta.path} /dev/loop7 N 8")
    assert pool.table[0].split()[2:] == [
        "thin-pool",
        cow.path,
        data.path,
        "128",
        "0",
        "3",
        "read_only",
        "skip_block_zeroing",
        "ignore_discard",
    ]
    assert [m.writable for m in (meta, cow, data, pool)] == [False, True, False, True]
    assert not any(m.writable for m in rest)
    assert dict(found.pools) == {"pool": pool.path}
    root = dict(found.volumes)["root"]
    assert tables(found)[root] == (f"0 {896 * 8192} thin {pool.path} 1",)


def test_an_active_pool_is_asked_itself_and_its_metadata_left_alone() -> None:
    active = {"pool": "/dev/mapper/vg0-pool-tpool"}
    found = readable(THIN, Sources(pvs=pvs(THIN), active=active))
    assert dict(found.pools) == active
    assert {line.split()[2] for m in found.mappings for line in m.table} == {"thin", "linear"}
    assert not any(m.writable for m in found.mappings)


def test_what_is_skipped_is_not_shown() -> None:
    found = readable(THIN, Sources(pvs=pvs(THIN), cows=COW), skip=frozenset({"srv"}))
    assert set(dict(found.volumes)) == {"root", "swap"}


def test_missing_pvs_and_unknown_kinds_are_named() -> None:
    lost = dict(readable(THICK, Sources(pvs={THICK.pvs[0].id: "/dev/sda1"})).unreadable)
    assert lost == {"str": "its physical volume pv1 is missing"}
    odd = parse(STRIPED.replace('type = "striped"', 'type = "raid1"'))
    assert dict(readable(odd, Sources(pvs=pvs(odd))).unreadable)["swap"] == "it is of the kind raid1"
    without = dict(readable(THIN, Sources(pvs={}, cows=COW)).unreadable)
    assert set(without) == {"pool", "root", "srv", "swap"}
    assert "pool" in dict(readable(THIN, Sources(pvs=pvs(THIN))).unreadable)


def test_a_pool_without_its_parts_is_named() -> None:
    broken = parse(recorded().replace('metadata = "pool_tmeta"', 'metadata = "gone"'))
    found = dict(readable(broken, Sources(pvs=pvs(broken), cows=COW)).unreadable)
    assert found["pool"] == "its parts are not described" and "pool" in found["root"]
