"""Where slow results are kept between builds, and the keys they are kept under."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """The image builder's folder in the user's cache (XDG_CACHE_HOME, else ~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "twinboot" / "image"


def digest_of(folders: Iterable[Path], *more: str) -> str:
    """Hash over names, modes and contents of all files below `folders`, and over the words in `more`."""
    total = hashlib.sha256()
    for word in more:
        total.update(word.encode() + b"\0")
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if "__pycache__" in path.parts or path.suffix in {".rst", ".md"} or path.is_dir():
                continue
            content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            mode = "x" if os.access(path, os.X_OK) else "-"
            total.update(f"{path.relative_to(folder)}\0{mode}\0{len(content)}\0".encode() + content)
    return total.hexdigest()[:20]


@contextmanager
def one_build_at_a_time(folder: Path) -> Iterator[None]:
    """Waits until no other build uses the cache in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prune(folder: Path, keep: int) -> None:
    """Deletes all but the `keep` most recently used entries of a cache folder."""
    entries = sorted(folder.iterdir(), key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in entries[keep:]:
        shutil.rmtree(entry)
