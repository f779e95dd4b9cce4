"""systemd-boot as it will act: what the next boot is, and what stands against a promotion, read raw.

Two variables decide and the book, twinboot/env, remembers: LoaderEntryDefault names *Previous system* from
arm to keep, LoaderEntryOneShot the trial. The loader itself clears the latter before it starts anything.
"""

from __future__ import annotations

import msgspec

from appliance.boot import confirm, efivars, env
from appliance.boot.entries import FOLDER
from appliance.boot.laid import SPARE, manifest_of, text_of
from appliance.boot.place import SECTOR_PATH, Boot
from appliance.boot.shapes import SETTLE, BootState, Entry, LoaderView, StagedSystem
from appliance.boot.systemd_entries import (
    NEW,
    PREVIOUS,
    SETTLING,
    entry_of,
    id_of,
    image_in,
    is_ours,
    kept_entry,
    names_of,
    ours,
    place_of,
    read_entries,
)
from appliance.probe.bls import BlsEntry
from appliance.probe.loader_conf import LOADER_CONF, SAVED, Asked, LoaderConf, choose, parse_loader_conf
from appliance.probe.unified import FOLDER as IMAGES

MAGIC = b"#### LoaderInfo: systemd-boot "
"""Every systemd-boot binary holds it (boot.c, sdmagic)."""
FOREVER = "menu-force"
EXTRA, ADDONS = ".extra.d", "loader/addons"
"""What systemd-stub adds to an image: beside it, and for every one (systemd-stub(7))."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What lies there, before anything is concluded: `theirs` are the entries that are not ours."""

    theirs: tuple[BlsEntry, ...]
    mine: tuple[BlsEntry, ...]
    conf: LoaderConf
    asked: Asked
    book: dict[str, str]

    @property
    def own(self) -> BlsEntry | None:
        """The loader's own default, as if nothing of ours were there."""
        default = "" if ours(self.asked.default)[0] else self.asked.default
        return choose(self.theirs, self.conf, Asked(default=default, last=self.asked.last))


def see(boot: Boot) -> Seen:
    found = read_entries(boot)
    variables = boot.variables
    return Seen(
        theirs=tuple(entry for entry in found if not is_ours(entry)),
        mine=tuple(entry for entry in found if is_ours(entry)),
        conf=parse_loader_conf(text_of(boot.raw.read(LOADER_CONF))),
        asked=Asked(
            once=variables.read(efivars.ONE_SHOT) or "",
            default=variables.read(efivars.DEFAULT) or "",
            last=variables.read(efivars.LAST) or "",
        ),
        book=env.values_of(boot.raw.read(SECTOR_PATH)),
    )


def look(boot: Boot) -> LoaderView:
    """What systemd-boot finds on the raw device and in the firmware, and what it will do with it."""
    seen = see(boot)
    state, run = _state(boot, seen)
    whose = run.removesuffix(SETTLE)
    mine = tuple(entry_of(e) for e in seen.mine if ours(e.id)[1] == whose)
    following = choose((*seen.theirs, *seen.mine), seen.conf, seen.asked)
    here = any(name for name in names_of(boot) if ours(name)[0])
    return LoaderView(
        state=state,
        run=run,
        once=state is BootState.ARMED,
        keep_asked=seen.book.get("tb_keep") == "1" and seen.book.get("tb_run") == run,
        own=entry_of(seen.own) if seen.own else None,
        next_boot=entry_of(following) if following else None,
        fallback=_by_id(mine, id_of(PREVIOUS, whose)) if whose else None,
        entries=mine,
        menu=tuple(map(entry_of, seen.theirs)),
        missing=_missing(boot, mine),
        custom="ours" if here else "absent",
        sourced=True,
        runs=tuple(n for n in boot.raw.names(FOLDER) if not n.startswith((".", "env"))),
        result=text_of(boot.raw.read(confirm.result(whose))) if whose else "",
    )


def _state(boot: Boot, seen: Seen) -> tuple[BootState, str]:
    """The variables come first: the book is written after them, and a cut may lie in between."""
    kind, run = ours(seen.asked.once)
    if kind == NEW:
        return BootState.ARMED, run
    kind, run = ours(seen.asked.default)
    written = env.state_of(seen.book) if seen.book.get("tb_run") == run else BootState.STAGED
    if kind == SETTLING:
        return BootState.SETTLING, f"{run}{SETTLE}"
    if kind == PREVIOUS:
        return _PINNED.get(written, BootState.STAGED), run
    return _unpinned(boot, seen)


# What the book says of a run whose previous system is pinned. "kept" is a roll back that was cut short.
_PINNED = {
    BootState.ARMED: BootState.TRIAL,
    BootState.TRIAL: BootState.TRIAL,
    BootState.KEPT: BootState.ROLLED_BACK,
    BootState.ROLLED_BACK: BootState.ROLLED_BACK,
}


def _unpinned(boot: Boot, seen: Seen) -> tuple[BootState, str]:
    """Nothing of ours is named by a variable: what the book says, but for a keep that was cut short."""
    if not seen.book:
        there = boot.raw.read(SECTOR_PATH) is not None
        return (BootState.DAMAGED if there else BootState.ABSENT), ""
    run, written = seen.book.get("tb_run", ""), env.state_of(seen.book)
    if written is BootState.SETTLING:
        return BootState.PLAIN, run
    if written in (BootState.ARMED, BootState.TRIAL):
        manifest = manifest_of(boot, run)
        own = entry_of(seen.own).root if seen.own else ""
        kept = manifest is not None and own == manifest.root
        return (BootState.KEPT if kept else BootState.TRIAL), run
    return written, run


def _by_id(found: tuple[Entry, ...], wanted: str) -> Entry | None:
    return next((entry for entry in found if entry.id == wanted), None)


def _missing(boot: Boot, found: tuple[Entry, ...]) -> tuple[str, ...]:
    paths = {path for entry in found for path in (entry.kernel, *entry.initrds)}
    there = {folder: boot.raw.names(folder) for folder in {path.rpartition("/")[0] for path in paths}}
    return tuple(sorted(p for p in paths if p.rpartition("/")[2] not in there[p.rpartition("/")[0]]))


OTHER_KIND = (
    "The patched system makes boot entries of another kind than the installed one: see layout= in its "
    "/etc/kernel/install.conf."
)


def reasons_against(boot: Boot, loader: str, wanted: StagedSystem | None) -> tuple[str, ...]:
    """Why a promotion by this systemd-boot is refused, as sentences. `loader` is the file that the firmware
    starts, as it writes it."""
    found, seen = look(boot), see(boot)
    checks = (
        *_of_ground(boot, loader),
        *_of_settings(seen),
        (
            found.state is BootState.DAMAGED,
            f"{boot.place.target}/twinboot/env is damaged: start the old system and undo the last promotion.",
        ),
        (
            found.state in (BootState.ARMED, BootState.SETTLING),
            f"Run {found.run} is {found.state.value}: finish it or take it back first.",
        ),
    )
    reasons = (*boot.variables.why_not(), *_of_own(seen), *_of_image(boot, seen.own))
    reasons += tuple(sentence for against, sentence in checks if against)
    return reasons or (_of_new(boot, wanted, seen) if wanted else ())


def _of_ground(boot: Boot, loader: str) -> tuple[tuple[bool, str], ...]:
    binary = boot.raw.read(loader.replace("\\", "/").lstrip("/")) if loader else None
    return (
        (
            boot.place.fstype != "vfat",
            f"The EFI system partition is {boot.place.fstype or 'of an unknown kind'}, not FAT.",
        ),
        (
            MAGIC not in (binary or b""),
            f"The firmware starts {loader or 'no loader that is known'}, which is not systemd-boot.",
        ),
        (
            "entries" not in boot.raw.names("loader"),
            "The EFI system partition has no folder loader/entries: on the running system, bootctl install.",
        ),
    )


def _of_settings(seen: Seen) -> tuple[tuple[bool, str], ...]:
    default = seen.asked.default
    return (
        (
            bool(default) and not ours(default)[0],
            f"The boot variable LoaderEntryDefault names {default}: on the running system, "
            "bootctl set-default ''.",
        ),
        (
            seen.conf.default == SAVED,
            "loader.conf says default @saved: what boots next would hang on what was chosen last. Name an "
            "entry there.",
        ),
        (
            seen.conf.timeout == FOREVER,
            "loader.conf says timeout menu-force: no trial would start by itself. Give it seconds.",
        ),
        (
            seen.own is not None and not seen.own.is_image and any(e.is_image for e in seen.theirs),
            "EFI/Linux holds unified kernel images, and the default entry is none of them: with both kinds a "
            "system can not be taken round (yet). Remove what is not used.",
        ),
    )


def _of_own(seen: Seen) -> tuple[str, ...]:
    """What is wrong with the entry the machine boots by."""
    own = seen.own
    if own is None:
        return ("systemd-boot has no entry: what this machine boots could not be told.",)
    found = entry_of(own)
    stands_in = (
        BlsEntry(file=id_of(kind, "tb0"), name=msgspec.structs.replace(own.name, stem=f"twinboot-{kind}-tb0"))
        for kind in (NEW, PREVIOUS)
    )
    after = choose((*seen.theirs, *stands_in), seen.conf, Asked(last=seen.asked.last))
    checks = (
        (not found.kernel, f"The default entry {own.id} starts no Linux kernel of its own."),
        (
            bool(found.kernel) and not found.root.startswith("/dev/mapper/"),
            f"The default entry names the root as {found.root or 'nothing'}: a snapshot has the same.",
        ),
        (
            own.name.left is not None,
            f"The default entry {own.file} still counts its boots: let the running system bless it first.",
        ),
        (
            bool(found.kernel) and kept_entry(own, own.release) is None,
            f"The default entry {own.id} is none that kernel-install made: its kernel updates are not known.",
        ),
        (
            after is not own,
            "An entry of ours would be started by default: name the system's own in loader.conf (default).",
        ),
    )
    return tuple(sentence for against, sentence in checks if against)


def _of_image(boot: Boot, own: BlsEntry | None) -> tuple[str, ...]:
    """What a unified image has that a copy of it, started with another command line, has not."""
    found = image_in(boot, place_of(own)) if own is not None and own.is_image else None
    if own is None or found is None:
        return ()
    checks = (
        (
            found.signed,
            f"{own.file} is signed: one with another command line could not be, so that it can not be taken "
            "round (yet). Sign none while Secure Boot is off.",
        ),
        (found.section(".profile") is not None, f"{own.file} has several profiles: it has no one default."),
        (
            bool(boot.raw.names(f"{IMAGES}/{own.file}{EXTRA}")),
            f"{own.file}{EXTRA} holds what only that image reads: a copy under another name does not.",
        ),
        (
            bool(boot.raw.names(ADDONS)),
            f"{ADDONS} on the ESP adds to the command line of every unified image: remove what lies there.",
        ),
    )
    return tuple(sentence for against, sentence in checks if against)


def _of_new(boot: Boot, wanted: StagedSystem, seen: Seen) -> tuple[str, ...]:
    """Whether the new system would be the default once it is kept, and whether there is room until then."""
    version = wanted.artifacts.version
    if seen.own and seen.own.is_image is not wanted.artifacts.unified:
        return (OTHER_KIND,)
    new = kept_entry(seen.own, version) if seen.own else None
    others = tuple(entry for entry in seen.theirs if new is not None and entry.id != new.id)
    if new is None or choose((*others, new), seen.conf, Asked(last=seen.asked.last)) is not new:
        return (
            f"Once kept, systemd-boot would not start kernel {version} by default: look at the default of "
            "loader.conf.",
        )
    return no_room(boot, wanted, seen)


def no_room(boot: Boot, wanted: StagedSystem, seen: Seen) -> tuple[str, ...]:
    """FAT has no hard links: the new kernel lies there twice until it is kept, the old one as well. A unified
    image is there once more while its command line is turned (systemd_retire)."""
    own = entry_of(seen.own) if seen.own else None
    old = [boot.disk.read(path) for path in (own.kernel, *own.initrds)] if own else []
    if own is None or not old or old[0] is None:
        return (f"The kernel of the default entry, {own.kernel if own else '?'}, is not there.",)
    new = sum(file.size for file in wanted.artifacts.loaded)
    copies = 3 if wanted.artifacts.unified else 2
    needed = SPARE + copies * new + sum(len(data or b"") for data in old)
    free = boot.disk.free()
    if needed > free:
        return (
            f"The EFI system partition has {free >> 20} MiB free; both systems' kernels and initrds need "
            f"{needed >> 20} MiB until the old one is retired.",
        )
    return ()
