"""apt in the twin: what would change, the change itself with honest progress, and what really changed.

"All" is `apt-get upgrade --with-new-pkgs`: it brings what dist-upgrade brings on a stable release, new
kernels included, but removes nothing; what would need a removal is reported as kept back instead.
"""

from __future__ import annotations

from appliance.errors import PatchFailed, Refused
from appliance.model.events import Line
from appliance.model.plain import plain
from appliance.model.plan import PatchKind, PatchRequest
from appliance.model.verdict import PackageChange
from appliance.patching import apt_setup, apt_text
from appliance.patching.apt_audit import audit, state
from appliance.patching.apt_bundle import Bundle, gather_keys, look
from appliance.patching.apt_progress import AptProgress
from appliance.patching.apt_sources import SITES, parse_sources
from appliance.patching.base import Applied, Guest, Mark, Preview, Setting, Sources, Tell
from appliance.patching.job import FOLDER, Job
from appliance.patching.patcher import Patcher

# Both questions in one call of the agent: what would change, and what would be fetched. apt-get ends with
# 100 where it cannot do what is asked, and says why on lines that begin with "E: ".
_ASK = """
"$@" -s -q 2>&1
echo; echo '-- download'
"$@" --print-uris -qq -y 2>/dev/null
exit 0
"""


class Apt(Patcher):
    """A PackageManager over apt-get, apt-cache and dpkg of the guest itself."""

    name = "apt"

    def __init__(self, guest: Guest, setting: Setting) -> None:
        super().__init__(guest, setting)
        self._found: Bundle | None = None

    # what it is asked before anything changes

    def refresh(self, request: PatchRequest, tell: Tell) -> tuple[str, ...]:
        if self._setting.bundle:
            if reasons := self.why_not(request):
                raise Refused(reasons)
            bundle = self._bundle()
            if not bundle.repository:
                return ()
            gather_keys(self._guest)
            self._guest.write_file(apt_setup.SOURCES, bundle.sources_file(trusted=False), 0o644)
            failed = self._update(tell)
            if failed and request.allow_unsigned:
                tell(Line(source="patch", text="The bundle's signature is not known here.", level="warning"))
                self._guest.write_file(apt_setup.SOURCES, bundle.sources_file(trusted=True), 0o644)
                failed = self._update(tell)
            if failed:
                raise PatchFailed(f"The bundle was not accepted: {failed[-1]}")
            return ()
        return tuple(f"Package source not read: {said}" for said in self._update(tell))

    def installed(self) -> tuple[tuple[str, str], ...]:
        return apt_text.versions(self._packages())

    def audit(self) -> tuple[str, ...]:
        return audit(self._guest, self._packages())

    # the change

    def begin(self) -> Mark:
        packages, leftovers = state(self._guest)
        return Mark(apt_text.versions(packages), leftovers)

    def by_hand(self) -> tuple[tuple[str, str], ...]:
        hosts = self.sources().hosts if self._setting.proxy else ()
        return apt_setup.by_hand(self._guest, self._setting, hosts)

    # inside

    def _why_loader(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return apt_text.why_loader(names)

    def _why_not_bundle(self, request: PatchRequest) -> tuple[str, ...]:
        bundle, reasons = self._bundle(), []
        if not bundle.signed and not request.allow_unsigned:
            reasons.append(
                "The bundle is not signed by anyone this system trusts; allow unsigned packages to use it."
            )
        if bundle.debs and request.kind is PatchKind.SECURITY:
            reasons.append("Plain .deb files do not say which of them are security updates.")
        return tuple(reasons)

    def _look_at_sources(self) -> Sources:
        return parse_sources(self._text("sh", "-c", SITES))

    def _environment(self) -> tuple[str, ...]:
        return apt_setup.environment(self._setting.proxy)

    def _ask(self, request: PatchRequest) -> Preview:
        apt_setup.write_preferences(self._guest, security=_security(request))
        if request.kind is PatchKind.PACKAGES and not (self._setting.bundle and self._bundle().debs):
            self._refuse_unknown(request.packages)
        loader = tuple(name for name, _ in self.installed() if apt_text.LOADER.match(name))
        asked = self._text("sh", "-c", _ASK, "twinboot", *self._apt("apt-get"), *self._action(request))
        told, _, uris = asked.partition("\n-- download\n")
        changes = apt_text.parse_simulation(told)
        if not changes and "\nE: " in "\n" + told:
            raise Refused((f"apt cannot do this: {_last_error(told)}",))
        held = self._held(loader) if loader and request.kind is not PatchKind.PACKAGES else ()
        kept = apt_text.parse_kept_back(told)
        return Preview(changes, apt_text.parse_download(uris), held, kept, self._unsigned())

    def _held(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the installed loader packages that have a newer version, as "grub-pc 1.0 → 1.1"."""
        unpinned = ("-o", f"Dir::Etc::Preferences={apt_setup.FREE}")
        policy = apt_text.parse_policy(self._text(*self._apt("apt-cache", *unpinned), "policy", *names))
        return tuple(
            f"{name} {old} → {new}" for name, (old, new) in sorted(policy.items()) if new and new != old
        )

    def _refuse_unknown(self, wanted: tuple[str, ...]) -> None:
        names = tuple(_without_version(name) for name in wanted)
        policy = apt_text.parse_policy(self._text(*self._apt("apt-cache", "policy", *names)))
        known = {apt_text.bare(name) for name, (_, candidate) in policy.items() if candidate}
        missing = [name for name in names if apt_text.bare(name) not in known]
        if missing:
            raise Refused(tuple(f"No source of this system has the package {name}." for name in missing))

    def _action(self, request: PatchRequest) -> tuple[str, ...]:
        wanted = request.packages
        if self._setting.bundle and self._bundle().debs:
            debs = self._bundle().debs
            if request.kind is PatchKind.PACKAGES:
                names = {d.name for d in debs}
                missing = [n for n in map(_without_version, wanted) if n not in names]
                if missing:
                    raise Refused(tuple(f"The bundle does not hold the package {n}." for n in missing))
                debs = tuple(d for d in debs if d.name in map(_without_version, wanted))
            debs = tuple(d for d in debs if not apt_text.LOADER.match(d.name))
            return ("install", *(f"{self._setting.bundle.rstrip('/')}/{d.file}" for d in debs))
        return ("install", *wanted) if request.kind is PatchKind.PACKAGES else apt_text.UPGRADE

    def _change(self, request: PatchRequest, preview: Preview, tell: Tell) -> str:
        progress = AptProgress(
            tell, self._setting.step, len(preview.changes), preview.download, self._setting.clock
        )
        argv = self._apt("apt-get", "-y", "-q", "-o", "APT::Status-Fd=3", *apt_setup.CONFFILES)
        apt_setup.write_preferences(self._guest, security=_security(request))
        status = Job(self._guest, self._setting).run(
            (*argv, *self._action(request)), progress.heard, "apt-get"
        )
        return _why(status, progress.errors) if status else ""

    def _collect(self, mark: Mark, preview: Preview, failure: str) -> Applied:
        security = frozenset(apt_text.bare(c.name) for c in preview.changes if c.security)
        packages, leftovers = state(self._guest)
        changes: tuple[PackageChange, ...] = apt_text.between(
            mark.packages, apt_text.versions(packages), security
        )
        kept = tuple(path for stamp, path in leftovers if (stamp, path) not in set(mark.conffiles))
        left = [f"boot loader: {held} (its work lies outside the snapshot)" for held in preview.held]
        left += [f"kept back by apt: {name}" for name in preview.kept_back]
        if preview.unsigned:
            left.append("signature check: the packages of the bundle are not signed")
        return Applied(changes, kept, tuple(left), failure)

    def _update(self, tell: Tell) -> list[str]:
        """apt-get update; the sources that failed. Raises PatchFailed where not one could be read."""
        apt_setup.write_preferences(self._guest, security=False)
        seen: list[str] = []

        def listen(event: object) -> None:
            if isinstance(event, Line):
                seen.append(event.text)
                tell(event)

        progress = AptProgress(listen, self._setting.step, 0, 0, self._setting.clock)
        argv = (*self._apt("apt-get", "-q"), "update")
        status = Job(self._guest, self._setting).run(argv, progress.heard, "apt-get update")
        self._previews.clear()
        failed = [line[3:] for line in seen if line.startswith(("W: Failed to fetch", "W: GPG error", "E: "))]
        answered = any(line.startswith(("Get:", "Hit:")) for line in seen)
        if not self._setting.bundle and not answered and (status or failed):
            raise PatchFailed(f"The package lists could not be read: {(failed or ['no message'])[-1]}")
        return failed or ([f"apt-get update ended with status {status}."] if status else [])

    def _bundle(self) -> Bundle:
        if self._found is None:
            self._found = look(self._guest, self._setting.bundle)
        return self._found

    def _unsigned(self) -> bool:
        if not self._setting.bundle:
            return False
        if not self._bundle().repository:
            return not self._bundle().signed
        return b"\nTrusted: yes" in self._guest.read_file(apt_setup.SOURCES)

    def _apt(self, program: str, *args: str) -> tuple[str, ...]:
        repository = bool(self._setting.bundle) and self._bundle().repository
        hosts = () if repository or not self._setting.proxy else self.sources().hosts
        settings = apt_setup.options(self._setting, hosts, bundle_lists=repository)
        return (*apt_setup.environment(""), program, *settings, *args)

    def _packages(self) -> tuple[apt_text.Package, ...]:
        return apt_text.parse_packages(self._text("dpkg-query", "-W", apt_text.QUERY))

    def _clean(self) -> None:
        rest = f"apt-get clean; rm -rf {FOLDER}/job {apt_setup.PREFERENCES} {apt_setup.FREE}"
        self._guest.exec(("sh", "-c", rest), timeout=300)

    def _text(self, *argv: str) -> str:
        out = self._guest.exec(argv, timeout=900)
        text = out.stdout.decode(errors="replace")
        if out.status != 0:
            said = out.stderr.decode(errors="replace").strip() or text.strip() or "no message"
            last = plain(said.splitlines()[-1])
            raise PatchFailed(f"{argv[0]} in the twin ended with status {out.status}: {last}")
        return text


def _security(request: PatchRequest) -> bool:
    return request.kind is PatchKind.SECURITY


def _without_version(name: str) -> str:
    return name.partition("=")[0]


def _last_error(text: str) -> str:
    errors = [line[3:] for line in text.splitlines() if line.startswith("E: ")]
    return plain(errors[-1]) if errors else "no message"


def _why(status: int, errors: list[str]) -> str:
    cause = f": {errors[0]}" if errors else ""
    return f"apt-get ended with status {status}{cause}."
