"""Finishing or undoing a package transaction: what an administrator types, asked nothing."""

from __future__ import annotations

from collections.abc import Callable

from appliance.patching import apt_setup
from appliance.patching.base import Setting

Run = Callable[[tuple[str, ...], str], int]
"""Runs a program of the system to its end, telling its output; `str` names it. Returns its exit status."""

CONFIGURE = ("dpkg", "--configure", "-a", "--force-confdef", "--force-confold")


def finish(run: Run) -> None:
    """`dpkg --configure -a`, then `apt-get -f install` with what is already here. No network is needed.

    What comes of it is for the caller's audit to say: the second may mend what the first could not.
    """
    run((*apt_setup.environment(""), *CONFIGURE), "dpkg --configure")
    _apt_get(run, Setting(), (), "--no-download", "-f", "install")


def update(run: Run, setting: Setting, hosts: tuple[str, ...]) -> None:
    """Read the package lists of the system's own sources through `setting.proxy`."""
    _apt_get(run, setting, hosts, "update")


def finish_from_sources(run: Run, setting: Setting, hosts: tuple[str, ...]) -> None:
    """`apt-get update` and `apt-get -f install`, with what is missing fetched through `setting.proxy`."""
    update(run, setting, hosts)
    _apt_get(run, setting, hosts, "-f", "install")


def undo(run: Run, setting: Setting, hosts: tuple[str, ...], words: tuple[str, ...]) -> None:
    """Bring the versions in `words` back (see apt_undo.undo_words); what is half done is set up first.

    Off-line (no proxy) nothing is fetched. What comes of it is for the caller to look at.
    """
    run((*apt_setup.environment(""), *CONFIGURE), "dpkg --configure")
    local = () if setting.proxy else ("--no-download",)
    allowed = ("--allow-downgrades", "--allow-change-held-packages")
    _apt_get(run, setting, hosts, *local, *allowed, "install", *words)


def _apt_get(run: Run, setting: Setting, hosts: tuple[str, ...], *words: str) -> None:
    options = (*apt_setup.options(setting, hosts, bundle_lists=False), *apt_setup.CONFFILES)
    act = next((w for w in words if not w.startswith("-")), "")
    name = f"apt-get {'-f ' if '-f' in words else ''}{act}"
    run((*apt_setup.environment(setting.proxy), "apt-get", "-y", "-q", *options, *words), name)
