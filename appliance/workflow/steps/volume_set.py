"""The volume set as one tree: the volumes beside the root, mounted where they belong beneath it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from appliance.host.files import Inside, mounted_inside
from appliance.host.run import Host
from appliance.twin.twin import Twin
from appliance.volumes.base import SnapshotRole
from appliance.workflow.steps.ground import Ground


@contextlib.contextmanager
def beneath(
    host: Host, ground: Ground, role: SnapshotRole, root: Path, *, writable: bool = False
) -> Iterator[None]:
    """What plays `role` for each volume beside the root, in the tree mounted at `root`; down at the end.

    Nothing happens for a system in one volume.
    """
    members = ground.beside(role)
    with contextlib.ExitStack() as stack:
        inside = []
        for volume, snapshot in members:
            store = ground.copies(host)
            inside.append(Inside(store.activate(snapshot), volume.fstype, volume.target))
            stack.callback(store.deactivate, snapshot)
        stack.enter_context(mounted_inside(host, root, inside, writable=writable))
        yield


@contextlib.contextmanager
def installed_beneath(
    host: Host,
    ground: Ground,
    root: Path,
    called: Mapping[str, str] | None = None,
    *,
    writable: bool = False,
) -> Iterator[None]:
    """The machine's own volumes beside its root, by the names in `called` where they have others by now."""
    store = ground.store(host)
    with contextlib.ExitStack() as stack:
        inside = []
        for volume in (v for v in ground.system.beside_root if v.lv):
            lv = (called or {}).get(volume.lv, volume.lv)
            inside.append(Inside(store.activate_installed(lv), volume.fstype, volume.target))
            stack.callback(store.deactivate_installed, lv)
        stack.enter_context(mounted_inside(host, root, inside, writable=writable))
        yield


@contextlib.contextmanager
def twins_beneath(host: Host, ground: Ground, twin: Twin, root: Path) -> Iterator[None]:
    """Those of a twin that is off, to be read."""
    volumes = (v for v in ground.system.beside_root if v.lv)
    inside = [Inside(twin.volume_device(v.lv), v.fstype, v.target) for v in volumes]
    with mounted_inside(host, root, inside, writable=False):
        yield
