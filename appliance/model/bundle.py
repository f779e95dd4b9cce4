"""What a bundle made by `twinboot bundle make` says of itself: for whom it was made, and of which files."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlsplit

import msgspec

from appliance.errors import DamagedData
from appliance.model.codec import digest, from_json
from appliance.model.plan import PatchKind
from appliance.model.wanted import AptSetup

SCHEMA = 1
MANIFEST = "twinboot-bundle.json"
ARCHIVES = "archives"
"""Folder of a bundle: one repository for each archive, since two may have a suite of one name."""


class BundleMachine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One system it was made for. `listed_at` is when its list was written, in seconds since 1970, and
    `state` what was installed then (`state_of`).

    `debs` are paths of what its own request fetches, by apt's solver; `missing` are sentences on what could
    not be fetched.
    """

    identity: str
    system: str
    hostname: str
    architecture: str
    codename: str
    kind: PatchKind
    packages: tuple[str, ...]
    listed_at: int
    state: str
    debs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class BundleFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`path` is relative to the bundle's folder, `size` in bytes, `hash` as apt writes it: SHA256:..."""

    path: str
    size: int
    hash: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file MANIFEST. Not signed and not trusted: apt in the twin judges signatures and hashes itself."""

    schema: int
    made_at: int
    complete: bool
    machines: tuple[BundleMachine, ...] = ()
    files: tuple[BundleFile, ...] = ()


def read_manifest(content: bytes, name: str) -> Manifest:
    """Raises DamagedData naming the key that is wrong, or the version."""
    manifest: Manifest = from_json(content, Manifest, name)
    if manifest.schema != SCHEMA:
        raise DamagedData(f"{name} is of version {manifest.schema}; this version reads {SCHEMA}.")
    return manifest


def machine_in(manifest: Manifest, identity: str, system: str) -> BundleMachine | None:
    """What the bundle says of that system; None where it was not made for it."""
    return next((m for m in manifest.machines if (m.identity, m.system) == (identity, system)), None)


def spare_debs(manifest: Manifest, identity: str, system: str) -> frozenset[str]:
    """Paths of the packages that only other systems need; none where it was not made for this one."""
    mine = machine_in(manifest, identity, system)
    if mine is None:
        return frozenset()
    return frozenset(f.path for f in manifest.files if f.path.endswith(".deb")) - frozenset(mine.debs)


def state_of(apt: AptSetup) -> str:
    """What is installed, as one short text that differs where anything of it does."""
    return digest(sorted((p.name, p.arch, p.version, p.held) for p in apt.installed))[:32]


def archive_folder(uri: str) -> str:
    """The bundle's folder for an archive: its address in letters every computer takes, and a short hash."""
    uri = uri.rstrip("/")
    parts = urlsplit(uri)
    words = re.sub(r"[^a-z0-9.]+", "-", f"{parts.hostname}{parts.path}".lower()).strip("-.")
    return f"{ARCHIVES}/{words[:60].strip('-.')}-{hashlib.sha256(uri.encode()).hexdigest()[:8]}"


def suite_key(uri: str, suite: str) -> tuple[str, str]:
    """What a suite of the archive `uri` is known by in a bundle: its archive's folder, and its name there."""
    return archive_folder(uri), suite.strip("/") or "."
