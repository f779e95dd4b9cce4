"""zypper in the twin, by its XML output. Its settings are given per command, below /run.

"All" is `zypper update`; on Tumbleweed and Slowroll, which know no patches, `zypper dist-upgrade` without a
change of vendor, as they are meant to be updated. No key is ever imported: a source signed by a key that the
system does not have counts as not read.
"""

from __future__ import annotations

from appliance.errors import PatchFailed, Refused
from appliance.model.plain import plain
from appliance.model.plan import PatchKind, PatchRequest
from appliance.patching import rpm_setup, rpm_text, zypper_setup, zypper_text
from appliance.patching.base import Preview, Sources, Tell
from appliance.patching.job import Job
from appliance.patching.rpm import OverRpm
from appliance.patching.sites import allowed
from appliance.patching.zypper_progress import ZypperProgress

_ROLLING = frozenset({"opensuse-tumbleweed", "opensuse-slowroll"})
_PROXY = r"""
. /etc/sysconfig/proxy 2>/dev/null && [ "$PROXY_ENABLED" = yes ] && echo "${HTTP_PROXY:-$HTTPS_PROXY}"
exit 0
"""
_AGREED = ("--auto-agree-with-licenses",)


class Zypper(OverRpm):
    """A PackageManager over zypper. "Security" is `zypper patch --category security`."""

    name = "zypper"
    cleaning = "zypper -q --non-interactive clean"

    def why_not(self, request: PatchRequest) -> tuple[str, ...]:
        reasons = super().why_not(request)
        if request.kind is PatchKind.SECURITY and self._rolling():
            reasons += ("This distribution publishes no security patches of their own: take all updates.",)
        return reasons

    def _look_at_sources(self) -> Sources:
        status, said = self._said(
            *zypper_setup.environment("", hold=False), *_zypper("--no-refresh"), "repos"
        )
        if status not in (0, 6):
            raise PatchFailed(f"zypper's repositories cannot be listed: {plain(zypper_text.cause(said))}")
        _, upstream = self._said("sh", "-c", _PROXY)
        uris = (address for _, address in zypper_text.parse_repositories(said))
        return allowed(uris, upstream.strip())

    def refresh(self, request: PatchRequest, tell: Tell) -> tuple[str, ...]:
        zypper_setup.write_settings(self._guest)
        if self._setting.bundle:
            if reasons := self.why_not(request):
                raise Refused(reasons)
            checked = not (self._bundle().untrusted and request.allow_unsigned)
            zypper_setup.write_bundle(self._guest, self._bundle(), checked=checked)
        progress = ZypperProgress(tell, self._setting)
        status = Job(self._guest, self._setting).run(
            self._call("refresh", fresh=True), progress.heard, "zypper refresh"
        )
        self._previews.clear()
        said = "\n".join(progress.lines)
        silent = [f"{repo}: {why}" for repo, why in zypper_text.unread(said).items()]
        if self._setting.bundle and status != 0:
            raise PatchFailed(
                f"The bundle was not accepted: {plain((silent or [zypper_text.cause(said)])[0])}"
            )
        if status != 0 and len(silent) >= self._enabled():
            why = (silent or [zypper_text.cause(said)])[0]
            raise PatchFailed(f"The package lists could not be read: {plain(why)}")
        return tuple(f"Package source not read: {plain(one)}" for one in silent)

    def by_hand(self) -> tuple[tuple[str, str], ...]:
        zypper_setup.write_settings(self._guest)
        return (("ZYPP_CONF", zypper_setup.CONFIG), *rpm_setup.proxies(self._setting.proxy))

    def _ask(self, request: PatchRequest) -> Preview:
        zypper_setup.write_settings(self._guest)
        told = self._simulated(request)
        if not zypper_text.has_summary(told) and "Nothing to do." not in told:
            raise Refused((f"zypper cannot do this: {plain(zypper_text.cause(told))}",))
        security = frozenset[str]()
        if not self._rolling() and (not self._setting.bundle or self._bundle().repository):
            by_advisory = (
                told
                if request.kind is PatchKind.SECURITY
                else self._simulated(PatchRequest(kind=PatchKind.SECURITY))
            )
            security = frozenset(s.name for s in zypper_text.parse_summary(by_advisory) if not s.goes)
        changes = (
            rpm_text.change(s.name, s.version, "", security)
            if s.goes
            else rpm_text.change(s.name, s.old, s.version, security)
            for s in zypper_text.parse_summary(told)
        )
        held: tuple[str, ...] = ()
        if request.kind is not PatchKind.PACKAGES:
            free = zypper_text.parse_summary(self._simulated(request, hold=False))
            held = self._held({s.name: s.version for s in free if rpm_text.LOADER.match(s.name)})
        return Preview(
            changes=tuple(sorted(changes, key=lambda change: (change.name, change.after))),
            download=zypper_text.parse_download(told),
            held=held,
            unsigned=bool(self._setting.bundle and self._bundle().untrusted),
        )

    def _change(self, request: PatchRequest, preview: Preview, tell: Tell) -> str:
        lines: list[str] = []
        for _ in range(2):  # once more where it has renewed itself first
            progress = ZypperProgress(tell, self._setting, len(preview.changes), preview.download)
            argv = self._call(*self._action(request, "--download-in-advance"))
            status = Job(self._guest, self._setting).run(argv, progress.heard, "zypper")
            lines += progress.lines
            if status != zypper_text.MORE_TO_DO:
                break
        scripts = plain(" ".join(rpm_text.scriptlets(lines)))
        if zypper_text.ended_well(status):
            return scripts
        said = scripts or plain(zypper_text.cause("\n".join(lines)))
        return f"zypper ended with status {status} ({zypper_text.ended(status)}): {said}"

    def _action(self, request: PatchRequest, *options: str) -> tuple[str, ...]:
        """Words and options of one call; what stands behind a package's name is read as another name."""
        options = (*_AGREED, *options)
        if request.kind is PatchKind.PACKAGES:
            return ("install", *options, *request.packages)
        if request.kind is PatchKind.SECURITY:
            return (*_SECURITY, *options)
        return (
            ("dist-upgrade", "--no-allow-vendor-change", *options)
            if self._rolling()
            else ("update", *options)
        )

    def _simulated(self, request: PatchRequest, *, hold: bool = True) -> str:
        return self._said(*self._call(*self._action(request, "--dry-run"), hold=hold))[1]

    def _call(self, *action: str, hold: bool = True, fresh: bool = False) -> tuple[str, ...]:
        # Patches that want a reboot (a kernel's) are left out without asking unless this is said.
        words = ["--non-interactive-include-reboot-patches", *([] if fresh else ["--no-refresh"])]
        if self._setting.bundle:
            words += ["--reposd-dir", zypper_setup.REPOSITORIES, "--cache-dir", rpm_setup.CACHE]
        return (*zypper_setup.environment(self._setting.proxy, hold=hold), *_zypper(*words), *action)

    def _enabled(self) -> int:
        said = self._said(*zypper_setup.environment("", hold=False), *_zypper("--no-refresh"), "repos")[1]
        return len({alias for alias, _ in zypper_text.parse_repositories(said)})

    def _rolling(self) -> bool:
        said = self._said("sed", "-n", 's/^ID="\\{0,1\\}\\([a-z-]*\\).*/\\1/p', "/etc/os-release", limit=60)[
            1
        ]
        return said.strip() in _ROLLING


_SECURITY = ("patch", "--category", "security")


def _zypper(*words: str) -> tuple[str, ...]:
    return ("zypper", "--non-interactive", "--xmlout", *words)
