"""GRUB as it will act: what the next boot is, and what stands against a promotion, read raw."""

from __future__ import annotations

import msgspec

from appliance.boot import confirm, entries, env, grub_bls, grubcfg
from appliance.boot.grub_menu import read_menu
from appliance.boot.laid import SPARE, manifest_of, named_sector, same, text_of
from appliance.boot.place import Boot, BootPlace
from appliance.boot.rootname import is_one
from appliance.boot.shapes import BootState, Entry, LoaderView, StagedSystem
from appliance.errors import DamagedData

OURS = "# twinboot"
FOLDER = entries.FOLDER
WRITABLE = ("ext2", "ext3", "ext4")
SECTOR_ROOM = 128 << 10
"""Bytes: two folders and a file take a cluster each, and one of FAT32 has up to 32 KiB."""


def look(boot: Boot) -> LoaderView:
    """What GRUB finds on the raw device, and what it will do with it."""
    folder = boot.place.folder
    config = text_of(boot.raw.read(f"{folder}/grub.cfg"))
    menu = read_menu(boot, config)
    custom = boot.raw.read(f"{folder}/custom.cfg")
    kind = "absent" if custom is None else _kind(text_of(custom), entries.custom(boot.place))
    sourced = grubcfg.sources_custom(config)
    runs = tuple(name for name in boot.raw.names(FOLDER) if not name.startswith((".", "env")))
    known = LoaderView(
        state=BootState.ABSENT,
        own=menu.own,
        next_boot=menu.own,
        menu=menu.entries,
        custom=kind,
        sourced=sourced,
        runs=runs,
        bls=menu.bls,
        bls_oddly=menu.oddly,
        rootless=menu.rootless,
    )
    data = boot.sector.read()
    if data is None:
        return known
    values = env.values_of(data)
    if (
        len(data) >= env.SECTOR
        and env.state_of(values) is BootState.DAMAGED
        and (run := _own_run(boot, known))
    ):
        kept = _with_env(boot, known, {"tb_state": BootState.KEPT.value, "tb_run": run})
        return msgspec.structs.replace(kept, sector_lost=True)
    return _with_env(boot, known, values)


def _own_run(boot: Boot, known: LoaderView) -> str:
    """The run whose root GRUB's own default boots, so that it was kept; empty for none."""
    found = [run for run in known.runs if known.own is not None and _root_of(boot, run) == known.own.root]
    return found[0] if len(found) == 1 else ""


def _root_of(boot: Boot, run: str) -> str:
    try:
        manifest = manifest_of(boot, run)
    except DamagedData:
        return ""
    return manifest.root if manifest is not None else ""


def _kind(custom: str, wanted: str) -> str:
    """Whose custom.cfg it is; "edited": ours by its first line, with other lines than those `wanted`."""
    if not custom.startswith(OURS):
        return "foreign"
    return "ours" if _code(custom) == _code(wanted) else "edited"


def _code(text: str) -> list[str]:
    return [line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#")]


def _with_env(boot: Boot, known: LoaderView, values: dict[str, str]) -> LoaderView:
    """The view completed by the sector that decides and the entries it leads to."""
    run, state = values.get("tb_run", ""), env.state_of(values)
    ours: tuple[Entry, ...] = ()
    result = None
    if run:
        text = text_of(boot.raw.read(f"{FOLDER}/{run}/entries.cfg"))
        ours = grubcfg.read_entries(text, boot.place.prefix)
        result = boot.raw.read(confirm.result(run))
    found = msgspec.structs.replace(
        known,
        state=state,
        run=run,
        once=values.get("tb_once") == "1",
        keep_asked=values.get("tb_keep") == "1",
        fallback=_by_id(ours, "twinboot-previous"),
        entries=ours,
        missing=_missing(boot, ours),
        result=text_of(result),
    )
    if found.state is BootState.KEPT and boot.place.inside and _acts(found):
        return msgspec.structs.replace(found, next_boot=_of_the_kept(boot, found))
    return msgspec.structs.replace(found, next_boot=_next(found))


def _of_the_kept(boot: Boot, found: LoaderView) -> Entry | None:
    """What the kept root's own grub.cfg starts; the previous system where there is none (grub-kept.cfg)."""
    root = _root_of(boot, found.run)
    raw, folder = boot.others.raw(root.removeprefix("UUID=")), boot.place.folder
    config = text_of(raw.read(f"{folder}/grub.cfg")) if raw is not None else ""
    if raw is None or not config:
        return found.fallback
    saved = env.values_of(raw.read(f"{folder}/grubenv")).get("saved_entry", "")
    return grubcfg.default_entry(config, boot.place.prefix, saved)


def _acts(found: LoaderView) -> bool:
    """Whether GRUB comes to what our entries decide."""
    return found.custom == "ours" and found.sourced and bool(found.entries)


def _by_id(ours: tuple[Entry, ...], wanted: str) -> Entry | None:
    return next((entry for entry in ours if entry.id == wanted), None)


def _next(found: LoaderView) -> Entry | None:
    """The same decisions as grub-entries.cfg and grub-settle.cfg make (tests hold the two together)."""
    if not _acts(found):
        return found.own
    if found.state is BootState.ARMED:
        trial = _by_id(found.entries, f"twinboot-trial-{found.run}")
        whole = trial is not None and not set(found.missing) & {trial.kernel, *trial.initrds}
        return trial if found.once and whole else found.fallback
    if found.state in (BootState.TRIAL, BootState.ROLLED_BACK):
        return found.fallback
    if found.state is BootState.SETTLING:
        return _by_id(found.entries, "twinboot-settle")
    return found.own


def _missing(boot: Boot, ours: tuple[Entry, ...]) -> tuple[str, ...]:
    paths = {path for entry in ours for path in (entry.kernel, *entry.initrds)}
    there = {folder: boot.raw.names(folder) for folder in {path.rpartition("/")[0] for path in paths}}
    return tuple(sorted(p for p in paths if p.rpartition("/")[2] not in there[p.rpartition("/")[0]]))


def reasons_against(boot: Boot, wanted: StagedSystem | None) -> tuple[str, ...]:
    """Why a promotion on this /boot is refused, as sentences."""
    place, found = boot.place, look(boot)
    named = f"/boot/{place.folder}"
    own_root = found.own.root if found.own else ""
    checks = (
        (
            place.fstype not in WRITABLE,
            f"/boot is {place.fstype or 'of an unknown kind'}: only ext2, ext3 and ext4 are supported.",
        ),
        (found.own is None, grub_bls.no_default(found, f"{named}/grub.cfg")),
        (
            found.own is not None and not (is_one(own_root) or _tells_apart(own_root, wanted)),
            f"GRUB's default entry names the root as {own_root or 'nothing'}: a snapshot has the same.",
        ),
        (
            found.state is BootState.DAMAGED,
            f"{named_sector(place)} is damaged: start the old system and undo the last promotion.",
        ),
        (
            found.state in (BootState.ARMED, BootState.SETTLING),
            f"Run {found.run} is {found.state.value}: finish it or take it back first.",
        ),
    )
    reasons = tuple(sentence for against, sentence in checks if against)
    reasons = (*unread(place, found), *reasons, *grub_bls.why_not(boot, found, wanted))
    return reasons or (no_room(boot, wanted, found) if wanted else ())


def _tells_apart(own_root: str, wanted: StagedSystem | None) -> bool:
    """Whether a UUID means one root alone: a second root that is a partition has one of its own."""
    if wanted is None or not wanted.root.startswith("UUID=") or wanted.root.endswith("]"):
        return False
    return own_root == wanted.old_root != wanted.root


def unread(place: BootPlace, found: LoaderView) -> tuple[str, ...]:
    """Sentences on why GRUB would not take our entries, whatever the sector says."""
    named = f"/boot/{place.folder}"
    checks = (
        (not found.sourced, f"{named}/grub.cfg does not read custom.cfg (41_custom is missing)."),
        (
            found.custom == "foreign",
            f"{named}/custom.cfg exists and is not ours: move its entries to 40_custom first.",
        ),
        (
            found.custom == "edited",
            f"{named}/custom.cfg is Twinboot's and was changed by hand: delete it, and move what was added "
            "to 40_custom.",
        ),
    )
    return tuple(sentence for against, sentence in checks if against)


def no_room(boot: Boot, wanted: StagedSystem, found: LoaderView) -> tuple[str, ...]:
    now = found.next_boot
    if now is None or not boot.disk.is_file(now.kernel):
        return (f"The kernel of GRUB's default entry, /boot/{now.kernel if now else '?'}, is not there.",)
    needed = SPARE + sum(file.size for file in wanted.artifacts.files if not same(boot, file))
    free = boot.disk.free()
    if boot.apart and boot.apart.disk.free() < SECTOR_ROOM:
        return ("The EFI system partition is full: what decides the next boot must lie there.",)
    if needed > free:
        return (f"/boot has {free >> 20} MiB free, the new kernel and initrd need {needed >> 20} MiB.",)
    return ()
