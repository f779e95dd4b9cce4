"""Where the machine stands: what its loader offers, what was done to it, how long its room lasts."""

from __future__ import annotations

import msgspec


class BootChoice(msgspec.Struct, frozen=True, kw_only=True):
    """One entry as the loader itself reads it. `state` is in words; `ours`: made by Twinboot."""

    title: str
    root: str
    kernel: str
    state: str
    ours: bool = False
    boots_next: bool = False
    fallback: bool = False


class DoneAct(msgspec.Struct, frozen=True, kw_only=True):
    """One act of the machine's history; `at` is when it began, seconds since the epoch.

    `outcome` is done, failed, refused, waiting, going on or damaged record; `detail` is the reason,
    where there is one.
    """

    at: float
    run: str
    verb: str
    outcome: str
    detail: str = ""


class PoolSample(msgspec.Struct, frozen=True, kw_only=True):
    """How full a thin pool was at `at`: `used` of `size` bytes."""

    at: float
    pool: str
    size: int
    used: int


class PoolRate(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a pool fills: `per_day` bytes, as seen over `seconds`; None where that cannot be told.

    `days` until it is full at that rate; None where it does not fill, or where it cannot be told.
    """

    pool: str
    size: int
    used: int
    per_day: float | None = None
    seconds: float = 0.0
    days: float | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """`loader` is one sentence; `history` has the newest act first. `falls_back` says, in sentences, which
    failures of a trial give way to the old system by themselves on this machine, and which need a hand."""

    loader: str = ""
    choices: tuple[BootChoice, ...] = ()
    history: tuple[DoneAct, ...] = ()
    pools: tuple[PoolRate, ...] = ()
    falls_back: tuple[str, ...] = ()
