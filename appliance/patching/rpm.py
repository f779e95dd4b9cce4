"""What dnf and zypper have in common: one database, its state before and after, signatures, the audit."""

from __future__ import annotations

from abc import abstractmethod

from appliance.errors import Refused
from appliance.model.plan import PatchKind, PatchRequest
from appliance.patching import rpm_setup, rpm_state, rpm_text
from appliance.patching.base import Applied, Guest, Mark, Preview, Setting, Tell
from appliance.patching.job import FOLDER
from appliance.patching.patcher import Patcher
from appliance.patching.rpm_bundle import RpmBundle, look


class OverRpm(Patcher):
    """A PackageManager over rpm's database; how to ask and how to change is the subclass's."""

    name: str
    cleaning: str
    """sh that removes the downloaded packages."""

    def __init__(self, guest: Guest, setting: Setting) -> None:
        super().__init__(guest, setting)
        self._found: RpmBundle | None = None

    @abstractmethod
    def refresh(self, request: PatchRequest, tell: Tell) -> tuple[str, ...]: ...

    @abstractmethod
    def by_hand(self) -> tuple[tuple[str, str], ...]: ...

    def installed(self) -> tuple[tuple[str, str], ...]:
        return rpm_text.versions(rpm_state.packages_of(self._guest))

    def audit(self) -> tuple[str, ...]:
        return rpm_state.audit(self._guest)

    def begin(self) -> Mark:
        packages, leftovers = rpm_state.state(self._guest)
        return Mark(rpm_text.versions(packages), leftovers)

    # inside

    def _why_loader(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return rpm_text.why_loader(names)

    def _why_not_bundle(self, request: PatchRequest) -> tuple[str, ...]:
        bundle, reasons = self._bundle(), []
        if bundle.untrusted and not request.allow_unsigned:
            more = f" and {len(bundle.untrusted) - 1} more" if len(bundle.untrusted) > 1 else ""
            reasons.append(
                f"{bundle.untrusted[0]}{more} of the bundle is not signed by anyone this system trusts;"
                " allow unsigned packages to use it."
            )
        if not bundle.repository and request.kind is PatchKind.SECURITY:
            reasons.append("Plain .rpm files do not say which of them are security updates.")
        return tuple(reasons)

    def _environment(self) -> tuple[str, ...]:
        return rpm_setup.environment(self._setting.proxy)

    def _collect(self, mark: Mark, preview: Preview, failure: str) -> Applied:
        security = frozenset(c.name for c in preview.changes if c.security)
        packages, leftovers = rpm_state.state(self._guest)
        changes = rpm_text.between(mark.packages, rpm_text.versions(packages), security)
        new = [path for stamp, path in leftovers if (stamp, path) not in set(mark.conffiles)]
        left = [f"boot loader: {held} (its work lies outside the snapshot)" for held in preview.held]
        left += [
            f"boot loader: {c.name} was changed all the same; what it does to /boot is not in the snapshot"
            for c in changes
            if rpm_text.LOADER.match(c.name)
        ]
        left += [f"kept back by {self.name}: {name}" for name in preview.kept_back]
        left += rpm_text.not_signed(packages, changes)
        left += [
            f"configuration: {path.rpartition('.')[0]} is the package's now, the site's own is {path}"
            for path in new
            if not path.endswith(".rpmnew")
        ]
        kept = tuple(path for path in new if path.endswith(".rpmnew"))
        return Applied(changes, kept, tuple(left), failure)

    def _held(self, newer: dict[str, str]) -> tuple[str, ...]:
        """Loader packages with a newer version, as "grub2-pc 2.06-1 → 2.06-2"."""
        now = dict(self.installed())
        return tuple(f"{name} {now[name]} → {newer[name]}" for name in sorted(newer) if name in now)

    def _bundle(self) -> RpmBundle:
        if self._found is None:
            self._found = look(self._guest, self._setting.bundle)
        return self._found

    def _clean(self) -> None:
        rest = f"{self.cleaning}; rm -rf {FOLDER}/job {rpm_setup.CACHE}; exit 0"
        self._guest.exec((*rpm_setup.environment(""), "sh", "-c", rest), timeout=300)

    def _said(self, *argv: str, limit: float = 900) -> tuple[int, str]:
        """Status and output of a program, both streams in one, as a log would have them."""
        out = self._guest.exec(("sh", "-c", 'exec "$@" 2>&1 </dev/null', "twinboot", *argv), timeout=limit)
        return out.status, out.stdout.decode(errors="replace")


def bundled(bundle: RpmBundle, request: PatchRequest) -> tuple[str, ...]:
    """Paths of the plain files to install, without the loader's. Raises Refused for one that is not there."""
    wanted = tuple(rpm_text.split_version(word)[0] for word in request.packages)
    files = [rpm for rpm in bundle.rpms if not rpm_text.LOADER.match(rpm.name)]
    if request.kind is PatchKind.PACKAGES:
        if missing := [name for name in wanted if name not in {rpm.name for rpm in files}]:
            raise Refused(tuple(f"The bundle does not hold the package {name}." for name in missing))
        files = [rpm for rpm in files if rpm.name in wanted]
    return tuple(f"{bundle.path}/{rpm.file}" for rpm in files)
