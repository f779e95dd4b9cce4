"""Building and taking down the twin's devices: half-built, twice, and never anything that is not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import CommandFailed, TwinFailed
from appliance.twin import devices as devices_module
from appliance.twin.devices import TwinDevices, prefix_of
from appliance.twin.layout import plan_layout
from appliance.twin.pvheader import isolated_config
from tests.unit.twin.fake_mapper import FakeMapper
from tests.unit.twin.machines import encrypted, made
from tests.unit.twin.test_luks_header import COPY, FORM, HEAD
from tests.unit.twin.test_luks_header import made as made_header

MACHINE = made({"root": 20, "srv": 10}, {"opt": 6}, {"swap": 4}, [30, 16])
LAYOUT = plan_layout(MACHINE, MACHINE.systems[0])
VOLUMES = {"root": "/dev/mapper/vg0-root--work", "srv": "/dev/mapper/vg0-srv--work"}


def _devices(host: FakeMapper, folder: Path, part: str = "work") -> TwinDevices:
    return TwinDevices(host, prefix_of("tb1", part), LAYOUT, VOLUMES, "/dev/mapper/vg0-scratch", folder)


def _theirs(host: FakeMapper) -> None:
    host.tables["vg0-root"] = [(0, 8, "linear 253:0 0")]
    host.tables["twinboot-tb10-work-disk0"] = [(0, 8, "linear 253:0 0")]
    host.loops["/dev/loop90"] = ("/dev/vda", 0, 12345)


def test_built_whole(tmp_path: Path) -> None:
    host = FakeMapper()
    twin = _devices(host, tmp_path)
    twin.build()
    assert {name for name in host.tables if name.startswith("twinboot-tb1-work-")} >= {
        "twinboot-tb1-work-disk0", "twinboot-tb1-work-disk1", "twinboot-tb1-work-boot"
    }  # fmt: skip
    assert not any("-pv" in name or "-swap" in name for name in host.tables), "only while they are written"
    for disk, node in zip(LAYOUT.disks, twin.disks, strict=True):
        lines = host.tables[node.removeprefix("/dev/mapper/")]
        assert sum(length for _, length, _ in lines) == disk.sectors
    assert [host.restored[f"/dev/mapper/twinboot-tb1-work-pv{n}"] for n in (0, 1)] == ["PV-0", "PV-1"]
    assert host.restored["text"] == LAYOUT.vg_text
    assert any(argv[0] == "mkswap" and "uuid-swap" in argv for argv in host.commands)


def test_the_real_disk_is_only_read(tmp_path: Path) -> None:
    host = FakeMapper()
    _devices(host, tmp_path).build()
    for name, lines in host.tables.items():
        for _, _, rest in lines:
            assert "/dev/vd" not in rest, f"{name} lies on the real disk itself"
    assert all(target.startswith("/dev/mapper/twinboot-tb1-work-disk") for target, _, _ in host.written)
    for backing, offset, size in host.loops.values():
        for pv, path in ((LAYOUT.pvs[0], "/dev/vda"), (LAYOUT.pvs[1], "/dev/vdb")):
            shown = range(offset // 512, (offset + size) // 512)
            assert backing != path or not (pv.start in shown and pv.start + 1 in shown), (
                "a PV's label is hidden"
            )


def test_torn_down_to_what_was_there(tmp_path: Path) -> None:
    host = FakeMapper()
    _theirs(host)
    tables, loops = dict(host.tables), dict(host.loops)
    twin = _devices(host, tmp_path)
    twin.build()
    twin.teardown()
    assert (host.tables, host.loops) == (tables, loops)
    twin.teardown()
    assert (host.tables, host.loops) == (tables, loops)


def test_cut_at_every_write_it_is_cleared_up_and_built_again(tmp_path: Path) -> None:
    whole = FakeMapper()
    _devices(whole, tmp_path).build()
    for cut in range(whole.writes):
        host = FakeMapper(fail_at=cut)
        _theirs(host)
        tables, loops = dict(host.tables), dict(host.loops)
        with pytest.raises(CommandFailed):
            _devices(host, tmp_path).build()
        host.fail_at = -1
        _devices(host, tmp_path).teardown()
        assert (host.tables, host.loops) == (tables, loops), f"cut at write {cut}"
        _devices(host, tmp_path).build()


def test_a_second_build_replaces_the_first(tmp_path: Path) -> None:
    host = FakeMapper()
    _devices(host, tmp_path).build()
    once = (set(host.tables), len(host.loops))
    _devices(host, tmp_path).build()
    assert (set(host.tables), len(host.loops)) == once


def test_work_and_proof_do_not_see_each_other(tmp_path: Path) -> None:
    host = FakeMapper()
    _devices(host, tmp_path / "a").build()
    work = set(host.tables)
    proof = _devices(host, tmp_path / "b", "proof")
    assert proof.prefix != _devices(host, tmp_path).prefix
    assert not any(name.startswith(proof.prefix) for name in work)


def test_a_device_in_use_is_an_error_not_a_guess(tmp_path: Path) -> None:
    host = FakeMapper()
    twin = _devices(host, tmp_path)
    twin.build()
    host.busy.add("twinboot-tb1-work-disk0")
    with pytest.raises(CommandFailed):
        twin.teardown()


def test_a_missing_snapshot_is_said_before_anything_is_made(tmp_path: Path) -> None:
    host = FakeMapper()
    twin = TwinDevices(host, "twinboot-tb1-work-", LAYOUT, {"root": "/dev/x"}, "/dev/y", tmp_path)
    with pytest.raises(TwinFailed, match="srv"):
        twin.build()
    assert host.commands == []


def test_a_lengthened_disk_gets_its_table_written(tmp_path: Path, monkeypatch) -> None:
    grown = made({"root": 400}, {}, {}, [30], table="dos")
    layout = plan_layout(grown, grown.systems[0])
    mbr = bytearray(1 << 20)
    mbr[446 + 16 + 8 : 446 + 16 + 16] = (layout.pvs[0].start).to_bytes(4, "little") + bytes(4)
    mbr[510:512] = b"\x55\xaa"
    monkeypatch.setattr(devices_module, "_head", lambda path: bytes(mbr))
    host = FakeMapper()
    TwinDevices(
        host, "twinboot-tb1-work-", layout, {"root": "/dev/mapper/vg0-w"}, "/dev/mapper/vg0-s", tmp_path
    ).build()
    assert [(to, at) for to, at, _ in host.written] == [("/dev/mapper/twinboot-tb1-work-disk0", 0)]


def test_an_encrypted_disk_gets_a_header_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = encrypted(MACHINE)
    layout = plan_layout(machine, machine.systems[0])
    monkeypatch.setattr(devices_module, "_head", lambda path, size: HEAD)
    host = FakeMapper(header=made_header(b"k" * 4096))
    TwinDevices(host, "twinboot-tb1-work-", layout, VOLUMES, "/dev/mapper/vg0-s", tmp_path).build()
    assert [(to, at) for to, at, _ in host.written] == [
        (f"/dev/mapper/twinboot-tb1-work-disk{place.disk}", place.start * 512 + at)
        for place in layout.encrypted
        for at in (0, COPY, 2 * COPY)
    ]
    asked = [argv for argv in host.commands if argv[0] == "cryptsetup"]
    assert len(asked) == 2
    for argv in asked:
        assert argv[argv.index("--uuid") + 1] == FORM.uuid
        assert argv[argv.index("--offset") + 1] == "32768"
        assert "/dev" not in argv[-1]
    assert not (tmp_path / "header").exists()


def test_the_isolated_configuration_names_the_twin_s_pvs_and_nothing_else() -> None:
    text = isolated_config(["/dev/mapper/twinboot-tb1-work-pv0"], Path("/run/x"))
    assert text.count('"a|') == 2 and text.count('"r|.*|"') == 2
    assert "use_devicesfile = 0" in text and "auto_activation_volume_list = []" in text
