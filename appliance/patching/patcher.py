"""The order that every PackageManager keeps; how to ask, to change and to tidy up is its own."""

from __future__ import annotations

from abc import ABC, abstractmethod

from appliance.errors import PatchFailed, Refused
from appliance.model.plan import PatchKind, PatchRequest, not_packages
from appliance.patching.base import Applied, Guest, Mark, Preview, Setting, Sources, Tell
from appliance.patching.script import run_script

NO_WORK = frozenset({PatchKind.NOTHING, PatchKind.SCRIPT, PatchKind.BY_HAND})
"""Kinds of request that no package manager can foretell."""


class Patcher(ABC):
    """What apt, dnf and zypper do alike, bound to a guest and a Setting."""

    def __init__(self, guest: Guest, setting: Setting) -> None:
        self._guest = guest
        self._setting = setting
        self._sources: Sources | None = None
        self._previews: dict[PatchRequest, Preview] = {}

    @abstractmethod
    def audit(self) -> tuple[str, ...]: ...

    @abstractmethod
    def begin(self) -> Mark: ...

    @abstractmethod
    def _why_loader(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """A sentence for each of `names` that is the boot loader's."""

    @abstractmethod
    def _why_not_bundle(self, request: PatchRequest) -> tuple[str, ...]:
        """Sentences against the setting's bundle. Raises Refused where there is none that reads."""

    @abstractmethod
    def _look_at_sources(self) -> Sources: ...

    @abstractmethod
    def _ask(self, request: PatchRequest) -> Preview:
        """The simulation of a request that nothing stands against. Raises Refused where it cannot be done."""

    @abstractmethod
    def _change(self, request: PatchRequest, preview: Preview, tell: Tell) -> str:
        """Do it; a sentence where it did not end well, else empty."""

    @abstractmethod
    def _clean(self) -> None:
        """Remove what `_change` left in the guest, however it ended."""

    @abstractmethod
    def _collect(self, mark: Mark, preview: Preview, failure: str) -> Applied: ...

    @abstractmethod
    def _environment(self) -> tuple[str, ...]:
        """Words before a program of the request's own, so that it has the setting's proxy."""

    # what it is asked before anything changes

    def why_not(self, request: PatchRequest) -> tuple[str, ...]:
        reasons: list[str] = []
        if request.kind is PatchKind.PACKAGES:
            reasons += [] if request.packages else ["No package was named."]
            reasons += [*not_packages(request.packages), *self._why_loader(request.packages)]
        if request.kind is PatchKind.SCRIPT and not self._setting.script.startswith(b"#!"):
            reasons.append("The script does not begin with #!, so nothing says which program runs it.")
        if not self._setting.bundle or request.kind in (PatchKind.NOTHING, PatchKind.BY_HAND):
            return tuple(reasons)
        try:
            return (*reasons, *self._why_not_bundle(request))
        except Refused as refused:
            return (*reasons, *refused.reasons)

    def sources(self) -> Sources:
        if self._sources is None:
            self._sources = self._look_at_sources()
        return self._sources

    def preview(self, request: PatchRequest) -> Preview:
        if request.kind in NO_WORK:
            return Preview(())
        if request not in self._previews:
            if refused := self.why_not(request):
                raise Refused(refused)
            self._previews[request] = self._ask(request)
        return self._previews[request]

    # the change

    def collect(self, mark: Mark) -> Applied:
        return self._collect(mark, Preview(()), "")

    def apply(self, request: PatchRequest, tell: Tell) -> Applied:
        if request.kind in (PatchKind.NOTHING, PatchKind.BY_HAND):
            return Applied(())
        if request.kind is PatchKind.SCRIPT:
            return self._script(tell)
        preview = self.preview(request)
        mark = self.begin()
        if not preview.changes:
            return self._collect(mark, preview, "")
        try:
            failure = self._change(request, preview, tell)
        finally:
            self._clean()
        applied = self._collect(mark, preview, failure)
        if failure and not applied.changes and not self.audit():
            raise PatchFailed(failure)
        return applied

    def _script(self, tell: Tell) -> Applied:
        mark = self.begin()
        status = run_script(self._guest, self._setting, self._environment(), tell)
        failure = f"The script ended with status {status}." if status else ""
        return self._collect(mark, Preview(()), failure)
