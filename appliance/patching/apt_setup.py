"""How apt is called in the twin so that it asks nothing, holds the loader, and leaves no setting behind.

Everything is given per command: options on the command line, a preferences file below /run. A killed run
leaves no pin, no hold and no proxy on the volume that is going to be promoted.
"""

from __future__ import annotations

from appliance.errors import TwinFailed
from appliance.patching.apt_text import LOADER_GLOBS
from appliance.patching.base import Guest, Setting
from appliance.patching.job import FOLDER

PREFERENCES = f"{FOLDER}/preferences"
FREE = f"{FOLDER}/preferences.free"  # the same without the loader's pin: what would be there to apply
CONFIG = f"{FOLDER}/apt.conf"
SOURCES = f"{FOLDER}/bundle.sources"
LISTS = f"{FOLDER}/lists"

ENVIRONMENT = (
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("TERM", "dumb"),
    ("LC_ALL", "C.UTF-8"),  # what is parsed must not be translated
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("DEBIAN_PRIORITY", "critical"),
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("APT_LISTBUGS_FRONTEND", "none"),
    ("NEEDRESTART_MODE", "l"),  # list, restart nothing: the twin is booted anew anyway
    ("UCF_FORCE_CONFFOLD", "1"),
)

# Held by a pin and not by `apt-mark hold`: a hold lives in the package database, which is promoted, so a
# killed run would leave it there for good. apt applies a package's own record before any general one.
_LOADER_PIN = f"Package: {LOADER_GLOBS}\nPin: release *\nPin-Priority: -1\n\n"

# apt takes the first general record that fits: security archives, what is installed, then the rest just
# high enough that a security update may pull a new dependency from them, and too low to upgrade anything.
_SECURITY_PINS = """\
Package: *
Pin: release a=/-security$/
Pin-Priority: 990

Package: *
Pin: release n=/-security$/
Pin-Priority: 990

Package: *
Pin: release a=now
Pin-Priority: 100

Package: *
Pin: release *
Pin-Priority: 50

"""


def pins(*, security: bool) -> str:
    """Our own records of apt_preferences(5): the loader held, and for security updates all else as it is."""
    return _LOADER_PIN + (_SECURITY_PINS if security else "")


def environment(proxy: str) -> tuple[str, ...]:
    """argv prefix that sets the whole environment (an agent's own env may replace PATH)."""
    pairs = [f"{key}={value}" for key, value in ENVIRONMENT]
    if proxy:
        pairs += [f"http_proxy={proxy}", f"https_proxy={proxy}"]
    return ("env", "-i", *pairs)


def options(setting: Setting, hosts: tuple[str, ...], *, bundle_lists: bool) -> tuple[str, ...]:
    """-o options of every apt command. `bundle_lists`: only the bundle's sources, lists kept below /run."""
    settings = [
        f"Dir::Etc::Preferences={PREFERENCES}",
        "Dpkg::Use-Pty=0",  # dpkg stays in our process group, and its output comes line by line
        "APT::Color=0",
        "DPkg::Lock::Timeout=300",
        "Acquire::Retries=2",
        "APT::Sandbox::User=root",  # what lies below /run and on the stick need not be readable for _apt
    ]
    if setting.proxy:
        settings += [f"Acquire::{kind}::Proxy={setting.proxy}" for kind in ("http", "https")]
        # A proxy the guest has set for one host would win over the general one.
        settings += [
            f"Acquire::{kind}::Proxy::{host.partition(':')[0]}={setting.proxy}"
            for host in hosts
            for kind in ("http", "https")
        ]
    if bundle_lists:
        settings += [
            f"Dir::Etc::SourceList={SOURCES}",
            "Dir::Etc::SourceParts=/dev/null",
            f"Dir::State::Lists={LISTS}",
            # Of a list in many packings a bundle has the first of these, and apt tries no other.
            "Acquire::CompressionTypes::Order=xz,gz,bz2",
            "Dir::Cache::pkgcache=",
            "Dir::Cache::srcpkgcache=",
            "Dir::Etc::Trusted=/dev/null",
            f"Dir::Etc::TrustedParts={FOLDER}/keys",
        ]
    return tuple(word for one in settings for word in ("-o", one))


def by_hand(guest: Guest, setting: Setting, hosts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The same settings for whoever types apt: a file below /run, and the environment that names it.

    Beside the preferences, since a patch's own are removed with it (apt.conf(5), APT_CONFIG).
    """
    write_preferences(guest, security=False)
    words = options(setting, hosts, bundle_lists=False)[1::2]
    text = "".join(f'{key} "{value}";\n' for key, _, value in (word.partition("=") for word in words))
    guest.write_file(CONFIG, text.encode(), 0o644)
    proxy = tuple((name, setting.proxy) for name in ("http_proxy", "https_proxy") if setting.proxy)
    return (("APT_CONFIG", CONFIG), *proxy)


CONFFILES = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")


_PLACE = f"""
mkdir -p {LISTS}/partial {FOLDER}/keys && cd {FOLDER} || exit 1
printf '%s' "$1" | cat - /etc/apt/preferences >preferences.free 2>/dev/null
printf '%s' "$2" | cat - preferences.free >preferences
[ -s preferences ]
"""


def write_preferences(guest: Guest, *, security: bool) -> None:
    """Both preferences files below /run: our records before the guest's own, in one call of the agent."""
    pins = _SECURITY_PINS if security else ""
    out = guest.exec(("sh", "-c", _PLACE, "twinboot", pins, _LOADER_PIN), timeout=60)
    if out.status != 0:
        raise TwinFailed("The twin could not take the settings for apt.")
