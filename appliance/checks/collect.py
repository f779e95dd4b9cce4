"""Run the fact collector in the running twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from appliance.checks.facts import parse
from appliance.errors import TwinFailed
from appliance.model.verdict import Facts


class Output(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def stdout(self) -> bytes: ...
    @property
    def stderr(self) -> bytes: ...


class Runs(Protocol):
    """The one thing a twin must be able to do here; `twin.guest` satisfies it structurally."""

    def exec(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        env: tuple[tuple[str, str], ...] = (),
        timeout: float,
    ) -> Output: ...


@dataclass(frozen=True, slots=True)
class Collected:
    """The facts, and the lines they were read from for the record."""

    facts: Facts
    raw: bytes


def collect(
    guest: Runs, path: str, *, limit: float = 900, grace: float = 10, site: str = "", spare: float = 600
) -> Collected:
    """Facts of the running boot. Raises TwinFailed or DamagedData.

    `path` is health.sh in the guest. It waits up to `limit` seconds for queued jobs (three times a slow
    emulated boot: it costs nothing once they have ended) and until `grace` seconds after the default
    target; `site` is a folder of further checks. `spare` seconds are for the work itself (a site check may
    take a minute).
    """
    options = ("--limit", f"{limit:.0f}", "--grace", f"{grace:.0f}", *(("--site", site) if site else ()))
    out = guest.exec(("sh", path, "facts", *options), timeout=limit + grace + spare)
    if out.status != 0:
        said = out.stderr.decode(errors="replace").strip() or "no message"
        raise TwinFailed(f"The fact collector ended with status {out.status} in the twin: {said[-300:]}")
    return Collected(parse(out.stdout), out.stdout)
