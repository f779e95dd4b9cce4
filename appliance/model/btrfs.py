"""A btrfs file system that holds a root: its subvolumes, and which of them the machine starts."""

from __future__ import annotations

import msgspec

TOP = 5
"""The id of the top-level subvolume (btrfs-subvolume(8)); it has no path."""


class Subvolume(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is from the top level, without a leading slash; `parent` the id of the subvolume around it.

    `copy_of` is the UUID of the subvolume it is a snapshot of, empty where it is none.
    """

    id: int
    path: str
    uuid: str
    parent: int = TOP
    copy_of: str = ""
    readonly: bool = False


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """A subvolume of ours, as the small file beside it says: `name` is the plan's, `path` where it lies.

    `role` is in the words of the stores, `run` is empty for what belongs to none.
    """

    name: str
    path: str
    role: str
    run: str = ""
    origin: str = ""


class BtrfsRoot(msgspec.Struct, frozen=True, kw_only=True):
    """`root` is the id of the subvolume the system lies in, `default` the one a mount takes unasked.

    `named` says how the machine finds its root: by a subvolume named on the kernel command line
    (rootflags=), else by the default subvolume. `starts` is the id of what is started so, 0 where the name
    means nothing here. `devices` counts the devices the file system lies on, `free` the bytes a file may
    still take there; `tools` says whether the system in it has btrfs(8) itself.
    """

    uuid: str
    root: int
    default: int = TOP
    named: bool = False
    starts: int = 0
    devices: int = 1
    subvolumes: tuple[Subvolume, ...] = ()
    ours: tuple[Ours, ...] = ()
    free: int = 0
    tools: bool = True

    def subvolume(self, id: int) -> Subvolume | None:
        """None for the top level, and for what is not there."""
        return next((s for s in self.subvolumes if s.id == id), None)

    def path(self, id: int) -> str:
        """From the top level; empty for the top level itself."""
        found = self.subvolume(id)
        return found.path if found else ""

    def at(self, path: str) -> int:
        """The id of the subvolume at `path`, 0 where there is none."""
        plain = path.strip("/")
        if not plain:
            return TOP
        return next((s.id for s in self.subvolumes if s.path == plain), 0)

    def subvolume_at(self, path: str) -> Subvolume | None:
        """None where no subvolume lies there, and for the top level."""
        return self.subvolume(self.at(path))

    @property
    def inside(self) -> tuple[str, ...]:
        """Paths below the root of the subvolumes in it: a snapshot of the root has empty folders there."""
        begins = f"{path}/" if (path := self.path(self.root)) else ""
        found = (s for s in self.subvolumes if s.id != self.root and self._is_below(s, self.root))
        return tuple(sorted(s.path.removeprefix(begins) for s in found))

    def _is_below(self, subvolume: Subvolume, ancestor: int) -> bool:
        seen: set[int] = set()
        while subvolume.parent not in seen:
            if subvolume.parent == ancestor:
                return True
            seen.add(subvolume.parent)
            above = self.subvolume(subvolume.parent)
            if above is None:
                return False
            subvolume = above
        return False
