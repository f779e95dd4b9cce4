"""Where in a volume a root may lie: all of it, or one of the subvolumes of a btrfs file system."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from msgspec.structs import replace

from appliance.host.run import Host
from appliance.model.btrfs import TOP, BtrfsRoot
from appliance.model.groups import subvolume_path
from appliance.model.machine import InstalledSystem
from appliance.probe import btrfs
from appliance.probe.btrfs_ours import read_ours
from appliance.probe.tree import Tree

BTRFS = "btrfs"
USUAL = ("@", "@rootfs", "root")
"""What Ubuntu, Debian and Fedora call the subvolume of their root."""

BASE = "base"
"""What a snapshot of an installed root is for."""

BOOTED = frozenset({"trial", "kept", "previous"})
"""What a subvolume of ours is for that the machine itself boots from."""


@dataclass(frozen=True, slots=True)
class Root:
    """The files of one root; `btrfs` says in which subvolume of what they lie."""

    tree: Tree
    btrfs: BtrfsRoot | None = None


def part_of(fstype: str) -> tuple[str, ...]:
    """Mount options that show everything a volume holds."""
    return btrfs.AT_TOP if fstype == BTRFS else ()


def roots_in(host: Host, top: Tree, fstype: str) -> tuple[Root, ...]:
    """Every tree with os-release and fstab in a volume mounted with `part_of`, the likeliest first.

    Raises CommandFailed, DamagedData where its subvolumes can not be read.
    """
    if fstype != BTRFS:
        return (Root(top),) if _is_root(top) else ()
    free = shutil.disk_usage(top.base).free
    found = replace(btrfs.look(host, top.base), ours=read_ours(top), free=free)
    ours = (found.at(one.path) for one in found.ours if one.role in BOOTED)
    # Whatever it is called: what a run was made of, where a trial of it is the default now.
    origins = (found.at(subvolume_path(one.origin)) for one in found.ours if one.role == BASE)
    usual = (found.at(path) for path in USUAL)
    ids = dict.fromkeys((found.default, *usual, *origins, TOP, *ours))
    # What is not there has the id 0.
    trees = ((id, Tree(top.base / found.path(id))) for id in ids if id)
    return tuple(Root(tree, replace(found, root=id)) for id, tree in trees if _is_root(tree))


def tree_of(system: InstalledSystem, top: Tree) -> Tree | None:
    """The files of `system` in its volume, mounted with `part_of`; None where they are there no more."""
    lies = system.btrfs.path(system.btrfs.root) if system.btrfs else ""
    tree = Tree(top.base / lies)
    return tree if _is_root(tree) else None


def _is_root(tree: Tree) -> bool:
    return tree.present("/etc/os-release") and tree.is_file("/etc/fstab")
