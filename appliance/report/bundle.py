"""The export archive: a run's whole folder as one .tar.gz, without secrets, and how many were masked."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.errors import OutOfSpace
from appliance.host.files import sync_folder
from appliance.report.mask import Masks, mask, mask_json, mask_lines

NOT_TEXT = frozenset({".png", ".gz", ".xz", ".zst", ".bin", ".img"})


@dataclass(frozen=True, slots=True)
class Exported:
    """`masked` counts places by kind; `unread` are files that hold no text and went in as they are."""

    archive: Path
    files: int
    masked: tuple[tuple[str, int], ...]
    unread: tuple[str, ...]


def export(folder: Path, archive: Path) -> Exported:
    """Pack `folder` into `archive`. The archive appears whole or not at all. Raises OutOfSpace.

    Symbolic links and special files are left out: an archive for support holds content only.
    """
    masks = Masks()
    unread: list[str] = []
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()]
    fd, temp = tempfile.mkstemp(dir=archive.parent, prefix=".twinboot-", suffix=".part")
    try:
        with os.fdopen(fd, "wb") as out:
            _pack(out, folder, files, masks, unread)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temp, archive)
    except OSError as error:
        raise OutOfSpace(f"{archive} could not be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temp)
    sync_folder(archive.parent)
    return Exported(archive, len(files), tuple(sorted(masks.items())), tuple(unread))


def _pack(
    out: io.BufferedWriter, folder: Path, files: Iterable[Path], masks: Masks, unread: list[str]
) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for file in files:
            name = file.relative_to(folder)
            data, text = without_secrets(file, masks)
            if not text:
                unread.append(str(name))
            entry = tarfile.TarInfo(f"{folder.name}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(file.stat().st_mtime)
            tar.addfile(entry, io.BytesIO(data))


def without_secrets(file: Path, masks: Masks) -> tuple[bytes, bool]:
    """The file's content, masked, and whether it is text."""
    data = file.read_bytes()
    if file.suffix in NOT_TEXT or b"\x00" in data[:8192]:
        return data, False
    if file.suffix == ".jsonl":
        return mask_lines(data, masks), True
    if file.suffix == ".json":
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            return mask_json(data, masks), True
    return mask(data.decode(errors="replace"), masks).encode(), True
