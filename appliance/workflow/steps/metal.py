"""Will it boot on the metal? The new initrd held against the real machine's root stack."""

from __future__ import annotations

from pathlib import Path

from appliance.boot.artifacts import modules_folder
from appliance.boot.base import Artifacts
from appliance.boot.drivers import not_in_initrd, root_stack
from appliance.boot.initrd import initrd_names
from appliance.host.run import Host
from appliance.workflow.steps.ground import Ground


def why_not_on_the_metal(host: Host, ground: Ground, root: Path, artifacts: Artifacts) -> tuple[str, ...]:
    """Sentences for every driver or program of this machine's root disk that the new initrd lacks.

    `root` is the mounted trial volume; its /lib/modules says what the kernel has built in.
    """
    group = ground.machine.vg(ground.names.vg)
    if group is None:
        return (f"The volume group {ground.names.vg} was not found on this machine.",)
    disks = tuple(d.path for pv in group.pvs if (d := ground.machine.disk_of(pv.path)) is not None)
    stack = root_stack(disks, ("thin", "thin-pool"), ground.system.root.fstype)
    modules = modules_folder(root, artifacts.version)
    if modules is None:
        return (f"The patched system has no modules for its kernel {artifacts.version}.",)
    names: tuple[str, ...] = ()
    for name in artifacts.initrds:
        names += initrd_names(host, Path(artifacts.file(name).source))
    return not_in_initrd(stack, names, modules)
