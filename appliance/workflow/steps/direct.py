"""Twins whose own loader and initrd can not start them: their kernel is, with drivers added to its initrd.

The kernel, the initrd and the command line are those that the twin's loader would take at that start; what is
added lies in memory, in no volume of the machine or of ours.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

from appliance.boot.artifacts import modules_folder
from appliance.boot.extra_initrd import WORD, archive, behind, kernel_version
from appliance.boot.flip import mounted_for, open_boot
from appliance.boot.grub_started import command_line, take, upcoming
from appliance.boot.place import BootPlace
from appliance.boot.shapes import Entry
from appliance.errors import BootConfigFailed
from appliance.host.files import Inside, mounted_inside, mounted_readonly
from appliance.host.run import Host
from appliance.twin.controllers import called
from appliance.twin.domain import Direct
from appliance.twin.twin import DIRECT, Twin
from appliance.workflow.steps.ground import Ground


def place_in_twin(ground: Ground, twin: Twin) -> BootPlace:
    """The twin's throw-away copy of where the machine's loader reads, while the twin is off."""
    place, esp = ground.boot_place(), ground.system.esp
    on_esp = esp is not None and esp.path == place.device
    device = twin.esp_device if on_esp else twin.boot_device
    if place.inside:
        device = twin.root_device  # the copy of the trial volume stands in the old root's place
    here = ground.work.scratch
    sector = place.sector and dataclasses.replace(
        place.sector, device=twin.esp_device, mount=here / "twin-sector"
    )
    return dataclasses.replace(place, device=device, mount=here / "twin-loader", up=(), sector=sector)


def started_directly(host: Host, ground: Ground) -> Callable[[Twin], Direct] | None:
    """What each start of a twin of this run asks for; None where its own loader starts it."""
    return functools.partial(_direct, host, ground) if ground.whole.direct else None


def _direct(host: Host, ground: Ground, twin: Twin) -> Direct:
    """Raises BootConfigFailed where the loader's next entry can not be followed."""
    place = place_in_twin(ground, twin)
    boot = open_boot(host, place, twin.variables)
    entry, once = upcoming(boot)
    if once:
        with mounted_for(host, place):
            take(boot)
    (folder := twin.folder / DIRECT).mkdir(parents=True, exist_ok=True)
    kernel, initrd = folder / "kernel", folder / "initrd"
    with mounted_readonly(host, place.device, place.fstype, place.mount):
        files = _files(place.boot, entry)
        kernel.write_bytes(files[0].read_bytes())
        more = _more(host, ground, twin, kernel_version(kernel))
        behind(files[1:], more, initrd)
    return Direct(str(kernel), str(initrd), f"{command_line(entry)} {WORD}")


def _files(boot: Path, entry: Entry) -> tuple[Path, ...]:
    files = tuple(boot / name for name in (entry.kernel, *entry.initrds))
    for file in files:
        if not file.resolve().is_relative_to(boot.resolve()) or not file.is_file():
            raise BootConfigFailed(f"The boot entry {entry.id} names {file.name}, which is not there.")
    return files


def _more(host: Host, ground: Ground, twin: Twin, version: str) -> bytes:
    """The archive with the drivers of the twin's own controllers, out of the twin's root."""
    system, here = twin.setup.system, ground.work.scratch
    stand_ins = (called(one.by) for one in ground.whole.stand_ins)
    drivers = dict.fromkeys(driver for one in stand_ins if one for driver in one.drivers)
    beside = [Inside(twin.volume_device(v.lv), v.fstype, v.target) for v in system.beside_root if v.lv]
    part = twin.setup.root_part
    with (
        mounted_readonly(host, twin.root_device, system.root.fstype, here / "twin-modules", part) as root,
        mounted_inside(host, root, beside, writable=False),
    ):
        folder = modules_folder(root, version)
        if folder is None:
            raise BootConfigFailed(f"The system has no modules for its kernel {version}.")
        return archive(host, folder, version, tuple(drivers), twin.folder / DIRECT)
