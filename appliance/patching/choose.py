"""Which package manager the running guest has: the only place that knows the implementations."""

from __future__ import annotations

from appliance.errors import Refused
from appliance.patching.apt import Apt
from appliance.patching.base import Guest, PackageManager, Setting

_LOOK = "for p in apt-get dnf zypper; do command -v $p; done; true"


def choose(guest: Guest, setting: Setting) -> PackageManager:
    """The package manager of the running guest. Raises Refused where it is one we do not drive."""
    found = guest.exec(("sh", "-c", _LOOK), timeout=60).stdout.decode(errors="replace")
    if "apt-get" in found:
        return Apt(guest, setting)
    other = next((name for name in ("dnf", "zypper") if name in found), "")
    if other:
        raise Refused((f"This system is patched with {other}, which is not driven here yet.",))
    raise Refused(("No package manager was found in the twin: apt-get, dnf and zypper are all missing.",))
