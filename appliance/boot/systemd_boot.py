"""Promotion for systemd-boot: copies and type 1 entries of ours on the ESP, and variables that decide.

What it boots by, old and new, are entries with a kernel and an initrd (type 1) or unified images (type 2).

FAT has no hard links, no journal, and no rename that a cut leaves whole: so nothing decides there. What
decides is one variable, which firmware writes whole or not at all. LoaderEntryOneShot starts the trial: the
loader clears it before it starts anything (boot.c, config_load_defaults), so that whatever hangs gives way
at the next reset. A counted entry was not taken: its count is a rename on FAT made by the loader, and an ESP
that it can not write would start the trial for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.boot import efivars, env, kernel_cmdline
from appliance.boot.entries import FOLDER
from appliance.boot.flip import flip, turn
from appliance.boot.laid import OLD_BOOTS, files_lost, in_state, is_of, manifest_of, needed, sector
from appliance.boot.manifest import Manifest
from appliance.boot.place import SECTOR_PATH, Boot
from appliance.boot.shapes import SETTLE, BootState, LoaderView, LoaderWords, StagedSystem
from appliance.boot.systemd_entries import NEW, PREVIOUS, SETTLING, id_of, ours, path_of, text_for
from appliance.boot.systemd_files import (
    drop,
    entries_lost,
    files_of,
    forget,
    lay_down,
    put_entries,
    put_entry,
)
from appliance.boot.systemd_retire import put_back, settle_entry, take_over
from appliance.boot.systemd_view import look, reasons_against
from appliance.errors import BootConfigFailed, Refused
from appliance.model.machine import LoaderKind
from appliance.model.plan import Write

EITHER_BOOTS = "The old or the new system boots, whichever the variable says."
WORDS = LoaderWords(
    flip="one boot variable",
    place="the boot variables of systemd-boot",
    config="the entries in loader/entries name",
    ours="twinboot and our entries on the ESP are removed",
)


@dataclass(frozen=True, slots=True)
class SystemdBoot:
    """The BootLoader for systemd-boot 250 and later with kernel-install's entries or images (Debian).

    `binary` is the loader that the firmware starts, as it writes it: \\EFI\\systemd\\systemd-bootx64.efi.
    """

    binary: str
    kind: LoaderKind = LoaderKind.SYSTEMD_BOOT
    words: LoaderWords = WORDS

    def view(self, boot: Boot) -> LoaderView:
        return look(boot)

    def why_not(self, boot: Boot, wanted: StagedSystem | None = None) -> tuple[str, ...]:
        return reasons_against(boot, self.binary, wanted)

    def writes(self, run: str) -> tuple[Write, ...]:
        folder = f"twinboot/{run}/ on the ESP"
        return (
            Write(what=f"{folder}: copies of what the new and the old system boot by", if_cut=OLD_BOOTS),
            Write(what="twinboot/env on the ESP: 1024 bytes, the book of what was done", if_cut=OLD_BOOTS),
            Write(what="loader/entries on the ESP: the trial and Previous system", if_cut=OLD_BOOTS),
            Write(
                what="boot variables LoaderEntryDefault (Previous system) and LoaderEntryOneShot (the trial)",
                if_cut=EITHER_BOOTS,
            ),
        )

    def name_root(self, boot: Boot, root: Path, home: str, device: str) -> tuple[str, ...]:
        own = look(boot).own
        if own is None:
            raise Refused(("What this machine boots by default could not be told.",))
        return kernel_cmdline.point_root(root, own.options, device, home)

    def staged(self, boot: Boot, wanted: StagedSystem) -> bool:
        manifest = manifest_of(boot, wanted.run)
        if manifest is None or not is_of(manifest, wanted, files_of(wanted)):
            return False
        return bool(look(boot).run) and not files_lost(boot, manifest) and not entries_lost(boot, manifest)

    def stage(self, boot: Boot, wanted: StagedSystem) -> None:
        if self.staged(boot, wanted):
            return
        reasons = self.why_not(boot, wanted)
        if reasons:
            raise Refused(reasons)
        before = look(boot).next_boot
        if before is None:
            raise Refused(("What this machine boots next could not be told.",))
        manifest = manifest_of(boot, wanted.run)
        if manifest is None or not is_of(manifest, wanted, files_of(wanted)) or files_lost(boot, manifest):
            manifest = lay_down(boot, wanted, before, manifest)
        if wrong := files_lost(boot, manifest):
            raise BootConfigFailed(f"The loader does not read as written: {', '.join(wrong)}.")
        # What they name is in place: only now may the loader see the entries.
        put_entries(boot, manifest)
        if look(boot).next_boot != before:
            raise BootConfigFailed("With the new entries in place systemd-boot would start another system.")
        if not self.staged(boot, wanted):
            raise BootConfigFailed("The loader does not read the staged system as it was written.")

    def arm(self, boot: Boot, run: str) -> None:
        found, manifest = look(boot), needed(boot, run)
        if found.state is BootState.ARMED and found.run == run:
            _write_book(boot, run, BootState.ARMED, keep=found.keep_asked)
            return
        _start_trial(boot, manifest)
        _write_book(boot, run, BootState.ARMED)

    def disarm(self, boot: Boot, run: str) -> None:
        found, manifest = look(boot), needed(boot, run)
        if found.run != run or found.state not in (BootState.ARMED, BootState.STAGED):
            return
        kept = found.own is not None and found.own.root == manifest.root
        if kept:  # it was, once: its entries are still the loader's own, and the old system stays pinned
            _write_book(boot, run, BootState.ROLLED_BACK)
        else:
            flip(boot, bytes.fromhex(manifest.env_before))
        turn(boot, efivars.ONE_SHOT, None)
        if not kept and ours(boot.variables.read(efivars.DEFAULT) or "")[1] == run:
            turn(boot, efivars.DEFAULT, manifest.default_before or None)

    def keep(self, boot: Boot, run: str) -> None:
        found, manifest = look(boot), needed(boot, run)
        in_state(found, run, BootState.TRIAL, BootState.ARMED, BootState.KEPT)
        if found.state is BootState.KEPT:
            return
        # The trial reads the wish in the book: it must stand there before it is started.
        _write_book(boot, run, BootState.ARMED, keep=True)
        _start_trial(boot, manifest)

    def roll_back(self, boot: Boot, run: str) -> None:
        found, manifest = look(boot), needed(boot, run)
        in_state(found, run, BootState.ARMED, BootState.TRIAL, BootState.KEPT, BootState.ROLLED_BACK)
        if wrong := [path for path in files_lost(boot, manifest) if "/files/" not in path]:
            raise BootConfigFailed(f"There is no way back, the loader does not read: {', '.join(wrong)}.")
        put_entry(boot, path_of(PREVIOUS, run), text_for(manifest.previous))
        turn(boot, efivars.ONE_SHOT, None)
        turn(boot, efivars.DEFAULT, id_of(PREVIOUS, run))
        _write_book(boot, run, BootState.ROLLED_BACK)

    def restore(self, boot: Boot, run: str, owned: tuple[str, ...] = ()) -> None:
        found, manifest = look(boot), manifest_of(boot, run)
        if found.run in (run, f"{run}{SETTLE}") and found.state in (BootState.KEPT, BootState.SETTLING):
            raise Refused((f"Run {run} is what this machine boots: roll it back first.",))
        alone = not set(found.runs) - {run, f"{run}{SETTLE}"}
        if ours(boot.variables.read(efivars.ONE_SHOT) or "")[1] == run:
            turn(boot, efivars.ONE_SHOT, None)
        if manifest is not None and found.run == run:
            _back_from(boot, found, manifest)
        elif manifest is None and ours(boot.variables.read(efivars.DEFAULT) or "")[1] == run:
            turn(boot, efivars.DEFAULT, None)
        forget(boot, run, last=alone and found.whose in ("", run))

    def settle(self, boot: Boot, run: str, fsuuid: str) -> None:
        found = look(boot)
        if found.state is BootState.SETTLING and found.run == f"{run}{SETTLE}":
            return
        in_state(found, run, BootState.KEPT)
        # Its files are not needed any more, and the ESP is small.
        drop(boot, path_of(NEW, run), f"{FOLDER}/{run}/files")
        entry = settle_entry(boot, found, run, fsuuid)
        put_entry(boot, path_of(SETTLING, run), text_for(entry))
        turn(boot, efivars.DEFAULT, id_of(SETTLING, run))
        _write_book(boot, f"{run}{SETTLE}", BootState.SETTLING, run)

    def settled(self, boot: Boot, run: str, old_root: str, new_root: str) -> None:
        found = look(boot)
        done = found.state is BootState.ABSENT and found.own is not None and found.own.root == new_root
        if found.state is BootState.SETTLING:
            take_over(boot, needed(boot, run), old_root, new_root)
            turn(boot, efivars.DEFAULT, None)
            _write_book(boot, found.run, BootState.PLAIN, run)
        elif not done:
            in_state(found, f"{run}{SETTLE}", BootState.PLAIN)
        forget(boot, run, last=True)


def _start_trial(boot: Boot, manifest: Manifest) -> None:
    """The two variables: the previous system for good, then, the flip, the trial once."""
    if reasons := boot.variables.why_not():
        raise Refused(reasons)
    if wrong := files_lost(boot, manifest):
        raise BootConfigFailed(f"Not armed, the loader does not read: {', '.join(wrong)}.")
    put_entries(boot, manifest)  # keep takes the trial's away, an admin may have
    turn(boot, efivars.DEFAULT, id_of(PREVIOUS, manifest.run))
    turn(boot, efivars.ONE_SHOT, id_of(NEW, manifest.run))
    found = look(boot)
    if found.next_boot is None or found.next_boot.id != id_of(NEW, manifest.run):
        turn(boot, efivars.ONE_SHOT, None)
        raise BootConfigFailed("Not armed: systemd-boot would not start the trial it was told to.")


def _write_book(boot: Boot, run: str, state: BootState, of: str = "", *, keep: bool = False) -> None:
    """Remember what the variables say by now; the stick's own menu reads it as well."""
    book = sector(boot, run, state, of, keep=keep)
    if (boot.raw.read(SECTOR_PATH) or b"")[: env.SECTOR] != book:
        flip(boot, book)


def _back_from(boot: Boot, found: LoaderView, manifest: Manifest) -> None:
    """Entries and kernels that keep replaced, while the previous system is pinned; then what was pinned."""
    kind, run = ours(manifest.default_before)
    pinned = bool(kind) and run in set(found.runs) - {manifest.run}
    if found.state is not BootState.PLAIN:
        put_back(boot, manifest, pinned=pinned)
    turn(boot, efivars.DEFAULT, manifest.default_before if pinned else None)
    was = bytes.fromhex(manifest.env_before)
    if env.values_of(was).get("tb_run") in set(found.runs) - {manifest.run}:
        flip(boot, was)
    else:
        _write_book(boot, manifest.run, BootState.PLAIN)
