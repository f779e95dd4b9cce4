"""What copies of a root look through to: a partition as it lies there, or devices that cannot write to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from appliance.host import mapper
from appliance.host.run import Host
from appliance.probe.mappings import Mapping
from appliance.volumes.overlay import windows


class Below(Protocol):
    """What the copies of a root look through to. Both verbs may be called twice."""

    @property
    def device(self) -> str: ...

    @property
    def names(self) -> frozenset[str]:
        """The device-mapper devices it is made of."""

    def up(self) -> str: ...

    def down(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Disk:
    """A partition as it lies there, for a storage that leaves it alone while a copy stands over it."""

    device: str
    names: frozenset[str] = frozenset()

    def up(self) -> str:
        return self.device

    def down(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class View:
    """The installed root as it lies on its disk, read-only: the last of `mappings` shows it."""

    host: Host
    mappings: tuple[Mapping, ...]

    @property
    def device(self) -> str:
        return self.mappings[-1].path

    @property
    def names(self) -> frozenset[str]:
        return frozenset(mapping.name for mapping in self.mappings)

    def up(self) -> str:
        there = mapper.names(self.host)
        for mapping in self.mappings:
            if mapping.name not in there:
                mapper.create(self.host, mapping.name, mapping.table, readonly=not mapping.writable)
        return self.device

    def down(self) -> None:
        """Nothing happens where it is down, or while an overlay looks through it."""
        if windows(self.host, self.device):
            return
        there = mapper.names(self.host)
        for mapping in reversed(self.mappings):
            if mapping.name in there:
                mapper.remove(self.host, mapping.name)
