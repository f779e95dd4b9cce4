"""Finishing a package transaction that was cut short: what an administrator types, asked nothing."""

from __future__ import annotations

from collections.abc import Callable

from appliance.patching import apt_setup
from appliance.patching.base import Setting

Run = Callable[[tuple[str, ...], str], int]
"""Runs a program of the system to its end, telling its output; `str` names it. Returns its exit status."""

CONFIGURE = ("dpkg", "--configure", "-a", "--force-confdef", "--force-confold")
INSTALL = ("apt-get", "-y", "-q")


def finish(run: Run) -> None:
    """`dpkg --configure -a`, then `apt-get -f install` with what is already here. No network is needed.

    What comes of it is for the caller's audit to say: the second may mend what the first could not.
    """
    plain = apt_setup.environment("")
    run((*plain, *CONFIGURE), "dpkg --configure")
    local = (*INSTALL, *apt_setup.options(Setting(), (), bundle_lists=False), *apt_setup.CONFFILES)
    run((*plain, *local, "--no-download", "-f", "install"), "apt-get -f install")


def finish_from_sources(run: Run, setting: Setting, hosts: tuple[str, ...]) -> None:
    """`apt-get update` and `apt-get -f install`, with what is missing fetched through `setting.proxy`."""
    prefix = apt_setup.environment(setting.proxy)
    options = (*INSTALL, *apt_setup.options(setting, hosts, bundle_lists=False), *apt_setup.CONFFILES)
    run((*prefix, *options, "update"), "apt-get update")
    run((*prefix, *options, "-f", "install"), "apt-get -f install")
