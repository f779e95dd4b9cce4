"""The export archive: a run's record as one .tar.gz, without secrets, and how many were masked."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.errors import OutOfSpace
from appliance.host.files import sync_folder
from appliance.report.mask import Masks, mask, mask_json, mask_lines

NOT_TEXT = frozenset({".png", ".gz", ".xz", ".zst", ".bin", ".img"})
Tell = Callable[[int, int], None]
"""Told how many of how many are done."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the archive: `name` is its path in it, `content` the text itself or the file it is in."""

    name: str
    content: Path | bytes


@dataclass(frozen=True, slots=True)
class Packed:
    """`masked` counts places by kind; `unread` are files that hold no text and went in as they are."""

    archive: Path
    files: int
    masked: tuple[tuple[str, int], ...]
    unread: tuple[str, ...]


def _nothing(_: int, __: int) -> None:
    return None


def parts_of(folder: Path, below: str = "") -> tuple[Part, ...]:
    """Every file of `folder`, named `below`/…; symbolic links and special files are left out.

    An archive for support holds content only.
    """
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink())
    return tuple(Part(str(Path(below) / p.relative_to(folder)), p) for p in files)


def pack(parts: Sequence[Part], archive: Path, name: str, tell: Tell = _nothing) -> Packed:
    """Pack `parts` into `archive`, in it under the folder `name`. It appears whole or not at all.

    Raises OutOfSpace.
    """
    masks = Masks()
    unread: list[str] = []
    fd, temp = tempfile.mkstemp(dir=archive.parent, prefix=".twinboot-", suffix=".part")
    try:
        with os.fdopen(fd, "wb") as out:
            _pack(out, parts, name, masks, unread, tell)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temp, archive)
    except OSError as error:
        raise OutOfSpace(f"{archive} could not be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temp)
    sync_folder(archive.parent)
    return Packed(archive, len(parts), tuple(sorted(masks.items())), tuple(unread))


def _pack(
    out: io.BufferedWriter, parts: Sequence[Part], name: str, masks: Masks, unread: list[str], tell: Tell
) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for number, part in enumerate(parts, 1):
            data, text = without_secrets(part, masks)
            if not text:
                unread.append(part.name)
            entry = tarfile.TarInfo(f"{name}/{part.name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, _modified(part)
            tar.addfile(entry, io.BytesIO(data))
            tell(number, len(parts))


def _modified(part: Part) -> int:
    """Seconds since the epoch."""
    return int(part.content.stat().st_mtime if isinstance(part.content, Path) else time.time())


def without_secrets(part: Part, masks: Masks) -> tuple[bytes, bool]:
    """The part's content, masked, and whether it is text."""
    suffix = Path(part.name).suffix
    data = part.content.read_bytes() if isinstance(part.content, Path) else part.content
    if suffix in NOT_TEXT or b"\x00" in data[:8192]:
        return data, False
    if suffix == ".jsonl":
        return mask_lines(data, masks), True
    if suffix == ".json":
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            return mask_json(data, masks), True
    return mask(data.decode(errors="replace"), masks).encode(), True
