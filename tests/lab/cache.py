"""What is slow to build is kept in the user's cache folder, keyed by a hash of everything that went in."""

from __future__ import annotations

import ast
import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

KEEP = 3
UNUSED_DAYS = 2.0


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/twinboot-lab`, made if missing."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "twinboot-lab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def key_of(*parts: str | Path) -> str:
    """16 hex digits over the parts: a str as it is, a Path by its content (a folder: every file below).

    Of Python files only the code counts, not comments, docstrings or layout.
    """
    digest = hashlib.sha256()
    for part in parts:
        for chunk in _content(part) if isinstance(part, Path) else (part.encode(),):
            digest.update(len(chunk).to_bytes(8, "big"))
            digest.update(chunk)
    return digest.hexdigest()[:16]


def _content(path: Path) -> Iterator[bytes]:
    files: Iterable[Path] = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else (path,)
    for file in files:
        if "__pycache__" not in file.parts:
            yield file.name.encode()
            yield _code(file) if file.suffix == ".py" else file.read_bytes()


def _code(file: Path) -> bytes:
    tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                value.value = ""
    return ast.dump(tree).encode()


def cached(name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder `name-key`, built by `build(empty folder)` when it is not there yet.

    Published by one rename, so a killed build leaves nothing that looks finished. Two processes that want
    the same thing wait for each other.
    """
    root = cache_folder()
    target = root / f"{name}-{key}"
    with _locked(root / f".{name}.lock"):
        if not target.is_dir():
            for left in root.glob(f".{name}-*.part"):
                _remove(left)
            part = root / f".{name}-{key}.part"
            part.mkdir()
            build(part)
            part.rename(target)
        os.utime(target)
        _prune(root, name, target)
    return target


def _prune(root: Path, name: str, target: Path) -> None:
    """Delete what is older than the KEEP newest and has not been asked for in UNUSED_DAYS days."""
    prefix = len(name) + 1
    entries = [p for p in root.glob(f"{name}-*") if len(p.name) == prefix + 16 and p != target]
    entries.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    for old in entries[KEEP - 1 :]:
        if time.time() - old.stat().st_mtime > UNUSED_DAYS * 86400:
            _remove(old)


def _remove(path: Path) -> None:
    """Delete a tree, but never through something still mounted below it."""
    mounts = Path("/proc/self/mounts").read_text()
    if f" {path}/" not in mounts:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
