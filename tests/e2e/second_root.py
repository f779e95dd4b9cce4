"""Drives the store of a root on a partition inside the appliance, one act a call: it is carried there by
tests/e2e/test_partition.py and run by the appliance's own interpreter. What it prints is JSON lines."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from appliance.host.files import mounted
from appliance.host.run import RealHost
from appliance.model.machine import InstalledSystem
from appliance.probe.machine import probe
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.choose_partition import store_in, where
from appliance.volumes.copied import Copied
from appliance.volumes.partition import PartitionStore

MEMORY = Path("/run/twinboot/partition")
AT = Path("/run/twinboot/at")
EXPECTED = 200 << 20
HOST = RealHost()


def say(**words: object) -> None:
    print(json.dumps(words), flush=True)


def told(how: Copied) -> None:
    say(done=how.done, total=how.total, rate=how.rate, left=how.left)


def seal(store: PartitionStore, system: InstalledSystem) -> None:
    """What a twin would write is written by us: a file, onto the copy."""
    why = store.why_not(EXPECTED)
    base = Snapshot(store.vg, "base", store.called, "tb1", SnapshotRole.BASE)
    work = Snapshot(store.vg, "copy", "base", "tb1", SnapshotRole.WORK)
    sealed = Snapshot(store.vg, "copy", "copy", "tb1", SnapshotRole.SEALED)
    store.create(base)
    store.create(work)
    with mounted(HOST, store.activate(work), system.root.fstype, AT) as root:
        (root / "root/second").write_text("written on the copy\n")
    store.seal(work, sealed)
    store.create(trial_of(store))
    uuid = next(record.uuid for record in store.records())
    with mounted(HOST, store.activate(trial_of(store)), system.root.fstype, AT) as root:
        fstab = root / "etc/fstab"
        fstab.write_text(fstab.read_text().replace(system.root.fsuuid, uuid))
    store.release()
    changed = store.changed_since(store.called, base).bytes
    say(why_not=why, ours=[s.lv for s in store.ours()], changed=changed, uuid=uuid)


def show(store: PartitionStore, system: InstalledSystem) -> None:
    """It is a partition from now on, and GRUB starts it."""
    store.show(trial_of(store))
    uuid = next(record.uuid for record in store.records())
    assert system.boot is not None
    with mounted(HOST, system.boot.path, system.boot.fstype, AT) as boot:
        said = (boot / "grub/grub.cfg").read_text()
        linux = re.search(r"^\s*linux\s.*root=\S+.*$", said, re.MULTILINE)
        initrd = re.search(r"^\s*initrd\s.*$", said, re.MULTILINE)
        assert linux is not None and initrd is not None
        line = re.sub(r"root=\S+", f"root=UUID={uuid}", linux[0])
        search = f"search --no-floppy --fs-uuid --set=root {system.boot.fsuuid}"
        entry = f"menuentry second --id second {{\n{search}\n{line}\n{initrd[0]}\n}}\nset default=second\n"
        (boot / "grub/custom.cfg").write_text(entry)
    store.release()
    say(shown=store.shown(trial_of(store)))


def remove(store: PartitionStore, system: InstalledSystem) -> None:
    assert system.boot is not None
    with mounted(HOST, system.boot.path, system.boot.fstype, AT) as boot:
        (boot / "grub/custom.cfg").unlink(missing_ok=True)
    store.delete(trial_of(store))
    store.release()
    say(ours=[s.lv for s in store.ours()])


def keep(store: PartitionStore, system: InstalledSystem) -> None:
    """The old root goes, and the kept one has its entry of the table."""
    kept = store.keep(trial_of(store))
    store.delete(store.adopt(store.called, "tb1"))
    store.settle(kept, store.called)
    store.disown(store.called)
    store.release()
    say(ours=[s.lv for s in store.ours()])


def look(store: PartitionStore, system: InstalledSystem) -> None:
    say(ours=[s.lv for s in store.ours()], root=system.root.device, slots=len(store.table().slots))


def trial_of(store: PartitionStore) -> Snapshot:
    return Snapshot(store.vg, "copy", "copy", "tb1", SnapshotRole.TRIAL)


def main(act: str) -> None:
    found = probe(HOST)
    first = min(found.systems, key=lambda system: system.root.device)
    there = where(found, first)
    assert there is not None
    store = store_in(HOST, *there, first.root.name, EXPECTED, MEMORY, told)
    acts = {"seal": seal, "show": show, "remove": remove, "keep": keep, "look": look}
    acts[act](store, first)


if __name__ == "__main__":
    main(sys.argv[1])
