"""Which BootLoader a machine needs: the only place that looks at the kind of loader."""

from __future__ import annotations

import tempfile
from pathlib import Path

from appliance.boot.base import BootLoader
from appliance.boot.grub import Grub
from appliance.errors import BootConfigFailed, CommandFailed, Refused
from appliance.host.run import Host, read
from appliance.model.machine import InstalledSystem, LoaderKind, Machine


def grub_script_check(host: Host, text: str) -> None:
    """GRUB's own parser over a script of ours. Raises BootConfigFailed."""
    with tempfile.NamedTemporaryFile("w", suffix=".cfg", prefix="twinboot-") as file:
        file.write(text)
        file.flush()
        try:
            host.run(read("grub-script-check", str(Path(file.name)), timeout=60))
        except CommandFailed as error:
            raise BootConfigFailed(f"GRUB would not parse our entries: {error.what}") from error


def choose_loader(machine: Machine, system: InstalledSystem, host: Host) -> BootLoader:
    """The loader of `system`. Raises Refused for one that is not supported."""
    kind = system.loader.kind
    if system.boot is None or system.boot.path.startswith(("/dev/mapper/", "/dev/dm-", "/dev/md")):
        raise Refused(
            ("/boot is not a partition of its own: GRUB cannot write there, so no trial would end.",)
        )
    if kind is LoaderKind.GRUB:
        return Grub(check=lambda text: grub_script_check(host, text))
    raise Refused((f"{system.os_name} is started by {kind.value}: only GRUB is supported.",))
