"""The twin's UEFI variables, read back from the store that OVMF will read."""

from __future__ import annotations

import struct
from pathlib import Path

import msgspec
import pytest
from virt.firmware.varstore import edk2

from appliance.errors import TwinFailed
from appliance.probe.efi import LOADER_GUID
from appliance.twin.nvram import TEMPLATE, write_vars
from appliance.twin.variables import TwinVariables
from tests.unit.twin.machines import recorded

GUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"


def _read(path: Path) -> dict[str, bytes]:
    return {name: bytes(var.data) for name, var in edk2.Edk2VarStore(str(path)).get_varlist().items()}


def _raw_entry(title: str = "debian") -> bytes:
    path = struct.pack("<BBH", 0x7F, 0xFF, 4)
    return struct.pack("<LH", 1, len(path)) + title.encode("utf-16-le") + b"\0\0" + path + b"extra"


def test_the_machine_s_own_entry_is_copied_byte_by_byte(tmp_path: Path) -> None:
    machine = recorded("thin-uefi")
    (tmp_path / f"Boot0001-{GUID}").write_bytes(b"\x07\0\0\0" + _raw_entry())
    target = tmp_path / "vars.fd"
    assert write_vars(machine, machine.systems[0], target, efivars=tmp_path) == ("debian",)
    variables = _read(target)
    assert variables["Boot0000"] == _raw_entry()
    assert variables["BootOrder"] == b"\0\0"
    assert target.stat().st_size == TEMPLATE.stat().st_size


def test_an_entry_is_made_where_the_machine_has_none(tmp_path: Path) -> None:
    machine = recorded("thin-uefi")
    system = machine.systems[0]
    target = tmp_path / "vars.fd"
    assert write_vars(machine, system, target, efivars=tmp_path) == ("debian",)
    entry = _read(target)["Boot0000"]
    number, start, size = struct.unpack_from("<LQQ", entry, entry.index(b"\x04\x01\x2a\x00") + 4)
    assert (number, start * 512, size * 512) == (system.esp.number, system.esp.start, system.esp.size)
    assert system.loader.efi_path.encode("utf-16-le") in entry


def test_entries_of_other_systems_stay_out(tmp_path: Path) -> None:
    machine = recorded("thin-uefi")
    for entry in machine.boot_order.entries:
        (tmp_path / f"Boot{entry.number}-{GUID}").write_bytes(b"\x07\0\0\0" + _raw_entry(entry.label))
    target = tmp_path / "vars.fd"
    assert write_vars(machine, machine.systems[0], target, efivars=tmp_path) == ("debian",)


def test_what_leads_systemd_boot_is_read_written_and_removed_in_the_twin_s_own_store(tmp_path: Path) -> None:
    machine, target = recorded("thin-uefi"), tmp_path / "vars.fd"
    variables = TwinVariables(target)
    assert variables.why_not() and variables.read("LoaderEntryOneShot") is None
    write_vars(machine, machine.systems[0], target, efivars=tmp_path)
    assert variables.why_not() == () and variables.read("LoaderEntryOneShot") is None
    variables.write("LoaderEntryOneShot", "twinboot-new-tb1.conf")
    variables.write("LoaderEntryDefault", "twinboot-previous-tb1.conf")
    assert variables.read("LoaderEntryOneShot") == "twinboot-new-tb1.conf"
    stored = edk2.Edk2VarStore(str(target)).get_varlist()["LoaderEntryOneShot"]
    assert (str(stored.guid).lower(), stored.attr) == (LOADER_GUID, 7)
    assert bytes(stored.data) == "twinboot-new-tb1.conf\0".encode("utf-16-le")
    variables.remove("LoaderEntryOneShot")
    variables.remove("LoaderEntryOneShot")
    assert set(_read(target)) >= {"Boot0000", "BootOrder", "LoaderEntryDefault"}
    assert variables.read("LoaderEntryOneShot") is None


def test_the_machine_s_own_choice_leads_its_twin(tmp_path: Path) -> None:
    machine, target = recorded("thin-uefi"), tmp_path / "vars.fd"
    value = "twinboot-previous-tb1.conf\0".encode("utf-16-le")
    (tmp_path / f"LoaderEntryDefault-{LOADER_GUID}").write_bytes(b"\x07\0\0\0" + value)
    write_vars(machine, machine.systems[0], target, efivars=tmp_path)
    assert TwinVariables(target).read("LoaderEntryDefault") == "twinboot-previous-tb1.conf"


def test_the_template_is_left_alone(tmp_path: Path) -> None:
    before = TEMPLATE.read_bytes()
    machine = recorded("thin-uefi")
    write_vars(machine, machine.systems[0], tmp_path / "vars.fd", efivars=tmp_path)
    assert TEMPLATE.read_bytes() == before


@pytest.mark.parametrize("damage", [b"", b"x" * 4096])
def test_a_damaged_template_is_an_error_of_ours(tmp_path: Path, damage: bytes) -> None:
    template = tmp_path / "template.fd"
    template.write_bytes(damage)
    machine = recorded("thin-uefi")
    with pytest.raises(TwinFailed):
        write_vars(machine, machine.systems[0], tmp_path / "vars.fd", template=template, efivars=tmp_path)


def test_a_system_with_no_way_to_start_is_an_error(tmp_path: Path) -> None:
    machine = recorded("thin-uefi")
    system = msgspec.structs.replace(
        machine.systems[0], loader=msgspec.structs.replace(machine.systems[0].loader, efi_path="")
    )
    with pytest.raises(TwinFailed, match="no known loader"):
        write_vars(machine, system, tmp_path / "vars.fd", efivars=tmp_path)
