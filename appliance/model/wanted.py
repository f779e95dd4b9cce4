"""What one machine would fetch, as written to the stick for an office with internet. Holds no secret.

Written on the appliance by `twinboot wanted`, read by `twinboot bundle make`. People carry and may edit it: a
key that is not known is refused, since it was meant to say something.
"""

from __future__ import annotations

import re

import msgspec

from appliance.errors import DamagedData
from appliance.model.codec import from_json
from appliance.model.plan import PatchKind, not_packages

SCHEMA = 1
KINDS = (PatchKind.ALL, PatchKind.SECURITY, PatchKind.PACKAGES)
RELATIONS = (
    "Essential",
    "Protected",
    "Important",
    "Priority",
    "Source",
    "Multi-Arch",
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
    "Installed-Size",
)
"""Fields of an installed package that apt asks (deb-control(5)): its solver, and its comparison of what is
installed with what an archive has. Where one of them is missing, apt takes the same version for another one
and would fetch it again (debListParser::VersionHash)."""

ELSEWHERE = re.compile(r"([a-z]+\+)?(https?|ftp)://[^/@]+(/|\Z)")
"""Where an office can fetch from; apt's wrappers stand before the transport (tor+http)."""
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_VERSION = re.compile(r"[A-Za-z0-9.+:~-]{1,255}")


class InstalledPackage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`held`: apt is told to leave it; `auto`: it came because another needs it (apt-mark(8))."""

    name: str
    arch: str
    version: str
    held: bool = False
    auto: bool = False
    relations: dict[str, str] = {}


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One archive and suite of sources.list(5). `uri` is without name, password and query.

    `signed_by` are names of `AptSetup.keys` or key fingerprints; empty means every trusted key. `trusted`:
    the system takes it without a signature. A `suite` that ends with "/" is a flat repository.
    """

    file: str
    uri: str
    suite: str
    components: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    signed_by: tuple[str, ...] = ()
    trusted: bool = False


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A keyring of public keys. `trusted`: it speaks for every source that names no key of its own."""

    name: str
    data: bytes
    trusted: bool = False


class Preferences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of apt_preferences(5): the pins."""

    name: str
    text: str


class ReadRelease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed index that this system's apt has read, made at `date`, in seconds since 1970."""

    origin: str = ""
    suite: str = ""
    codename: str = ""
    date: int = 0


class AptSetup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides what apt would fetch, read from the system's files.

    `lists_at` is when apt last read its lists, in seconds since 1970. `unknown` are sentences on what could
    not be read or is left out.
    """

    architecture: str = ""
    codename: str = ""
    foreign: tuple[str, ...] = ()
    recommends: bool = True
    default_release: str = ""
    installed: tuple[InstalledPackage, ...] = ()
    sources: tuple[Source, ...] = ()
    keys: tuple[Key, ...] = ()
    preferences: tuple[Preferences, ...] = ()
    releases: tuple[ReadRelease, ...] = ()
    lists_at: float = 0.0
    unknown: tuple[str, ...] = ()


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file. `identity` and `system` say whose it is; `written_at` is in seconds since 1970."""

    schema: int
    identity: str
    system: str
    hostname: str
    os_name: str
    written_at: int
    kind: PatchKind = PatchKind.ALL
    packages: tuple[str, ...] = ()
    apt: AptSetup = AptSetup()


def read_wanted(content: bytes, name: str) -> Wanted:
    """Raises DamagedData naming the key that is wrong, the version, or what no list of ours would hold."""
    wanted: Wanted = from_json(content, Wanted, name)
    if wanted.schema != SCHEMA:
        raise DamagedData(f"{name} is of version {wanted.schema}; this version reads {SCHEMA}.")
    if wrong := _what_is_wrong(wanted):
        raise DamagedData(f"{name} is no list of a machine: {wrong}")
    return wanted


def _what_is_wrong(wanted: Wanted) -> str:
    """What would mean something else once it stands in a file of apt, as a sentence; empty where nothing."""
    apt = wanted.apt
    if wanted.kind not in KINDS or (wanted.kind is PatchKind.PACKAGES and not wanted.packages):
        return f"kind {wanted.kind.value} is none that can be fetched, or names no packages."
    if wrong := not_packages((*wanted.packages, *(p.name for p in apt.installed))):
        return wrong[0]
    for arch in (apt.architecture, *apt.foreign, *(p.arch for p in apt.installed)):
        if not _ARCHITECTURE.fullmatch(arch):
            return f"{arch!r} is no architecture."
    for package in apt.installed:
        if not _VERSION.fullmatch(package.version):
            return f"{package.version!r} is no version of {package.name}."
        for name, value in package.relations.items():
            if name not in RELATIONS or not value.isprintable():
                return f"{name!r} of {package.name} does not belong there."
    for source in apt.sources:
        words = (source.uri, source.suite, *source.components, *source.architectures, *source.signed_by)
        if not all(is_word(word) for word in words):
            return f"the source {source.uri!r} holds blanks or control characters."
        if not ELSEWHERE.match(source.uri):
            return f"the source {source.uri!r} is no address on a network."
        if not all(map(leads_inside, (source.suite.strip("/") or ".", *source.components))):
            return f"the source {source.uri!r} has a suite or component that leads elsewhere."
    if apt.default_release and not is_word(apt.default_release):
        return "the default release holds blanks or control characters."
    return ""


def is_word(text: str) -> bool:
    """Whether `text` stays one word in a file of apt's."""
    return bool(text) and text.isprintable() and not set(text) & set(" \"'\\;[]{}")


def without_secrets(uri: str) -> tuple[str, bool]:
    """`uri` without name, password, query and fragment; and whether there was one of them.

    Everything before the last "@" goes: a password may hold a slash that nobody has quoted.
    """
    scheme, apart, rest = uri.partition("://")
    bare = re.split(r"[?#]", rest.rpartition("@")[2])[0]
    return f"{scheme}{apart}{bare}", bare != rest


def leads_inside(path: str) -> bool:
    """Whether a suite or component, which is a path of the archive, stays below it."""
    return not {"", ".."} & set(path.split("/"))


def file_name(wanted: Wanted, several: bool = False) -> str:
    """The list's name on the stick, for every computer to read; `several`: the machine has more systems."""
    words = f"{wanted.identity} {wanted.system.removeprefix('/dev/')}" if several else wanted.identity
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-.")[:100] or "machine"
    return f"{stem}.json"
