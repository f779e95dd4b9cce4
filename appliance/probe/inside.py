"""A look into one installed system, as `probe` takes one: through devices that cannot write."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ProbeFailed
from appliance.host.run import Host
from appliance.model.machine import InstalledSystem, Machine, Partition, Volume
from appliance.probe import beneath as below
from appliance.probe import lsblk
from appliance.probe.ground import Ground, lay
from appliance.probe.machine import exclusive
from appliance.probe.roots import part_of, tree_of
from appliance.probe.shown import showing
from appliance.probe.systems import beneath
from appliance.probe.tree import Tree


@dataclass(frozen=True, slots=True)
class Inside:
    """The files of `system`: `tree` is its root with the volumes of its set mounted where they belong."""

    system: InstalledSystem
    tree: Tree
    ground: Ground
    stack: contextlib.ExitStack

    def boot_trees(self) -> tuple[Tree, ...]:
        """Where its loader may have kernels and initrds: /boot, then the EFI system partition.

        Raises ProbeFailed, CommandFailed where one of them does not mount.
        """
        own, esp = self.system.own_boot, self.system.esp
        boot = Tree(self.tree.base / "boot") if own is None else self._mounted(own)
        same = esp is None or (own is not None and esp.path == own.path)
        return (boot,) if esp is None or same else (boot, self._mounted(esp))

    def _mounted(self, part: Partition | Volume) -> Tree:
        known = next((k for k in self.ground.known if k.path == part.path and k.shown), None)
        if known is None:
            raise ProbeFailed(f"{part.path} can not be looked into.")
        return self.stack.enter_context(self.ground.shown.tree(known.shown, known.fstype))


@contextlib.contextmanager
def looked_into(
    host: Host, machine: Machine, system: InstalledSystem, root: Path = Path("/")
) -> Iterator[Inside]:
    """All of it is gone again afterwards.

    Raises ProbeFailed, DamagedData or CommandFailed where it cannot be read, Busy while a probe runs.
    """
    with exclusive(root):
        devices = lsblk.listed(host)
        with showing(host, root) as shown:
            rows = (*devices, *below.show_again(shown, machine.layers))
            ground = lay(host, root, rows, machine.disks, shown, machine.layers)
            known = next((k for k in ground.known if k.path == system.root.device and k.shown), None)
            if known is None:
                raise ProbeFailed(f"The system {system.id} can not be looked into.")
            with shown.tree(known.shown, known.fstype, part_of(known.fstype)) as top:
                tree = tree_of(system, top)
                if tree is None:
                    raise ProbeFailed(f"There is no installed system on {system.id} any more.")
                by_path = {k.path: k for k in ground.known}
                beside = ((by_path[v.device], v) for v in system.beside_root if v.device in by_path)
                with contextlib.ExitStack() as stack:
                    if unread := beneath(stack, ground, tree, beside):
                        raise ProbeFailed(unread[0].sentence)
                    yield Inside(system, tree, ground, stack)
