"""Parts of a long run of tests, for several computers or several nights: whole files, none of them twice."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`th of `of` parts, counted from 1."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Of "2/4". Raises argparse.ArgumentTypeError."""
        found = re.fullmatch(r"([1-9][0-9]{0,2})/([1-9][0-9]{0,2})", text)
        if found is None or int(found[1]) > int(found[2]):
            raise argparse.ArgumentTypeError(f"{text!r} is no part such as 2/4")
        return cls(int(found[1]), int(found[2]))

    def files(self, every: Iterable[Path]) -> frozenset[Path]:
        """Those of this part, dealt out in the order of their names: each part has some of each kind."""
        return frozenset(sorted(set(every))[self.number - 1 :: self.of])
