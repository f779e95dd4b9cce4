"""The states a rehearsed snapshot goes through, and the family tree of what is on the machine."""

from __future__ import annotations

import enum

import msgspec


class State(enum.Enum):
    SNAPPED = "SNAPPED"
    PATCHED = "PATCHED"
    TESTED = "TESTED"
    SEALED = "SEALED"
    STAGED = "STAGED"
    ARMED = "ARMED"
    TRIAL = "TRIAL"
    KEPT = "KEPT"
    FALLBACK = "FALLBACK"
    RETIRED = "RETIRED"
    INVALID = "INVALID"
    FAILED = "FAILED"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One system volume of the machine: the installed one, or what a run made of it.

    `run` is the run's name ("tb1"), empty for the volume the machine was installed with. `cost` is the
    space only this node holds, in bytes. Times are seconds since the epoch, UTC. `finding`: why the system as
    it is does not boot well, where the run found that out. `rehearsed_only`: nothing was kept of it.
    `unfound`: sentences on devices that its system names and this machine does not have, for which it can not
    be promoted.
    """

    volume: str
    state: State | None
    run: str = ""
    parent: str = ""
    made: float = 0.0
    verdict: str = ""
    cost: int = 0
    boots_next: bool = False
    fallback: bool = False
    retire_on: str = ""
    finding: str = ""
    rehearsed_only: bool = False
    unfound: tuple[str, ...] = ()


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    nodes: tuple[Node, ...] = ()
    waiting: str = ""

    def node(self, run: str) -> Node | None:
        return next((n for n in self.nodes if n.run == run), None)
