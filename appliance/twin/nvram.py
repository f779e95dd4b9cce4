"""The twin's own UEFI variable store, holding the machine's own boot entries (virt-firmware).

Debian installs no loader on the fallback path, so without its entry the twin's firmware would find nothing.
The machine's variables are only read.
"""

from __future__ import annotations

import logging
from pathlib import Path

from virt.firmware.efi import devpath, efivar, guids, ucs16
from virt.firmware.varstore import edk2

from appliance.errors import TwinFailed
from appliance.model.machine import InstalledSystem, Machine
from appliance.probe.efi import LOADER_DEFAULT, LOADER_GUID, loader_text
from appliance.twin.variables import TwinVariables

TEMPLATE = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
EFIVARS = Path("/sys/firmware/efi/efivars")
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_ACTIVE = 1


def write_vars(
    machine: Machine,
    system: InstalledSystem,
    target: Path,
    template: Path = TEMPLATE,
    efivars: Path = EFIVARS,
) -> tuple[str, ...]:
    """Write a private variable store to `target`: `template` with the entries that start `system`.

    Entries are copied byte by byte from the machine's firmware; where it has none for this system, one is
    made of the ESP and the loader's path. Returns the labels, in boot order. Raises TwinFailed.
    """
    logging.getLogger().setLevel(logging.WARNING)
    entries = _machine_entries(machine, system, efivars) or [_made_entry(system)]
    try:
        store = edk2.Edk2VarStore(str(template))
        variables = store.get_varlist()
        for index, (_, raw) in enumerate(entries):
            variable = variables.create(f"Boot{index:04X}")
            variable.data = raw
            variable.update_time()
        order = variables.create("BootOrder")
        order.set_boot_order(range(len(entries)))
        store.write_varstore(str(target), variables)
        _copy_choice(target, efivars)
    except (OSError, SystemExit, ValueError) as error:
        # SystemExit: how virt-firmware says that a store is damaged.
        raise TwinFailed(f"The twin's UEFI variables could not be written: {error}.") from error
    return tuple(label for label, _ in entries)


def _copy_choice(target: Path, efivars: Path) -> None:
    """What the machine's systemd-boot is told to start for good: its twin starts the same."""
    file = efivars / f"{LOADER_DEFAULT}-{LOADER_GUID}"
    if file.is_file():
        TwinVariables(target).write(LOADER_DEFAULT, loader_text(file.read_bytes()[4:]))


def _machine_entries(machine: Machine, system: InstalledSystem, efivars: Path) -> list[tuple[str, bytes]]:
    """The machine's active entries whose path names the system's ESP, raw, in boot order."""
    esp = system.esp.partuuid.lower() if system.esp else ""
    if not esp:
        return []
    known = {entry.number: entry for entry in machine.boot_order.entries}
    found = []
    for number in machine.boot_order.order:
        entry = known.get(number)
        if entry is None or not entry.active or esp not in entry.path.lower():
            continue
        try:
            raw = (efivars / f"Boot{number}-{_GLOBAL}").read_bytes()[4:]
        except OSError:
            continue
        if len(raw) > 6:
            found.append((entry.label, raw))
    return found


def _made_entry(system: InstalledSystem) -> tuple[str, bytes]:
    if system.esp is None or not system.loader.efi_path:
        raise TwinFailed("The installed system has no UEFI boot entry and no known loader on its ESP.")
    disk = devpath.DevicePathElem()
    disk.set_gpt(
        system.esp.number, system.esp.start // 512, system.esp.size // 512, system.esp.partuuid.lower()
    )
    file = devpath.DevicePathElem()
    file.set_filepath(system.loader.efi_path.replace("/", "\\"))
    path = devpath.DevicePath()
    path.append(disk)
    path.append(file)
    variable = efivar.EfiVar(ucs16.from_string("Boot0000"), guid=guids.parse_str(_GLOBAL))
    variable.set_boot_entry(_ACTIVE, ucs16.from_string(system.os_id or "system"), path)
    return system.os_id or "system", bytes(variable.data)
