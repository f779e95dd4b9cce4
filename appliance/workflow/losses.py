"""What going back leaves behind: what was written since the trial began, to the system and to its data.

Nothing of it is deleted by a roll back. The system's part stays in the trial volume until that is retired.
The data's part stays where it is, and the old programs must live with it; or it goes with the system and is
kept in a snapshot of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.boot import confirm
from appliance.checks.data import data_write
from appliance.checks.files import lasting
from appliance.errors import ApplianceError
from appliance.host.files import mounted_readonly
from appliance.host.run import Host
from appliance.model.plain import plain
from appliance.model.plan import Loss
from appliance.volumes.base import Snapshot, SnapshotRole, SnapshotStore
from appliance.workflow.steps.ground import Ground
from appliance.workflow.steps.volume_set import beneath

MOST_PATHS = 50

# Folders of the usual data bases, and files that mark one wherever it lies.
_DATABASE = re.compile(
    r"(?P<folder>.*/(?:mysql|mariadb|postgresql/[^/]+/[^/]+|mongodb|redis|ldap|slapd|couchdb|influxdb|etcd"
    r"|elasticsearch|prometheus|cassandra|clickhouse|neo4j|rabbitmq))(?:/|$)"
    r"|(?P<marked>.*)/(?:PG_VERSION|ibdata1|ib_logfile\d+|mysql\.ibd|WiredTiger|dump\.rdb|appendonly\.aof"
    r"|data\.mdb|[^/]+\.(?:sqlite3?|db|ibd|frm|myd|wt))$"
)
# What Twinboot itself put into the trial volume, and what it needs at its own trial.
_OURS = re.compile(
    rf"/(var/lib/twinboot|usr/lib/twinboot|{re.escape(confirm.KEEP)}$|{re.escape(confirm.NOTE)}"
    r"|etc/systemd/system/.*twinboot|etc/fstab$)"
)
_MARKS = {"added": "+", "removed": "-", "changed": ""}


def losses(host: Host, ground: Ground) -> tuple[Loss, ...]:
    """Every place written since the trial began. What cannot be read is a Loss that says so."""
    store = ground.store(host)
    try:
        found = [*_of_system(host, ground, store), *_of_data(host, ground, store)]
    finally:
        store.release()
    return tuple(found)


def _of_system(host: Host, ground: Ground, store: SnapshotStore) -> Iterator[Loss]:
    sealed, trial = ground.snapshot(SnapshotRole.SEALED), ground.snapshot(SnapshotRole.TRIAL)
    where = f"the system ({ground.names.vg}/{trial.lv})"
    if not (store.exists(sealed) and store.exists(trial)):
        return
    if ground.names.sealed_is_trial:
        note = "not compared: on this storage what was tested and what was booted are one volume"
        yield Loss(where=where, note=note)
        return
    try:
        with (
            _shown(host, ground, store, sealed, "sealed") as before,
            beneath(host, ground, SnapshotRole.SEALED, before),
            _shown(host, ground, store, trial, "trial") as after,
            beneath(host, ground, SnapshotRole.TRIAL, after),
        ):
            changed = [f for f in lasting(before, after) if not _OURS.match(f.path)]
    except ApplianceError as error:
        yield Loss(where=where, note=f"could not be read: {error.what}")
        return
    if changed:
        size = sum(f.bytes for f in changed if f.act != "removed")
        paths = [_MARKS[f.act] + plain(f.path) for f in changed]
        yield Loss(where=where, bytes=size, paths=_first(paths), databases=databases(paths))


def _of_data(host: Host, ground: Ground, store: SnapshotStore) -> Iterator[Loss]:
    undone = dict(ground.names.data_undone) if ground.whole.request.with_data else {}
    for safety in ground.data_snapshots(SnapshotRole.SAFETY):
        kept = f"{ground.names.vg}/{undone[safety.origin]}" if safety.origin in undone else ""
        volume = ground.data_volume(safety.origin)
        if not store.exists(safety):
            continue
        here = ground.work.scratch / "loss"
        try:
            with _shown(host, ground, store, safety, "safety", volume.fstype) as before:
                device = store.activate_installed(safety.origin)
                part = store.options_installed(safety.origin)
                with mounted_readonly(host, device, volume.fstype, here / "now", part) as after:
                    written = data_write(volume.target, before, after)
        except ApplianceError as error:
            yield Loss(where=volume.target, undone=kept, note=f"could not be read: {error.what}")
            continue
        finally:
            store.deactivate_installed(safety.origin)
        if written is not None:
            yield Loss(
                where=volume.target,
                bytes=written.bytes,
                paths=written.paths,
                databases=databases(written.paths),
                safety=f"{ground.names.vg}/{safety.lv}",
                undone=kept,
            )


@contextmanager
def _shown(
    host: Host, ground: Ground, store: SnapshotStore, snapshot: Snapshot, name: str, fstype: str = ""
) -> Iterator[Path]:
    """A volume of ours, mounted to be read."""
    device, kind = store.activate(snapshot), fstype or ground.system.root.fstype
    try:
        at, part = ground.work.scratch / "loss" / name, store.options(snapshot)
        with mounted_readonly(host, device, kind, at, part) as root:
            yield root
    finally:
        store.deactivate(snapshot)


def databases(paths: Iterable[str]) -> tuple[str, ...]:
    """The folders among `paths` that hold a data base; a leading + or - says added or removed."""
    found = (_DATABASE.match(path.lstrip("+-")) for path in paths)
    return tuple(sorted({m["folder"] or m["marked"] for m in found if m is not None}))


def _first(paths: list[str]) -> tuple[str, ...]:
    more = [f"(and {len(paths) - MOST_PATHS} more)"] if len(paths) > MOST_PATHS else []
    return (*paths[:MOST_PATHS], *more)
