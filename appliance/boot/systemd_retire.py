"""systemd-boot after a decision: putting the old entries back, or giving the kept volume its first name."""

from __future__ import annotations

from appliance.boot.entries import FOLDER, settling_entry
from appliance.boot.flip import remove_tree, replace
from appliance.boot.laid import BESIDE, needed, set_file, sha256, text_of
from appliance.boot.manifest import Manifest
from appliance.boot.place import Boot
from appliance.boot.rootname import entry_turned, turned
from appliance.boot.shapes import SETTLE, Entry, LoaderView
from appliance.boot.systemd_entries import SETTLING, entry_of, id_of, ours, path_in, place_of
from appliance.boot.systemd_view import see
from appliance.errors import BootConfigFailed, Refused
from appliance.probe.bls import ENTRIES, BlsEntry, parse_lines
from appliance.probe.unified import with_options


def put_back(boot: Boot, manifest: Manifest, *, pinned: bool) -> None:
    """While LoaderEntryDefault pins the previous system: its kernel and its entries as they were.

    Kernels first: an entry never names what is not there. `pinned`: an earlier run's previous system is
    pinned afterwards, so that the loader's own default does not matter. Raises BootConfigFailed where it
    would not boot the old system; that stays pinned then.
    """
    base = f"{FOLDER}/{manifest.run}"
    for file in manifest.old:
        _put_file(boot, f"{base}/old/{file.name}", file.source, file.sha256)
    for name in manifest.before:
        first = boot.disk.read(f"{base}/before/{name}")
        if first is not None and boot.raw.read(f"{ENTRIES}/{name}") != first and _whole(boot, first):
            set_file(boot, f"{ENTRIES}/{name}", first, f"{base}/replaced")
    for entry in see(boot).theirs:
        # An image of that name that was there before is none of those that were put back by now.
        made = entry.file not in manifest.before or entry.is_image
        if made and entry_of(entry).root == manifest.root:
            _remove(boot, place_of(entry), entry_of(entry))
    own = see(boot).own
    if not pinned and (own is None or entry_of(own).root != manifest.old_root):
        raise BootConfigFailed(
            "systemd-boot's own entries do not boot the old system.",
            safe="The old system is pinned by Twinboot's entry and boots.",
            next_actions=("Start the old system and run kernel-install there.", "Then retire again."),
        )


def _put_file(boot: Boot, source: str, path: str, digest: str) -> None:
    if boot.raw.sha256(path) == digest:
        return
    parts = path.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        boot.disk.make_folder("/".join(parts[:depth]))
    boot.disk.link(source, path + BESIDE)
    _take_place(boot, path, digest)


def _take_place(boot: Boot, path: str, digest: str) -> None:
    """What lies beside `path` takes its place, once it reads back as written; and then so does that."""
    boot.disk.settle()
    _read_back(boot, path + BESIDE, digest)
    boot.disk.rename(path + BESIDE, path)
    boot.disk.settle()
    _read_back(boot, path, digest)


def _read_back(boot: Boot, path: str, digest: str) -> None:
    if boot.raw.sha256(path) != digest:
        raise BootConfigFailed(f"{path} does not read back as written.")


def _whole(boot: Boot, text: bytes) -> bool:
    """Whether the kernel an entry's text names is there."""
    kernels = (line.value for line in parse_lines(text_of(text)) if line.key == "linux")
    return all(boot.disk.is_file(path_in(word)) for word in kernels)


def _remove(boot: Boot, path: str, entry: Entry) -> None:
    """An entry, then its kernel's folder where no other entry names it and it is kernel-install's."""
    boot.disk.remove(path)
    boot.disk.settle()
    folder = entry.kernel.rpartition("/")[0]
    used = {entry_of(e).kernel.rpartition("/")[0] for e in see(boot).theirs}
    if folder.count("/") == 1 and not folder.startswith(("EFI/", "loader/", FOLDER)) and folder not in used:
        remove_tree(boot.disk, folder)
        boot.disk.settle()


def settle_entry(boot: Boot, found: LoaderView, run: str, fsuuid: str) -> Entry:
    """Lay down the files of an entry that boots the kept system by UUID. No entry and no flip yet."""
    own = found.own
    if own is None or not own.kernel:
        raise Refused(("The loader's own default entry could not be found.",))
    if reasons := _not_turned(boot, needed(boot, run)):
        raise Refused(reasons)
    base = f"{FOLDER}/{run}{SETTLE}"
    boot.disk.make_folder(base)
    paths = (own.kernel, *own.initrds)
    names = [path.rpartition("/")[2] for path in paths]
    for path, name in zip(paths, names, strict=True):
        if boot.raw.sha256(f"{base}/{name}") != boot.raw.sha256(path):
            boot.disk.link(path, f"{base}/{name}")
    boot.disk.settle()
    for path, name in zip(paths, names, strict=True):
        if boot.raw.sha256(f"{base}/{name}") != boot.raw.sha256(path):
            raise BootConfigFailed(f"The loader does not read {base}/{name} as {path}.")
    return settling_entry(own, base, id_of(SETTLING, run), fsuuid)


def _not_turned(boot: Boot, manifest: Manifest) -> tuple[str, ...]:
    """Sentences on unified images of the kept system that could not name its first root."""
    mine = (e for e in see(boot).theirs if e.is_image and entry_of(e).root == manifest.root)
    lost = (e.file for e in mine if _turned_image(boot, e, manifest.root, manifest.old_root) is None)
    return tuple(
        f"{file} has no room for a command line that names {manifest.old_root}: on the running system, make "
        "it anew with kernel-install."
        for file in lost
    )


def _turned_image(boot: Boot, found: BlsEntry, old: str, new: str) -> bytes | None:
    data = boot.disk.read(place_of(found))
    return None if data is None else with_options(data, turned(f" {found.options}", old, new).strip())


def take_over(boot: Boot, manifest: Manifest, old_root: str, new_root: str) -> None:
    """The loader's own entries boot `new_root` where they booted `old_root`; the settling one is pinned.

    Entries that the deleted system left, for kernels the kept one does not have, go with their kernels.
    """
    base = f"{FOLDER}/{manifest.run}{SETTLE}"
    for found in see(boot).theirs:
        entry, path = entry_of(found), place_of(found)
        if (
            entry.root == new_root
            and found.file in manifest.before
            and found.release not in manifest.versions
        ):
            _remove(boot, path, entry)
        elif entry.root == old_root and found.is_image:
            _turn_image(boot, found, old_root, new_root)
        elif entry.root == old_root:
            text = (boot.disk.read(path) or b"").decode("utf-8", "surrogateescape")
            changed = entry_turned(text, old_root, new_root).encode("utf-8", "surrogateescape")
            replace(boot, path, changed, f"{base}/replaced")
    own = see(boot).own
    if own is None or ours(own.id)[0] or entry_of(own).root != new_root:
        raise BootConfigFailed(f"systemd-boot's own default entry does not boot {new_root}.")


def _turn_image(boot: Boot, found: BlsEntry, old_root: str, new_root: str) -> None:
    """One image's command line; a cut leaves it half turned, which the settling entry does not start."""
    path, data = place_of(found), _turned_image(boot, found, old_root, new_root)
    if data is None:
        raise BootConfigFailed(
            f"{path} has no room for a command line that names {new_root}.",
            safe="The kept system is pinned by Twinboot's entry and boots.",
            next_actions=("On the running system, make it anew with kernel-install.", "Then retire again."),
        )
    boot.disk.create(path + BESIDE, data)
    _take_place(boot, path, sha256(data))
