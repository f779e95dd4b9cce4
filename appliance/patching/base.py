"""How a package manager is driven inside the twin: one Protocol, one small window into the guest."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from appliance.model.events import Event
from appliance.model.plan import PatchRequest
from appliance.model.verdict import PackageChange

Tell = Callable[[Event], None]


class GuestOutput(Protocol):
    """What a program in the guest left: exit status (128+n for a signal) and raw bytes."""

    @property
    def status(self) -> int: ...
    @property
    def stdout(self) -> bytes: ...
    @property
    def stderr(self) -> bytes: ...


class Guest(Protocol):
    """The running twin, as patching needs it; `twin.guest` satisfies it structurally.

    `timeout` is seconds. A program that ends with any status is no error here; an agent that does
    not answer raises TwinFailed. Paths are the guest's own.
    """

    def exec(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        env: tuple[tuple[str, str], ...] = (),
        timeout: float,
    ) -> GuestOutput: ...

    def read_file(self, path: str) -> bytes: ...

    def write_file(self, path: str, data: bytes, mode: int) -> None: ...


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Setting:
    """What the workflow decides for one patching: network, bundle, limits.

    `proxy` is the allow-listing proxy ("http://198.18.77.1:3128"), empty where the guest has no network.
    `bundle` is the folder in the guest where the stick's bundle is mounted read-only, empty for the
    guest's own sources. `limit` is seconds for the whole of `apply`; `step` names the step in Progress.
    `cancelled` is asked at every poll: true kills what runs in the guest and raises Cancelled.
    `script` is the content of the file that PatchRequest.script names.
    """

    proxy: str = ""
    bundle: str = ""
    script: bytes = b""
    limit: float = 5400.0
    poll: float = 2.0
    step: str = "patch"
    cancelled: Callable[[], bool] = _never
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the guest's own package sources are: `hosts` ("name" or "name:port") is the allow-list.

    `upstream` is the site's own proxy as the guest has it configured, else empty. `unreachable` are
    sentences about entries that a rehearsal cannot use (cdrom, folders that are not there).
    """

    hosts: tuple[str, ...]
    upstream: str = ""
    unreachable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What `apply` would do. `download` in bytes; `held` are loader packages with a newer version.

    `kept_back` are packages with a newer version that the chosen kind of upgrade leaves alone.
    `unsigned` says that the bundle's origin could not be proven and the request allows that.
    """

    changes: tuple[PackageChange, ...]
    download: int = 0
    held: tuple[str, ...] = ()
    kept_back: tuple[str, ...] = ()
    unsigned: bool = False


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done, read back from the package database, not from what was asked for.

    `failure` is a sentence where the package manager ended badly after changing the system (a
    half-configured package): the rehearsal goes on to the patched boot, whose facts say what is worse.
    `not_applied` are sentences for the verdict.
    """

    changes: tuple[PackageChange, ...]
    kept_conffiles: tuple[str, ...] = ()
    not_applied: tuple[str, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """The package database before a change, so that what changed can be read back after it."""

    packages: tuple[tuple[str, str], ...]
    conffiles: tuple[tuple[str, str], ...] = ()


def outside_the_snapshot(names: Iterable[str], loader: re.Pattern[str]) -> tuple[str, ...]:
    """A sentence for each of `names` that is a package of the boot loader, as `loader` matches them."""
    return tuple(
        f"{name} is a boot loader package: its work lies outside the snapshot."
        for name in names
        if loader.match(name)
    )


class PackageManager(Protocol):
    """One per package manager, bound to a guest and a Setting.

    Order of use: why_not, sources, refresh, preview, apply, audit. Errors: PatchFailed where nothing was
    changed, Refused for a request that cannot be met, Cancelled, TwinFailed.
    """

    @property
    def name(self) -> str: ...

    def why_not(self, request: PatchRequest) -> tuple[str, ...]:
        """Full sentences, all at once, why this request cannot be done here; empty when it can."""
        ...

    def sources(self) -> Sources:
        """The hosts the guest's own sources name. Reads only."""
        ...

    def refresh(self, request: PatchRequest, tell: Tell) -> tuple[str, ...]:
        """Read the package lists anew. Returns sentences on sources that did not answer."""
        ...

    def preview(self, request: PatchRequest) -> Preview:
        """What `apply` would change, by the package manager's own simulation."""
        ...

    def apply(self, request: PatchRequest, tell: Tell) -> Applied:
        """Do it, telling Progress and Line events (source "patch")."""
        ...

    def begin(self) -> Mark:
        """Before work by hand: remember the package database. `apply` does this by itself."""
        ...

    def by_hand(self) -> tuple[tuple[str, str], ...]:
        """Environment in which a person's own calls keep to what holds for `apply`: proxy, loader held."""
        ...

    def collect(self, mark: Mark) -> Applied:
        """After work by hand: what changed since `mark`. `apply` does this by itself."""
        ...

    def audit(self) -> tuple[str, ...]:
        """Sentences on what forbids a seal: a held lock, a package not fully installed. Empty = clean."""
        ...

    def installed(self) -> tuple[tuple[str, str], ...]:
        """(name, version) of every installed package, sorted."""
        ...
