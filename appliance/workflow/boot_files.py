"""The small files that decide what boots, as they were before and after an act: part of its record."""

from __future__ import annotations

import contextlib
from pathlib import Path

from appliance.boot.flip import open_boot
from appliance.boot.place import SECTOR_PATH
from appliance.errors import ApplianceError
from appliance.host.run import Host, read
from appliance.model.machine import Firmware
from appliance.model.plan import Plan
from appliance.probe.bls import ENTRIES
from appliance.probe.loader_conf import LOADER_CONF
from appliance.workflow.steps.ground import boot_place
from appliance.workflow.workplace import Workplace

LARGEST = 256 * 1024
"""Bytes; the state volume is small, and what is larger is no configuration."""


def save_boot_files(host: Host, plan: Plan, work: Workplace, folder: Path) -> None:
    """Put the loader's files and the boot variables into the new `folder`, read as the loader reads them.

    Reads only. What cannot be read is left out: a record is never a reason to stop an act. Nothing is done
    where `folder` is there already, so that "before" stays what it was when an act goes on after a gate.
    """
    if folder.exists():
        return
    with contextlib.suppress(ApplianceError, OSError):
        folder.mkdir(parents=True)
        if work.machine.firmware is Firmware.UEFI:
            said = host.run(read("efibootmgr", "-v", timeout=30)).stdout
            (folder / "efibootmgr.txt").write_text(said)
        place = boot_place(work.machine, plan.system, work.runtime)
        boot = open_boot(host, place)
        raw = boot.raw
        paths = [f"{place.folder}/{name}" for name in ("grub.cfg", "custom.cfg", "grubenv")]
        paths += [LOADER_CONF, *(f"{ENTRIES}/{name}" for name in raw.names(ENTRIES))]
        found = {path: raw.read(path) for path in paths} | {SECTOR_PATH: boot.sector.read()}
        for path, data in found.items():
            if data is not None and len(data) <= LARGEST:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)
