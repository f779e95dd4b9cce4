"""How zypper is called so that it asks nothing, leaves the loader alone, and keeps no setting of ours.

libzypp takes the name of its configuration file from the environment (ZYPP_CONF); the one written below /run
is the system's own with another file of locks: the system's own locks and the loader's.
"""

from __future__ import annotations

from appliance.errors import TwinFailed
from appliance.patching import rpm_setup
from appliance.patching.base import Guest
from appliance.patching.job import FOLDER
from appliance.patching.rpm_bundle import RpmBundle
from appliance.patching.rpm_text import LOADER_GLOBS

CONFIG = f"{FOLDER}/zypp.conf"
REPOSITORIES = f"{FOLDER}/repos"
ALIAS = "twinboot-bundle"

_LOCKS = "".join(
    f"type: package\nmatch_type: glob\ncase_sensitive: on\nsolvable_name: {glob}\n\n" for glob in LOADER_GLOBS
)
_PLACE = f"""
mkdir -p {FOLDER} && cd {FOLDER} || exit 1
conf=/etc/zypp/zypp.conf; [ -e $conf ] || conf=/usr/etc/zypp/zypp.conf
if [ -e $conf ]; then grep -v '^[[:space:]]*locksfile\\.path' $conf; else echo '[main]'; fi >zypp.conf
echo 'locksfile.path = {FOLDER}/locks' >>zypp.conf
own=$(sed -n 's/^[[:space:]]*locksfile\\.path[[:space:]]*=[[:space:]]*//p' $conf 2>/dev/null)
{{ cat "${{own:-/etc/zypp/locks}}" 2>/dev/null; echo; printf '%s' "$1"; }} >locks
[ -s zypp.conf ] && [ -s locks ]
"""


def write_settings(guest: Guest) -> None:
    """The configuration and the locks, below /run, in one call of the agent."""
    out = guest.exec(("sh", "-c", _PLACE, "twinboot", _LOCKS), timeout=60)
    if out.status != 0:
        raise TwinFailed("The twin could not take the settings for zypper.")


def write_bundle(guest: Guest, bundle: RpmBundle, *, checked: bool) -> None:
    """A folder below /run with one repository, the bundle; `checked`: with known signatures only."""
    kind = "rpm-md" if bundle.repository else "plaindir"
    check = int(checked)
    text = (
        f"[{ALIAS}]\nname={ALIAS}\nenabled=1\nautorefresh=1\nbaseurl=dir:{bundle.path}\ntype={kind}\n"
        f"gpgcheck={check}\nrepo_gpgcheck=0\npkg_gpgcheck={check}\n"
    )
    guest.exec(("mkdir", "-p", REPOSITORIES), timeout=60)
    guest.write_file(f"{REPOSITORIES}/{ALIAS}.repo", text.encode(), 0o644)


def environment(proxy: str, *, hold: bool = True) -> tuple[str, ...]:
    """argv prefix. Without `hold` the loader is not left alone: to ask what there would be."""
    return rpm_setup.environment(proxy, *((("ZYPP_CONF", CONFIG),) if hold else ()), LOCK)


LOCK = ("ZYPP_LOCK_TIMEOUT", "300")
"""Seconds to wait for another zypper to end."""
