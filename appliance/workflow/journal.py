"""The intent journal of one run: append-only JSON lines, on the disk before the act they announce."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.errors import DamagedData, NeedsRescue
from appliance.host.files import sync_folder
from appliance.model.codec import from_json, to_json

SCHEMA = 1


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """`what` is plan, begin, end, undone, waiting, approved, refused, done or failed."""

    what: str
    step: str = ""
    at: float = 0.0
    detail: str = ""
    schema: int = SCHEMA


@dataclass(slots=True)
class Journal:
    """Records of one run in `path`. Every `add` is fsynced before it returns, or adds nothing: OSError.

    A torn last line is cut off: its act had not begun. Damage before the last line raises NeedsRescue,
    since nothing may be guessed.
    """

    path: Path
    records: list[Record]

    @classmethod
    def open(cls, path: Path) -> Journal:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch()
            sync_folder(path.parent)
            return cls(path, [])
        data = path.read_bytes()
        whole, torn = data.rpartition(b"\n")[0::2]
        if torn:
            with path.open("r+b") as out:
                out.truncate(len(data) - len(torn))
                os.fsync(out.fileno())
        try:
            records = [from_json(line, Record, str(path)) for line in whole.splitlines() if line]
        except DamagedData as error:
            raise NeedsRescue(f"The journal {path} is damaged: {error.what}") from None
        return cls(path, records)

    def add(self, what: str, step: str = "", detail: str = "") -> None:
        record = Record(what=what, step=step, at=time.time(), detail=detail)
        with self.path.open("ab", buffering=0) as out:
            end, left = out.seek(0, os.SEEK_END), memoryview(to_json(record) + b"\n")
            try:
                while left:
                    left = left[out.write(left) :]
                os.fsync(out.fileno())
            except OSError:
                out.truncate(end)  # half a line, and the next one behind it, would be damage for good
                raise
        self.records.append(record)

    def has(self, what: str, step: str) -> bool:
        """Whether `what` stands for `step` and was not undone after it."""
        seen = False
        for record in self.records:
            if record.step == step:
                seen = True if record.what == what else (seen and record.what != "undone")
        return seen

    @property
    def last(self) -> str:
        return self.records[-1].what if self.records else ""

    @property
    def finished(self) -> bool:
        return self.last in ("done", "failed", "refused")


def peek(path: Path) -> tuple[Record, ...]:
    """The records as they are, without the hand of whoever writes them: a torn last line is left out.

    Raises DamagedData and OSError.
    """
    whole = path.read_bytes().rpartition(b"\n")[0]
    return tuple(from_json(line, Record, str(path)) for line in whole.splitlines() if line)
