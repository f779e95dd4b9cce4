"""One bundle for many machines, as a page: read the archives, solve for each, fetch what is missing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from appliance.errors import BundleFailed, Refused
from appliance.host.files import write_atomic
from appliance.host.run import Host
from appliance.model.bundle import MANIFEST, SCHEMA, BundleFile, BundleMachine, Manifest, state_of
from appliance.model.codec import to_json
from appliance.model.wanted import Wanted
from appliance.office import apt as office_apt
from appliance.office.apt import Index, PrivateApt
from appliance.office.closure import (
    Item,
    Release,
    deb_item,
    index_item,
    release_of,
    same_to_fat,
    suite_folder,
)
from appliance.office.fetch import Fetcher, Tell
from appliance.office.folder import PARTIAL, check_room, is_there, open_folder, remove
from appliance.report.deliver import BUNDLE, plain_words

ROUNDS = 3
"""How often archives that change while they are read are read again."""

Say = Callable[[str], None]


class BundleMade(msgspec.Struct, frozen=True, kw_only=True):
    """`fetched` and `size` in bytes; `missing` are sentences, each beginning with whose they are."""

    folder: str
    machines: int
    files: int
    size: int
    fetched: int
    missing: tuple[str, ...] = ()


@dataclass
class Room:
    """One machine's apt, and what became of its request."""

    apt: PrivateApt
    said: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    lists: list[Item] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def why_not(lists: Sequence[Wanted]) -> tuple[str, ...]:
    """Sentences on lists that cannot go into one bundle. Pure."""
    owners = [(w.identity, w.system) for w in lists]
    twice = sorted({one for one in owners if owners.count(one) > 1})
    reasons = [f"There are two lists of {who} ({system}): give the newer one only." for who, system in twice]
    reasons += [
        f"The list of {w.identity} names no source that can be fetched." for w in lists if not w.apt.sources
    ]
    return (*reasons, *(() if lists else ("No list was given: `twinboot wanted` on a machine writes one.",)))


def make(
    host: Host, lists: Sequence[Wanted], folder: Path, mirrors: Mapping[str, str], say: Say, tell: Tell
) -> BundleMade:
    """Make or bring up to date the bundle in `folder`. An interrupted one goes on where it stopped.

    Raises Refused (before anything is fetched), OutOfSpace, BundleFailed.
    """
    if reasons := (*why_not(lists), *office_apt.why_not(host)):
        raise Refused(reasons)
    before = open_folder(folder)
    with tempfile.TemporaryDirectory(prefix="twinboot-bundle-") as scratch, plain_words(folder, 0, BUNDLE):
        here = office_apt.settings_here(host)
        rooms = [
            Room(PrivateApt(host, Path(scratch) / str(number), wanted, mirrors, here))
            for number, wanted in enumerate(lists)
        ]
        releases = read_archives(rooms, say)
        for room in rooms:
            solve(room, releases, say)
        return _fill(folder, rooms, tuple(releases.values()), before, tell)


def _fill(
    folder: Path, rooms: Sequence[Room], releases: Sequence[Release], before: Manifest | None, tell: Tell
) -> BundleMade:
    """Fetch what is missing in the folder and write what the bundle says of itself."""
    lists = {item.path: (room.apt, item) for room in rooms for item in room.lists}
    items = lists | {item.path: (room.apt, item) for room in rooms for item in room.items}
    if reasons := same_to_fat(sorted(items)):
        raise Refused(reasons)
    total = sum(item.size for _, item in items.values())
    todo = [pair for pair in items.values() if not is_there(folder, pair[1])]
    check_room(folder, [item for _, item in todo])
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder, begun(before))
    fetcher = Fetcher(folder, tell)
    fetcher.fetch(todo, total, total - sum(item.size for _, item in todo))
    if lost := sorted(set(fetcher.failed) & set(lists)):
        raise BundleFailed(f"The list {lost[0]} could not be fetched: {fetcher.failed[lost[0]]}")
    files = {
        path: BundleFile(path=path, size=item.size, hash=item.hash)
        for path, (_, item) in items.items()
        if path not in fetcher.failed
    } | _write_releases(folder, releases)
    remove(folder, sorted({file.path for file in before.files} - set(files)) if before else ())
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)
    made = Manifest(
        schema=SCHEMA,
        made_at=int(time.time()),
        complete=True,
        machines=tuple(_machine(room, fetcher.failed) for room in rooms),
        files=tuple(files[path] for path in sorted(files)),
    )
    _save(folder, made)
    return BundleMade(
        folder=str(folder),
        machines=len(rooms),
        files=len(files),
        size=sum(file.size for file in files.values()),
        fetched=sum(item.size for _, item in todo if item.path not in fetcher.failed),
        missing=tuple(f"{m.hostname or m.identity}: {s}" for m in made.machines for s in m.missing),
    )


def read_archives(rooms: Sequence[Room], say: Say) -> dict[str, Release]:
    """Let every room's apt read its indexes, each archive in one state for all of them; by their folder.

    Raises BundleFailed where an archive changes as often as it is read.
    """
    todo = list(rooms)
    for _ in range(ROUNDS):
        for room in todo:
            wanted = room.apt.wanted
            say(f"{wanted.hostname or wanted.identity}: reading {len(wanted.apt.sources)} signed indexes ...")
            room.apt.lay_out()
            _seed(room, rooms)
            room.said = room.apt.update()
            room.indexes = room.apt.indexes()
        newest: dict[str, Release] = {}
        seen = [(room, release_of(index)) for room in rooms for index in room.indexes]
        for _, release in seen:
            if release.folder not in newest or release.date > newest[release.folder].date:
                newest[release.folder] = release
        todo = [room for room in rooms if any(r is room and newest[x.folder] != x for r, x in seen)]
        if not todo:
            return newest
    raise BundleFailed("An archive changed each time it was read: its indexes do not fit together.")


def _seed(room: Room, rooms: Sequence[Room]) -> None:
    """What another room's apt has read need not be fetched again: apt checks signatures and dates anew."""
    for other in rooms:
        if other is room or not other.indexes:
            continue
        for file in other.apt.lists.iterdir():
            if file.is_file() and file.name != "lock":
                with contextlib.suppress(FileExistsError):
                    os.link(file, room.apt.lists / file.name)


def solve(room: Room, releases: Mapping[str, Release], say: Say) -> None:
    """Which packages the machine's request fetches, and sentences on what it wants and cannot have."""
    wanted = room.apt.wanted
    read = {(i.source.uri, i.source.suite) for i in room.indexes}
    for source in wanted.apt.sources:
        if (source.uri, source.suite) not in read:
            why = next((s for s in room.said if room.apt.fetched_from(source) in s), "it was not accepted")
            room.missing.append(f"The source {source.uri} {source.suite} could not be read: {why}")
    for index in room.indexes:
        item = index_item(index, releases[suite_folder(index)])
        if item is None:
            room.missing.append(f"{index.source.uri} {index.source.suite} names no hash for {index.key}.")
        else:
            room.lists.append(item)
    debs, problems = room.apt.closure()
    room.missing += problems
    for deb in debs:
        found = deb_item(deb, room.indexes)
        if isinstance(found, Item):
            room.items.append(found)
        else:
            room.missing.append(found)
    size = sum(item.size for item in room.items) / (1 << 20)
    say(f"{wanted.hostname or wanted.identity}: wants {len(room.items)} packages, {size:.1f} MiB")


def begun(before: Manifest | None) -> Manifest:
    """What stands there while it is fetched: nobody may take it for whole."""
    files = before.files if before is not None else ()
    return Manifest(schema=SCHEMA, made_at=int(time.time()), complete=False, files=files)


def _machine(room: Room, failed: Mapping[str, str]) -> BundleMachine:
    wanted = room.apt.wanted
    lost = [f"{i.path.rpartition('/')[2]}: {failed[i.path]}" for i in room.items if i.path in failed]
    return BundleMachine(
        identity=wanted.identity,
        system=wanted.system,
        hostname=wanted.hostname,
        architecture=wanted.apt.architecture,
        codename=wanted.apt.codename,
        kind=wanted.kind,
        packages=wanted.packages,
        listed_at=wanted.written_at,
        state=state_of(wanted.apt),
        debs=tuple(sorted(i.path for i in room.items)),
        missing=(*room.missing, *lost),
    )


def _write_releases(folder: Path, releases: Sequence[Release]) -> dict[str, BundleFile]:
    """The signed indexes come last: without them nothing of the rest is looked at."""
    files = {}
    for release in releases:
        (folder / release.folder).mkdir(parents=True, exist_ok=True)
        for name, content in release.files:
            write_atomic(folder / release.folder / name, content)
            path = f"{release.folder}/{name}".replace("/./", "/")
            checksum = f"SHA256:{hashlib.sha256(content).hexdigest()}"
            files[path] = BundleFile(path=path, size=len(content), hash=checksum)
    return files


def _save(folder: Path, manifest: Manifest) -> None:
    write_atomic(folder / MANIFEST, to_json(manifest) + b"\n")
