"""dnf 4 in the twin. Its settings are given per command: no repository file, lock or proxy stays behind.

dnf5 (Fedora 41 and later) prints other columns: it is told by its version and refused.
"""

from __future__ import annotations

from appliance.errors import PatchFailed, Refused
from appliance.model.plain import plain
from appliance.model.plan import PatchKind, PatchRequest
from appliance.model.verdict import PackageChange
from appliance.patching import dnf_text, rpm_setup, rpm_text
from appliance.patching.base import Preview, Sources, Tell
from appliance.patching.dnf_progress import DnfProgress
from appliance.patching.dnf_sources import SITES, parse_sources
from appliance.patching.job import Job
from appliance.patching.rpm import OverRpm, bundled

REPOSITORY = "twinboot-bundle"


class Dnf(OverRpm):
    """A PackageManager over dnf 4. "Security" is `dnf upgrade --security`: what an advisory names.

    Signatures are checked as the system's own settings say; `-y` takes the keys that its own repository files
    name (gpgkey=), as on any such machine.
    """

    name = "dnf"
    cleaning = "dnf -q clean packages"

    def why_not(self, request: PatchRequest) -> tuple[str, ...]:
        return (*self._why_not_driven(), *super().why_not(request))

    def _why_not_driven(self) -> tuple[str, ...]:
        _, version = self._said(*rpm_setup.environment(""), "dnf", "--version", limit=120)
        if dnf_text.is_dnf4(version):
            return ()
        first = plain(next(iter(version.splitlines()), "nothing"))
        return (f"Only dnf 4 is driven here, and this system's says of itself: {first}.",)

    def _look_at_sources(self) -> Sources:
        status, said = self._said(*rpm_setup.environment(""), "sh", "-c", SITES)
        if status != 0:
            raise PatchFailed(f"dnf's repositories cannot be listed in the twin: {_last(said)}")
        return parse_sources(said)

    def refresh(self, request: PatchRequest, tell: Tell) -> tuple[str, ...]:
        if self._setting.bundle:
            if reasons := self.why_not(request):
                raise Refused(reasons)
            if not self._bundle().repository:
                return ()
        progress = DnfProgress(tell, self._setting)
        argv = self._dnf(request, "makecache", "--refresh")
        status = Job(self._guest, self._setting).run(argv, progress.heard, "dnf makecache")
        self._previews.clear()
        silent = dnf_text.unread(progress.lines)
        everything = bool(silent) and len(silent) >= self._enabled(request)
        sentences = tuple(f"Package source not read: {repo}: {why}" for repo, why in silent.items())
        # With skip_if_unavailable dnf ends with 0, whatever it could read.
        if status != 0 or everything:
            why = next(iter(silent.values()), "") or dnf_text.cause("\n".join(progress.lines))
            what = "bundle was not accepted" if self._setting.bundle else "package lists could not be read"
            raise PatchFailed(f"The {what}: {plain(why)}")
        return tuple(plain(sentence) for sentence in sentences)

    def by_hand(self) -> tuple[tuple[str, str], ...]:
        """dnf takes no configuration from the environment: the loader is not held, and `collect` says so."""
        return rpm_setup.proxies(self._setting.proxy)

    def _ask(self, request: PatchRequest) -> Preview:
        _, told = self._said(*self._dnf(request, "--assumeno", *self._action(request)))
        rows = dnf_text.parse_table(told)
        if not rows and "Nothing to do." not in told:
            raise Refused((f"dnf cannot do this: {plain(dnf_text.cause(told))}",))
        _, advisories = self._said(*self._dnf(request, "-C", "-q", "updateinfo", "list", "--security"))
        security = dnf_text.parse_security(advisories)
        held: tuple[str, ...] = ()
        if request.kind is not PatchKind.PACKAGES and self._lists():
            free = self._dnf(request, "-C", "-q", "--disableexcludes=main", hold=False)
            _, newer = self._said(*free, "list", "--upgrades", *rpm_text.LOADER_GLOBS)
            held = self._held(dnf_text.parse_list(newer))
        return Preview(
            changes=self._changes(rows, security),
            download=dnf_text.parse_download(told),
            held=held,
            kept_back=tuple(f"{row.name} {row.version}" for row in rows if row.left),
            unsigned=bool(self._setting.bundle and self._bundle().untrusted),
        )

    def _changes(self, rows: tuple[dnf_text.Row, ...], security: frozenset[str]) -> tuple[PackageChange, ...]:
        now: dict[str, str] = dict(self.installed())
        found = []
        for row in rows:
            name = row.name if row.name in now else f"{row.name}.{row.architecture}"
            name = name if name in now else row.name
            if row.goes:
                found.append(rpm_text.change(name, row.version, "", security))
            elif row.comes:
                # What is installed beside its other versions is "Installing", and takes nothing's place.
                before = "" if row.act.startswith("Installing") else now.get(name, "")
                found.append(rpm_text.change(name, before, row.version, security))
        return tuple(sorted(found, key=lambda change: (change.name, change.after)))

    def _change(self, request: PatchRequest, preview: Preview, tell: Tell) -> str:
        progress = DnfProgress(tell, self._setting, len(preview.changes), preview.download)
        argv = self._dnf(request, "-y", *self._action(request))
        status = Job(self._guest, self._setting).run(argv, progress.heard, "dnf")
        # dnf ends with 0 where a script failed after its package was installed.
        scripts = rpm_text.scriptlets(progress.lines)
        if status != 0:
            said = " ".join(scripts) or plain(dnf_text.cause("\n".join(progress.lines)))
            return f"dnf ended with status {status}: {said}"
        return plain(" ".join(scripts))

    def _action(self, request: PatchRequest) -> tuple[str, ...]:
        if self._setting.bundle and not self._bundle().repository:
            verb = "install" if request.kind is PatchKind.PACKAGES else "upgrade"
            return (verb, *bundled(self._bundle(), request))
        if request.kind is PatchKind.PACKAGES:
            pairs = (rpm_text.split_version(word) for word in request.packages)
            # Without --best an older version that is installed is good enough for `install`.
            return (
                "install",
                "--best",
                *(f"{name}-{version}" if version else name for name, version in pairs),
            )
        return ("upgrade", "--security") if request.kind is PatchKind.SECURITY else ("upgrade",)

    def _enabled(self, request: PatchRequest) -> int:
        return len(dnf_text.parse_repolist(self._said(*self._dnf(request, "-C", "-q", "repolist"))[1]))

    def _lists(self) -> bool:
        return not self._setting.bundle or self._bundle().repository

    def _dnf(self, request: PatchRequest, *args: str, hold: bool = True) -> tuple[str, ...]:
        options = ["--setopt=exit_on_lock=True", "--setopt=keepcache=False", "--color=never"]
        if hold:
            options += [f"--exclude={glob}" for glob in rpm_text.LOADER_GLOBS]
        if self._setting.proxy:
            # One that a repository names for itself would win over the general one.
            options += [f"--setopt={where}proxy={self._setting.proxy}" for where in ("", "*.")]
        if self._setting.bundle:
            options += self._from_bundle(request)
        return (*rpm_setup.environment(self._setting.proxy), "dnf", *options, *args)

    def _from_bundle(self, request: PatchRequest) -> list[str]:
        bundle = self._bundle()
        checked = "False" if bundle.untrusted and request.allow_unsigned else "True"
        common = [f"--setopt=cachedir={rpm_setup.CACHE}", f"--setopt=localpkg_gpgcheck={checked}"]
        if not bundle.repository:
            return [*common, "--disablerepo=*"]
        return [
            *common,
            f"--repofrompath={REPOSITORY},file://{bundle.path}",
            f"--repo={REPOSITORY}",
            f"--setopt={REPOSITORY}.gpgcheck={checked}",
        ]


def _last(text: str) -> str:
    return plain(next((line for line in reversed(text.splitlines()) if line.strip()), "no message"))
