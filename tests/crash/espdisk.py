"""The ESP beside a modelled /boot: a FAT with a time of writes in common with it, settled by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.modeldisk import Change, ModelDisk, ModelRaw, PowerCut, children

ESP = "esp"
"""What lies there is found in the model below this name, which GRUB calls the device by as well."""


@dataclass
class WithEsp(ModelDisk):
    """A /boot whose settling leaves what is to be written to the ESP where it is."""

    on_esp: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.on_esp = {inode for name, inode in self.place.names.items() if name.startswith(f"{ESP}/")}

    def settle(self) -> None:
        self.settle_part(esp=False)

    def settle_part(self, *, esp: bool) -> None:
        if self.cut == len(self.moments) - 1:
            raise PowerCut("settle")
        mine = tuple(c for c in self.pending if self._lies_there(c) is esp)
        self.place = self.place.after(mine)
        self.pending = [c for c in self.pending if self._lies_there(c) is not esp]
        self._moment("settle the ESP" if esp else "settle")

    def _lies_there(self, change: Change) -> bool:
        return change.path.startswith(f"{ESP}/") or (not change.path and change.inode in self.on_esp)

    def names(self, path: str) -> tuple[str, ...]:
        return tuple(name for name in super().names(path) if path or name != ESP)


def _at(path: str) -> str:
    return f"{ESP}/{path}" if path else ESP


@dataclass
class EspDisk:
    """The BootDisk of the ESP. Nothing is ordered there: a name may lead to nothing, or to half a file."""

    disk: WithEsp

    def make_folder(self, path: str) -> None:
        self.disk.make_folder(_at(path))

    def create(self, path: str, data: bytes) -> None:
        was, self.disk.fat = self.disk.fat, True
        self.disk.on_esp.add(self.disk.next + 1)
        try:
            self.disk.create(_at(path), data)
        finally:
            self.disk.fat = was

    def copy(self, source: Path, path: str) -> None:
        self.create(path, source.read_bytes())

    def link(self, path: str, new: str) -> None:
        self.create(new, self.read(path) or b"")

    def rename(self, path: str, new: str) -> None:
        self.disk.rename(_at(path), _at(new))

    def remove(self, path: str) -> None:
        self.disk.remove(_at(path))

    def remove_folder(self, path: str) -> None:
        self.disk.remove_folder(_at(path))

    def settle(self) -> None:
        self.disk.settle_part(esp=True)

    def write_sector(self, path: str, data: bytes) -> None:
        self.disk.write_sector(_at(path), data)

    def read(self, path: str) -> bytes | None:
        return self.disk.read(_at(path))

    def names(self, path: str) -> tuple[str, ...]:
        return children(self.disk.live.names, _at(path))

    def is_file(self, path: str) -> bool:
        return self.disk.is_file(_at(path))

    def is_folder(self, path: str) -> bool:
        return self.disk.is_folder(_at(path))

    def free(self) -> int:
        return self.disk.free()


@dataclass
class EspRaw:
    """As GRUB reads it."""

    disk: WithEsp

    def read(self, path: str) -> bytes | None:
        return ModelRaw(self.disk).read(_at(path))

    def names(self, path: str) -> tuple[str, ...]:
        return ModelRaw(self.disk).names(_at(path))

    def sha256(self, path: str) -> str | None:
        return ModelRaw(self.disk).sha256(_at(path))

    def part(self, path: str, offset: int, length: int) -> bytes | None:
        return ModelRaw(self.disk).part(_at(path), offset, length)
