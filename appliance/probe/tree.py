"""Reading files of somebody else's file system without being led out of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from appliance.errors import DamagedData

LINK_LIMIT = 40
TEXT_LIMIT = 32 << 20


class Tree:
    """A mounted foreign root. Paths are as that system sees them; its symbolic links never lead outside.

    Only regular files are read, so a link to a device or a FIFO cannot hang or feed the reader.
    """

    def __init__(self, base: Path) -> None:
        self.base = base

    def resolve(self, path: str) -> Path | None:
        """Where `path` really lies below `base`, links followed inside; None where it does not exist."""
        todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        done: list[str] = []
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                del done[-1:]
                continue
            here = self.base.joinpath(*done, part)
            try:
                mode = os.lstat(here).st_mode
                target = os.readlink(here) if stat.S_ISLNK(mode) else None
            except (OSError, ValueError):
                return None
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > LINK_LIMIT:
                return None
            if target.startswith("/"):
                done = []
            todo += [step for step in reversed(target.split("/")) if step not in ("", ".")]
        return self.base.joinpath(*done)

    def present(self, path: str) -> bool:
        """Whether the name exists, a dangling link included."""
        folder, _, name = path.rstrip("/").rpartition("/")
        inside = self.resolve(folder)
        return inside is not None and os.path.lexists(inside / name)

    def is_file(self, path: str) -> bool:
        found = self.resolve(path)
        return found is not None and stat.S_ISREG(os.lstat(found).st_mode)

    def data(self, path: str, limit: int = TEXT_LIMIT) -> bytes | None:
        """Content of a regular file, None where there is none. Raises DamagedData past `limit` bytes."""
        found = self.resolve(path)
        if found is None or not stat.S_ISREG(os.lstat(found).st_mode):
            return None
        try:
            with open(found, "rb") as file:
                content = file.read(limit + 1)
        except OSError as error:
            raise DamagedData(f"{path} can not be read: {error.strerror}.") from None
        if len(content) > limit:
            raise DamagedData(f"{path} is larger than {limit} bytes, which no such file is.")
        return content

    def part(self, path: str, offset: int, length: int) -> bytes:
        """So many bytes of a regular file, or fewer at its end; none where it is not there or not read."""
        found = self.resolve(path)
        if found is None or not stat.S_ISREG(os.lstat(found).st_mode):
            return b""
        try:
            with open(found, "rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError:
            return b""

    def text(self, path: str, limit: int = TEXT_LIMIT) -> str | None:
        """Like `data`, as UTF-8 with what does not decode replaced."""
        content = self.data(path, limit)
        return None if content is None else content.decode("utf-8", errors="replace")

    def link(self, path: str) -> str | None:
        """The target of a symbolic link in its own words, None where `path` is none."""
        folder, _, name = path.rpartition("/")
        inside = self.resolve(folder)
        try:
            return None if inside is None else os.readlink(inside / name)
        except OSError:
            return None

    def touched(self, path: str) -> float:
        """When a file or folder was last changed, in seconds since 1970; 0 where there is none."""
        found = self.resolve(path)
        try:
            return 0.0 if found is None else found.stat().st_mtime
        except OSError:
            return 0.0

    def names(self, folder: str) -> tuple[str, ...]:
        """Sorted names in a folder; empty where it is none."""
        found = self.resolve(folder)
        try:
            return () if found is None else tuple(sorted(os.listdir(found)))
        except OSError:
            return ()
