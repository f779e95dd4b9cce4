"""What lies on the ESP under names of ours: laid down where the loader does not look, entries last.

FAT has no rename that a cut leaves whole, so an entry is written under a name the loader passes over first.
"""

from __future__ import annotations

from appliance.boot import efivars, entries, env
from appliance.boot.entries import FOLDER
from appliance.boot.flip import remove_tree
from appliance.boot.laid import as_it_is, pin_old, put, sha256
from appliance.boot.manifest import Manifest
from appliance.boot.place import SECTOR_PATH, Boot
from appliance.boot.shapes import SETTLE, BootFile, BootState, Entry, StagedSystem
from appliance.boot.systemd_entries import NEW, PREVIOUS, names_of, ours, path_of, text_for
from appliance.errors import BootConfigFailed
from appliance.model.codec import to_json
from appliance.probe.bls import ENTRIES
from appliance.probe.unified import FOLDER as IMAGES
from appliance.probe.unified import images


def files_of(wanted: StagedSystem) -> tuple[BootFile, ...]:
    """What the loader needs of the new system: kernel and initrd. The rest of its /boot lies in its root."""
    return wanted.artifacts.loaded


def lay_down(boot: Boot, wanted: StagedSystem, now: Entry, known: Manifest | None) -> Manifest:
    """Everything under names of ours, none of which the loader looks at.

    `known` is an earlier manifest of this run: what was there before it is remembered once.
    """
    disk, base = boot.disk, f"{FOLDER}/{wanted.run}"
    now = as_it_is(boot, now)
    trial, previous = entries.trial_entry(wanted, now), entries.previous_entry(wanted, now)
    for folder in (FOLDER, base, f"{base}/files", f"{base}/old", f"{base}/before"):
        disk.make_folder(folder)
    old = pin_old(boot, base, now)
    before = known.before if known else _remember(boot, base)
    for file in files_of(wanted):
        put(boot, file, f"{base}/files/{file.name}")
    esp = (wanted.machine_esp, wanted.efi_loader)
    for state in (BootState.KEPT, BootState.ROLLED_BACK):
        disk.create(f"{base}/env.{state.value}", env.block(state, wanted.run, *esp))
    fresh = env.block(BootState.STAGED, wanted.run, *esp)
    book = disk.read(SECTOR_PATH)
    if book is None or env.state_of(env.values_of(book)) in (BootState.STAGED, BootState.PLAIN):
        disk.create(SECTOR_PATH, fresh)
        book = fresh
    manifest = Manifest(
        run=wanted.run,
        root=wanted.root,
        old_root=wanted.old_root,
        trial=trial,
        previous=previous,
        files=files_of(wanted),
        old=old,
        before=before,
        env_before=known.env_before if known else book[: env.SECTOR].hex(),
        entries=sha256((text_for(trial) + text_for(previous)).encode()),
        default_before=known.default_before if known else boot.variables.read(efivars.DEFAULT) or "",
        versions=tuple(n.removeprefix("vmlinuz-") for n in _names(wanted) if n.startswith("vmlinuz-")),
    )
    disk.create(f"{base}/manifest.json", to_json(manifest))
    disk.settle()
    return manifest


def _names(wanted: StagedSystem) -> tuple[str, ...]:
    return tuple(file.name for file in wanted.artifacts.files)


def _remember(boot: Boot, base: str) -> tuple[str, ...]:
    """First-seen entries: a copy of each, unified images left out, and all their names for keep on the
    metal."""
    plain = tuple(name for name in names_of(boot) if not ours(name)[0])
    for name in plain:
        boot.disk.create(f"{base}/before/{name}", boot.disk.read(f"{ENTRIES}/{name}") or b"")
    names = (*plain, *images(boot.raw.names(IMAGES)))
    boot.disk.create(f"{base}/names", "".join(f"{name}\n" for name in names).encode())
    return names


def put_entries(boot: Boot, manifest: Manifest) -> None:
    for kind, entry in ((PREVIOUS, manifest.previous), (NEW, manifest.trial)):
        put_entry(boot, path_of(kind, manifest.run), text_for(entry))


def put_entry(boot: Boot, path: str, text: str) -> None:
    """An entry under a name the loader passes over, read back, then under its own."""
    if boot.raw.read(path) == text.encode():
        return
    fresh = f"{path}.new"
    boot.disk.create(fresh, text.encode())
    boot.disk.settle()
    if boot.raw.read(fresh) != text.encode():
        raise BootConfigFailed(f"{fresh} does not read back as written.")
    boot.disk.rename(fresh, path)
    boot.disk.settle()
    if boot.raw.read(path) != text.encode():
        raise BootConfigFailed(f"{path} does not read back as written.")


def entries_lost(boot: Boot, manifest: Manifest) -> bool:
    pairs = ((NEW, manifest.trial), (PREVIOUS, manifest.previous))
    return any(boot.raw.read(path_of(k, manifest.run)) != text_for(e).encode() for k, e in pairs)


def drop(boot: Boot, entry: str, folder: str) -> None:
    """An entry first, and once that is gone what it names."""
    boot.disk.remove(entry)
    boot.disk.settle()
    remove_tree(boot.disk, folder)


def forget(boot: Boot, run: str, *, last: bool) -> None:
    """Delete what is ours: first the entries, then, once those are gone, what they name."""
    found = {name: ours(name.removesuffix(".new")) for name in boot.disk.names(ENTRIES)}
    for name in (n for n, (kind, of) in found.items() if kind and (last or of == run)):
        boot.disk.remove(f"{ENTRIES}/{name}")
    boot.disk.settle()
    if left := [n for n in names_of(boot) if ours(n)[0] and (last or ours(n)[1] == run)]:
        raise BootConfigFailed(f"The loader still reads {', '.join(left)}.")
    for folder in (FOLDER,) if last else (f"{FOLDER}/{run}", f"{FOLDER}/{run}{SETTLE}"):
        remove_tree(boot.disk, folder)
    boot.disk.settle()
