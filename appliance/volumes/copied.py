"""How far it is with what a store copies, told while it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Copied:
    """How far a copy is: bytes `done` of `total`, `rate` bytes a second, about `left` seconds."""

    done: int
    total: int
    rate: float
    left: float


Tell = Callable[[Copied], None]


def nobody_listens(_: Copied) -> None:
    """For a copy that nobody waits for."""
