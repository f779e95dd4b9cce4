"""Which package manager the running guest has: the only place that knows the implementations."""

from __future__ import annotations

from appliance.errors import Refused
from appliance.model.seen import PATCHED_WITH
from appliance.patching.apt import Apt
from appliance.patching.base import Guest, PackageManager, Setting
from appliance.patching.dnf import Dnf
from appliance.patching.zypper import Zypper

# os-release(5) first: a system may have the programs of another family as well, to build packages.
_LOOK = r"""
sed -n 's/^ID\(_LIKE\)\{0,1\}=/id /p' /etc/os-release 2>/dev/null | tr -d \''"'
for p in apt-get dnf zypper; do command -v $p; done
true
"""
_OF_FAMILY = {
    "apt-get": frozenset({"debian", "ubuntu"}),
    "dnf": frozenset({"fedora", "rhel", "centos", "almalinux", "rocky"}),
    "zypper": frozenset({"suse", "opensuse", "sles"}),
}


def choose(guest: Guest, setting: Setting) -> PackageManager:
    """The package manager of the running guest. Raises Refused where no machine was seen with it."""
    manager = recognise(guest, setting)
    if manager.name not in PATCHED_WITH:
        raise Refused((f"This system is patched with {manager.name}, which is not driven here yet.",))
    return manager


def recognise(guest: Guest, setting: Setting) -> PackageManager:
    """The same, whether a machine was seen with it or not. Raises Refused where there is none known here."""
    lines = guest.exec(("sh", "-c", _LOOK), timeout=60).stdout.decode(errors="replace").splitlines()
    ids = {word for line in lines if line.startswith("id ") for word in line[3:].split()}
    there = [line.rpartition("/")[2] for line in lines if not line.startswith("id ")]
    fits = [program for program in there if ids & _OF_FAMILY.get(program, frozenset())]
    match next(iter((*fits, *there)), ""):
        case "apt-get":
            return Apt(guest, setting)
        case "dnf":
            return Dnf(guest, setting)
        case "zypper":
            return Zypper(guest, setting)
    raise Refused(("No package manager was found in the twin: apt-get, dnf and zypper are all missing.",))
