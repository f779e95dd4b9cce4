"""A bundle on the stick against the machine it shall serve: what does not fit is said before anything begins.

What a bundle says of itself is only believed where it says less: signatures and hashes are judged by the
system's own keys, here by gpgv and in the twin by its own apt.
"""

from __future__ import annotations

import base64
import binascii
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import CommandFailed, DamagedData, Refused
from appliance.host.run import Host, read
from appliance.model.bundle import (
    MANIFEST,
    BundleMachine,
    Manifest,
    machine_in,
    read_manifest,
    spare_debs,
    state_of,
    suite_key,
)
from appliance.model.plain import plain
from appliance.model.plan import PatchKind, PatchRequest
from appliance.model.wanted import AptSetup
from appliance.patching.apt_bundle import Suite, suites_of
from appliance.probe.apt_lists import release_fields, release_time

GPGV = 60.0
"""Seconds."""
MOST_BYTES = 1 << 26
"""Of a bundle's own file that is read here."""
NAMED = 6
"""Names in one sentence; the rest is counted."""
_POCKETS = re.compile(
    r"-(security|updates|backports|backports-sloppy|proposed-updates|proposed|lts)\Z|/updates\Z"
)
_DISTRIBUTIONS = frozenset({"debian", "ubuntu"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Sentences: what forbids the run, and what is to be read before it.

    `spare` are paths of the bundle's packages that only other systems need, where that is certain.
    """

    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    spare: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose packages the bundle is looked at for."""

    identity: str
    system: str
    apt: AptSetup


def check_bundle(host: Host, folder: Path, owner: Owner, request: PatchRequest, now: float) -> Finding:
    """Everything about the bundle in `folder` that can be known without a twin. `now` is seconds since 1970.

    A folder of plain .debs says nothing of itself: nothing is found.
    """
    try:
        manifest = manifest_of(folder)
        suites = _suites(folder, owner.apt)
    except Refused as refused:
        return Finding(refused.reasons)
    reasons: list[str] = []
    warnings: list[str] = []
    spare: frozenset[str] = frozenset()
    if manifest is not None and not manifest.complete:
        return Finding(("The bundle was not finished: run `twinboot bundle make` again in the office.",))
    if manifest is not None:
        found = _made_for(folder, manifest, owner, request)
        reasons += found.reasons
        warnings += found.warnings
        spare = found.spare
    for suite in suites:
        found = _suite(host, folder, suite, owner.apt, request, now)
        reasons += found.reasons
        warnings += found.warnings
    return Finding(tuple(dict.fromkeys(reasons)), tuple(dict.fromkeys(warnings)), spare)


def _read(path: Path) -> bytes:
    """Raises Refused for what is no file, too large, or cannot be read."""
    try:
        if path.is_symlink() or not path.is_file():
            raise Refused((f"The bundle has no file {plain(path.name)} that can be read.",))
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise Refused((f"The bundle cannot be read: {error.strerror}.",)) from None
    if len(content) > MOST_BYTES:
        raise Refused((f"The bundle's {plain(path.name)} is larger than any is.",))
    return content


def manifest_of(folder: Path) -> Manifest | None:
    """What the bundle says of itself; None where it was made in another way. Raises Refused where that does
    not read."""
    if not (folder / MANIFEST).exists():
        return None
    try:
        return read_manifest(_read(folder / MANIFEST), MANIFEST)
    except DamagedData as error:
        raise Refused((f"The bundle does not say what it is: {error.what}",)) from None


def _suites(folder: Path, apt: AptSetup) -> tuple[Suite, ...]:
    """What the twin's apt will be told to read, found in the same way. Raises Refused as it will there."""
    own = frozenset(suite_key(source.uri, source.suite) for source in apt.sources)
    files = [str(path.relative_to(folder)) for path in _index_files(folder)]
    return suites_of(files, (apt.architecture, *apt.foreign), own)


def _index_files(folder: Path) -> Iterator[Path]:
    for pattern in ("Packages*", "*Release*", "archives/*/Packages*", "archives/*/*Release*"):
        yield from folder.glob(pattern)
    for dists in (folder / "dists", *folder.glob("archives/*/dists")):
        yield from (path for path in dists.rglob("*") if re.match(r"(In)?Release|Packages", path.name))


def _made_for(folder: Path, manifest: Manifest, owner: Owner, request: PatchRequest) -> Finding:
    """What the office wrote down for this system, against what there is now."""
    mine = machine_in(manifest, owner.identity, owner.system)
    if mine is None:
        others = _some([m.hostname or m.identity for m in manifest.machines])
        return Finding((), (f"The bundle was made for {others}, not for this system: it may lack packages.",))
    sizes = {file.path: file.size for file in manifest.files}
    gone = [path for path in mine.debs if not _whole(folder, path, sizes.get(path))]
    lost = [plain(path.rpartition("/")[2]) for path in gone]
    reasons = []
    if lost:
        reasons.append(
            f"The bundle lacks {len(lost)} of the {len(mine.debs)} packages wanted here: {_some(lost)}."
        )
    warnings = [f"Not in the bundle: {plain(sentence)}" for sentence in mine.missing if not lost]
    if mine.state != state_of(owner.apt):
        day = time.strftime("%Y-%m-%d", time.gmtime(min(mine.listed_at, 1 << 40)))
        warnings.append(f"Packages here have changed since the list of {day}: the bundle may lack some.")
    warnings += _asked(mine, request)
    certain = not reasons and not warnings and _solved(mine, request)
    spare = spare_debs(manifest, owner.identity, owner.system) if certain else frozenset()
    return Finding(tuple(reasons), tuple(warnings), spare)


def _solved(mine: BundleMachine, request: PatchRequest) -> bool:
    """Whether the office's solver was asked for this, or for more of the same."""
    if request.kind is PatchKind.PACKAGES:
        return mine.kind in (PatchKind.ALL, PatchKind.PACKAGES)
    return request.kind is mine.kind


def _whole(folder: Path, path: str, size: int | None) -> bool:
    try:
        return ".." not in path.split("/") and (folder / path).stat().st_size == size
    except (OSError, ValueError):
        return False


def _asked(mine: BundleMachine, request: PatchRequest) -> tuple[str, ...]:
    """A sentence where the list asked for something else than this run does."""
    if request.kind is PatchKind.ALL and mine.kind is not PatchKind.ALL:
        words = "security updates only" if mine.kind is PatchKind.SECURITY else _some(mine.packages)
        return (f"The list was written for {words}: the bundle may lack other updates.",)
    if request.kind is PatchKind.PACKAGES:
        there = {path.rpartition("/")[2].partition("_")[0] for path in mine.debs}
        names = [re.split("[:=]", name)[0] for name in request.packages]
        if other := [name for name in names if name not in there]:
            return (f"The list did not ask for {_some(other)}: the bundle may not have it.",)
    return ()


def _suite(
    host: Host, folder: Path, suite: Suite, apt: AptSetup, request: PatchRequest, now: float
) -> Finding:
    """One signed index: for this release, signed by a known key, no older than what the system has read."""
    place = folder / suite.base / ("" if suite.components else suite.name)
    place = place / "dists" / suite.name if suite.components else place
    name = next((n for n in ("InRelease", "Release") if (place / n).is_file()), "")
    label = suite.name if suite.components else (suite.base.strip("/").rpartition("/")[2] or "the bundle")
    if not name:
        return _unsigned(f"The index of {label} has no Release file", request)
    try:
        fields = release_fields(_read(place / name).decode(errors="replace"))
    except Refused as refused:
        return Finding(refused.reasons)
    reasons: list[str] = []
    base = _POCKETS.sub("", fields.get("Codename", ""))
    known = {source.suite for source in apt.sources}
    if (
        fields.get("Origin", "").lower() in _DISTRIBUTIONS
        and apt.codename
        and base != apt.codename
        and not {fields.get("Codename"), fields.get("Suite")} & known
    ):
        reasons.append(f"The bundle's {label} is for {plain(base)}; this system is {apt.codename}.")
    signed = _signed(host, place, name, apt, label, request)
    return Finding((*reasons, *signed.reasons), (*signed.warnings, *_age(fields, apt, label, now)))


def _age(fields: dict[str, str], apt: AptSetup, label: str, now: float) -> Iterator[str]:
    date, until = release_time(fields), release_time(fields, "Valid-Until")
    same = [
        r.date
        for r in apt.releases
        if (r.origin, r.codename, r.suite)
        == tuple(fields.get(k, "") for k in ("Origin", "Codename", "Suite"))
    ]
    if same and 0 < date < max(same):
        day, mine = _day(date), _day(max(same))
        yield f"The bundle's index of {label} is of {day}, older than the one this system has read ({mine})."
    if 0 < until < now:
        yield f"The bundle's index of {label} was good until {_day(until)}: newer updates are not in it."


def _signed(host: Host, place: Path, name: str, apt: AptSetup, label: str, request: PatchRequest) -> Finding:
    """Whether a key of this system has signed it, as gpgv(1) says; the twin's apt judges it again."""
    signature = place / "Release.gpg"
    if name == "Release" and not signature.is_file():
        return _unsigned(f"The index of {label} is not signed", request)
    files = (str(place / name),) if name == "InRelease" else (str(signature), str(place / name))
    with tempfile.TemporaryDirectory(prefix="twinboot-keys-") as scratch:
        ring = Path(scratch) / "ring.gpg"
        ring.write_bytes(b"".join(binary(key.data) for key in apt.keys))
        argv = ("gpgv", "--homedir", scratch, "--status-fd", "1", "--keyring", str(ring), *files)
        try:
            said = host.run(read(*argv, timeout=GPGV, ok=frozenset(range(256)))).stdout
        except CommandFailed:
            return Finding(
                (), (f"Who signed the index of {label} could not be checked here; the twin will.",)
            )
    if re.search(r"^\[GNUPG:\] GOODSIG ", said, re.M):
        return Finding()
    key = re.search(
        r"^\[GNUPG:\] (?:NO_PUBKEY|ERRSIG|EXPKEYSIG|BADSIG|REVKEYSIG) ([0-9A-F]{8,40})", said, re.M
    )
    named = f" (key {key[1]})" if key else ""
    return _unsigned(f"The index of {label} is signed by nobody this system trusts{named}", request)


def _unsigned(what: str, request: PatchRequest) -> Finding:
    if request.allow_unsigned:
        return Finding((), (f"{what}: its packages are taken unsigned, as was allowed.",))
    return Finding((f"{what}: allow unsigned packages to use it.",))


def binary(key: bytes) -> bytes:
    """A keyring without its armour (RFC 9580, 6.2), as gpgv reads it; empty where it is damaged."""
    if not key.lstrip().startswith(b"-----BEGIN"):
        return key
    blocks = re.findall(rb"-----BEGIN [^\n]*-----\r?\n(.*?)-----END", key, re.S)
    try:
        return b"".join(base64.b64decode(_body(block)) for block in blocks)
    except binascii.Error:
        return b""


def _body(block: bytes) -> bytes:
    """The base64 lines: after the headers, before the checksum."""
    lines = [line.strip() for line in block.splitlines()]
    return b"".join(line for line in lines if line and b":" not in line and not line.startswith(b"="))


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(min(seconds, 1 << 40)))


def _some(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(plain(name) for name in names[:NAMED]) + more
