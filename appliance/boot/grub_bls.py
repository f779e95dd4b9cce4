"""A run's entries where GRUB makes them of loader/entries (BLS): laid down, put back, turned.

grub.cfg names no root there and stays as it is. What is kept lies in each entry's own root=, and where the
machine saves its default by name, in grubenv. The entries are those that the patched system's own packages
wrote; only their root is another (confirm/keep-bls.sh puts them in place).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from appliance.boot import entries, env
from appliance.boot.flip import replace
from appliance.boot.grub_menu import environment, is_default, kernel_in, root_in, texts_of
from appliance.boot.laid import BESIDE, set_file, sha256, text_of
from appliance.boot.manifest import Carried, Manifest
from appliance.boot.place import Boot
from appliance.boot.rootname import entry_turned
from appliance.boot.shapes import BootFile, LoaderView, StagedSystem
from appliance.probe.bls import ENTRIES

NEW, BEFORE, WAS, SAVED = "bls", "before/bls", "was", "saved"
BEFORE_ENV = "before/grubenv"
"""In the run's folder: the new entries, copies of those before, the inodes that keep replaced, and the name
that keep saves as GRUB's default, where one was saved before, in that grubenv."""


def no_default(found: LoaderView, config: str) -> str:
    """A sentence on why GRUB's own default entry is not known."""
    if not found.bls:
        return f"The default entry could not be found in {config}."
    return (
        f"Which of /boot/{ENTRIES} GRUB starts by default can not be told: save the newest one's name there "
        "(grub-editenv), or none."
    )


def why_not(boot: Boot, found: LoaderView, wanted: StagedSystem | None) -> tuple[str, ...]:
    """Sentences on entries that could not be carried over."""
    reasons = []
    if found.bls_oddly:
        reasons.append("grub.cfg has blscfg with words or in a block: what GRUB lists is not known.")
    if found.rootless:
        reasons.append(
            f"/boot/{ENTRIES}/{found.rootless[0]} takes its root from grubenv ($kernelopts): write root= "
            "into the options of each entry there, then come back."
        )
    if found.bls and wanted is not None and not reasons:
        reasons += _why_not_carried(boot, found, wanted)
    return tuple(reasons)


def _why_not_carried(boot: Boot, found: LoaderView, wanted: StagedSystem) -> list[str]:
    texts = {file.name: _turned(file, wanted) for file in wanted.artifacts.entries}
    wrong = [name for name, text in texts.items() if root_in(text) != wanted.root]
    if wrong:
        return [f"The patched system's entry {wrong[0]} boots another root than {wanted.old_root}."]
    tested = _tested(texts, wanted)
    if not tested:
        return [f"The patched system has no entry in /boot/{ENTRIES} for its {wanted.artifacts.kernel}."]
    files = tuple({*found.bls, *texts})
    others = len(found.menu) - len(found.bls)
    if not is_default(tested, files, others, saved=bool(environment(boot).get("saved_entry"))):
        return [f"With /boot/{ENTRIES}/{tested} in place GRUB would take another entry by default."]
    return []


def _tested(texts: Mapping[str, str], wanted: StagedSystem) -> str:
    """The file that boots the new system's kernel; empty for none."""
    return next((name for name, text in texts.items() if kernel_in(text) == wanted.artifacts.kernel), "")


def _turned(file: BootFile, wanted: StagedSystem) -> str:
    text = Path(file.source).read_text("utf-8", "surrogateescape")
    return entry_turned(text, wanted.old_root, wanted.root)


def lay_down(boot: Boot, base: str, wanted: StagedSystem) -> Carried:
    """The new entries, and copies of those that are there: what is in place may be written in place later."""
    disk, files = boot.disk, []
    for folder in (NEW, BEFORE, WAS):
        disk.make_folder(f"{base}/{folder}")
    before = tuple(texts_of(boot))
    for name in before:
        disk.create(f"{base}/{BEFORE}/{name}", disk.read(f"{ENTRIES}/{name}") or b"")
    texts = {file.name: _turned(file, wanted) for file in wanted.artifacts.entries}
    for file in wanted.artifacts.entries:
        data = texts[file.name].encode("utf-8", "surrogateescape")
        disk.create(f"{base}/{NEW}/{file.name}", data)
        files.append(BootFile(name=file.name, source=file.source, sha256=sha256(data), size=len(data)))
    saved = environment(boot).get("saved_entry", "")
    if saved:
        disk.create(f"{base}/{BEFORE_ENV}", disk.read(f"{boot.place.folder}/grubenv") or b"")
        disk.create(f"{base}/{SAVED}", f"{_tested(texts, wanted).removesuffix('.conf')}\n".encode())
    return Carried(files=tuple(files), before=before, saved=saved)


def put_back(boot: Boot, manifest: Manifest, owned: tuple[str, ...]) -> None:
    """While the sector pins the previous system: entries as they were before the run, which keep replaced or
    the new system's packages took away. What the old system has written since stays."""
    carried, base = manifest.bls, f"{entries.FOLDER}/{manifest.run}"
    if carried is None:
        return
    for name in carried.before:
        first = boot.disk.read(f"{base}/{BEFORE}/{name}")
        if first is not None and _goes_back(boot, name, first, manifest, owned):
            set_file(boot, f"{ENTRIES}/{name}", first, f"{base}/{WAS}/{name}")
    gone = [name for name, text in texts_of(boot).items() if root_in(text) == manifest.root]
    for name in [*gone, *(n for n in boot.disk.names(ENTRIES) if n.endswith(BESIDE))]:
        boot.disk.remove(f"{ENTRIES}/{name}")
    if gone:
        boot.disk.settle()
    _save_again(boot, carried, base)


def _goes_back(boot: Boot, name: str, first: bytes, manifest: Manifest, owned: tuple[str, ...]) -> bool:
    now, kernel = boot.disk.read(f"{ENTRIES}/{name}"), kernel_in(text_of(first))
    if now == first or not boot.disk.is_file(kernel):
        return False
    if now is not None:
        return root_in(text_of(now)) == manifest.root
    return not owned or kernel in owned


def _save_again(boot: Boot, carried: Carried, base: str) -> None:
    """The entry that was saved before, where keep saved its own, or what is saved is gone."""
    path, now = f"{boot.place.folder}/grubenv", environment(boot).get("saved_entry", "")
    there = {name.removesuffix(".conf") for name in texts_of(boot)}
    kept = text_of(boot.disk.read(f"{base}/{SAVED}")).strip()
    if not kept or now == carried.saved or (now != kept and now in there):
        return
    block = boot.disk.read(path) or b""
    if not env.values_of(block):  # keep was cut while it was written
        block = boot.disk.read(f"{base}/{BEFORE_ENV}") or b""
    set_file(boot, path, env.with_value(block, "saved_entry", carried.saved), f"{base}/{WAS}/grubenv")


def take_over(boot: Boot, run: str, old_root: str, new_root: str) -> None:
    """Entries boot `new_root` where they booted `old_root`, each in one step for GRUB."""
    for name, text in texts_of(boot).items():
        if root_in(text) == old_root:
            path = f"{ENTRIES}/{name}"
            first = (boot.disk.read(path) or b"").decode("utf-8", "surrogateescape")
            data = entry_turned(first, old_root, new_root).encode("utf-8", "surrogateescape")
            replace(boot, path, data, f"{entries.FOLDER}/{run}/replaced")
