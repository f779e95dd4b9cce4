"""Promotion for GRUB, by its unmodified grub.cfg: custom.cfg, entries of ours, and one sector that decides.

Research behind the order of writes: GRUB replays no journal, cannot write its env block on LVM, RAID or
btrfs, and honours `default` set by custom.cfg last (41_custom stands at the end of grub.cfg).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.boot import entries, env, grub_bls, kernel_cmdline
from appliance.boot.flip import RealDisk, flip, remove_tree
from appliance.boot.grub_retire import put_back, remove_kernels, settle_entry, take_over
from appliance.boot.grub_view import FOLDER, OURS, look, reasons_against, unread
from appliance.boot.laid import (
    OLD_BOOTS,
    as_it_is,
    files_lost,
    in_state,
    is_of,
    manifest_of,
    needed,
    not_as_written,
    pin_old,
    put,
    sector,
    sha256,
    text_of,
)
from appliance.boot.manifest import Manifest
from appliance.boot.place import Boot, Sector
from appliance.boot.shapes import SETTLE, BootState, LoaderView, LoaderWords, StagedSystem
from appliance.errors import BootConfigFailed, Refused
from appliance.host.run import Host
from appliance.model.codec import to_json
from appliance.model.machine import LoaderKind
from appliance.model.plan import Write
from appliance.probe.bls import ENTRIES

CUSTOM_KEPT = "custom.kept"
"""In the run's folder, where /boot lies inside the root: custom.cfg of the new root's own /boot (keep.sh)."""

EITHER_BOOTS = "The old or the new system boots, whichever the sector says."
IN_BOOT = "/boot/twinboot/env"


@dataclass(frozen=True, slots=True)
class Grub:
    """The BootLoader for GRUB 2.06 and later with grub-mkconfig's grub.cfg (Debian, Ubuntu).

    `check` parses a script as GRUB does and raises BootConfigFailed. `sector` is what a person calls the file
    with the sector that decides. `bls`: its own entries are made of loader/entries.
    """

    check: Callable[[str], None]
    sector: str = IN_BOOT
    bls: bool = False
    kind: LoaderKind = LoaderKind.GRUB

    @property
    def words(self) -> LoaderWords:
        beside = "" if self.sector == IN_BOOT else f", {self.sector}"
        return LoaderWords(
            flip="one sector",
            place=f"one sector of {self.sector}",
            config=f"/boot/{ENTRIES}: each entry names" if self.bls else "/boot/grub/grub.cfg names",
            ours=f"/boot/twinboot{beside} and custom.cfg are removed",
        )

    def view(self, boot: Boot) -> LoaderView:
        return look(boot)

    def why_not(self, boot: Boot, wanted: StagedSystem | None = None) -> tuple[str, ...]:
        return reasons_against(boot, wanted)

    def writes(self, run: str) -> tuple[Write, ...]:
        folder = f"/boot/twinboot/{run}/"
        laid = "the new kernel and initrd, links of the old ones"
        if self.bls:
            laid += f", and the entries that keep puts into /boot/{ENTRIES}"
        return (
            Write(what=f"{folder}: {laid}", if_cut=OLD_BOOTS),
            Write(what=f"{self.sector}: 1024 bytes, says what the next boot is", if_cut=OLD_BOOTS),
            Write(what="/boot/grub/custom.cfg: reads the two above", if_cut=OLD_BOOTS),
            Write(what=f"{self.sector}: one sector, the next boot is the trial", if_cut=EITHER_BOOTS),
        )

    def name_root(self, boot: Boot, root: Path, home: str, device: str) -> tuple[str, ...]:
        if not self.bls:
            return ()  # grub-mkconfig asks the running system
        own = look(boot).own  # None: a promotion is refused
        return () if own is None else kernel_cmdline.point_root(root, own.options, device, home)

    def staged(self, boot: Boot, wanted: StagedSystem) -> bool:
        manifest = manifest_of(boot, wanted.run)
        if manifest is None or not is_of(manifest, wanted, wanted.artifacts.files):
            return False
        found = look(boot)
        return found.custom == "ours" and bool(found.run) and not _not_whole(boot, manifest)

    def stage(self, boot: Boot, wanted: StagedSystem) -> None:
        if self.staged(boot, wanted):
            return
        reasons = self.why_not(boot, wanted)
        if reasons:
            raise Refused(reasons)
        found = look(boot)
        if found.next_boot is None:
            raise Refused(("What this machine boots next could not be told.",))
        fresh = env.block(BootState.STAGED, wanted.run, wanted.machine_esp, wanted.efi_loader)
        manifest = self._lay_down(boot, wanted, found, fresh)
        if wrong := _not_whole(boot, manifest):
            raise BootConfigFailed(f"The loader does not read as written: {', '.join(wrong)}.")
        if found.custom == "absent":
            _make_read(boot, found)
        elif _decides_nothing(found):
            flip(boot, fresh[: env.SECTOR])
        after = look(boot)
        if after.custom != "ours" or not after.run:
            raise BootConfigFailed("The loader does not read the staged system as it was written.")

    def _lay_down(self, boot: Boot, wanted: StagedSystem, found: LoaderView, fresh: bytes) -> Manifest:
        """Everything under names of ours, frozen and thawed; custom.cfg is not among it."""
        disk, base = boot.disk, f"{FOLDER}/{wanted.run}"
        assert found.next_boot is not None  # refused before
        now = as_it_is(boot, found.next_boot)
        trial, previous = entries.trial_entry(wanted, now), entries.previous_entry(wanted, now)
        inside = _inside(boot, wanted)
        text = entries.entries_cfg(wanted.run, trial, previous, boot.place, inside)
        self.check(entries.custom(boot.place))
        self.check(text)
        for folder in (FOLDER, base, f"{base}/files", f"{base}/old", f"{base}/before"):
            disk.make_folder(folder)
        old = pin_old(boot, base, now)
        before = _remember(boot, base)
        for file in wanted.artifacts.files:
            put(boot, file, f"{base}/files/{file.name}")
        for state in (BootState.KEPT, BootState.ROLLED_BACK):
            block = env.block(state, wanted.run, wanted.machine_esp, wanted.efi_loader)
            disk.create(f"{base}/env.{state.value}", block)
        disk.create(f"{base}/entries.cfg", text.encode())
        if inside:
            kept = entries.kept_custom_cfg(wanted.run, inside)
            self.check(kept)
            disk.create(f"{base}/{CUSTOM_KEPT}", kept.encode())
        carried = grub_bls.lay_down(boot, base, wanted) if found.bls else None
        was = _lay_sector(boot, found, fresh)
        manifest = Manifest(
            run=wanted.run,
            root=wanted.root,
            old_root=wanted.old_root,
            trial=trial,
            previous=previous,
            files=wanted.artifacts.files,
            old=old,
            before=before,
            env_before=was[: env.SECTOR].hex(),
            entries=sha256(text.encode()),
            bls=carried,
        )
        disk.create(f"{base}/manifest.json", to_json(manifest))
        disk.settle()
        return manifest

    def arm(self, boot: Boot, run: str) -> None:
        found, manifest = look(boot), needed(boot, run)
        if found.state is BootState.ARMED and found.run == run:
            return
        if found.custom == "absent":
            raise Refused(("The loader does not read our entries: stage first.",))
        _make_read(boot, found)
        if wrong := _not_whole(boot, manifest):
            raise BootConfigFailed(f"Not armed, the loader does not read: {', '.join(wrong)}.")
        _flip(boot, run, BootState.ARMED)

    def disarm(self, boot: Boot, run: str) -> None:
        found, manifest = look(boot), needed(boot, run)
        if found.run == run and found.state is BootState.ARMED:
            flip(boot, bytes.fromhex(manifest.env_before))

    def keep(self, boot: Boot, run: str) -> None:
        found, manifest = look(boot), needed(boot, run)
        in_state(found, run, BootState.TRIAL, BootState.ARMED, BootState.KEPT)
        if found.state is BootState.KEPT:
            return
        _make_read(boot, found)
        if wrong := _not_whole(boot, manifest):
            raise BootConfigFailed(f"Not armed, the loader does not read: {', '.join(wrong)}.")
        _flip(boot, run, BootState.ARMED, keep=True)

    def roll_back(self, boot: Boot, run: str) -> None:
        found, manifest = look(boot), needed(boot, run)
        in_state(found, run, BootState.ARMED, BootState.TRIAL, BootState.KEPT, BootState.ROLLED_BACK)
        if found.sector_lost and f"{run}{SETTLE}" in found.runs:
            raise Refused(("The old system was being retired, it may be gone: retire again.",))
        if wrong := [path for path in _not_whole(boot, manifest) if not _of_the_new(path)]:
            raise BootConfigFailed(f"There is no way back, the loader does not read: {', '.join(wrong)}.")
        _make_read(boot, found)
        if found.state is not BootState.ROLLED_BACK:
            _flip(boot, run, BootState.ROLLED_BACK)

    def restore(self, boot: Boot, run: str, owned: tuple[str, ...] = ()) -> None:
        found, manifest = look(boot), manifest_of(boot, run)
        if found.run == run and found.state in (BootState.KEPT, BootState.SETTLING):
            raise Refused((f"Run {run} is what this machine boots: roll it back first.",))
        alone = not set(found.runs) - {run, f"{run}{SETTLE}"}
        if manifest is None or found.run != run:
            _forget(boot, run, last=alone and found.run in ("", run))
            return
        was = bytes.fromhex(manifest.env_before)
        before = env.values_of(was)
        stays = before.get("tb_run", run) in set(found.runs) - {run}
        if found.state is not BootState.PLAIN:
            pinned = stays and env.state_of(before) in (BootState.TRIAL, BootState.ROLLED_BACK)
            put_back(boot, manifest, owned, pinned=pinned)
        if stays:
            flip(boot, was)
        elif found.state is not BootState.PLAIN:
            _flip(boot, run, BootState.PLAIN)
        remove_kernels(boot, manifest, owned)
        _forget(boot, run, last=alone)

    def settle(self, boot: Boot, run: str, fsuuid: str) -> None:
        found = look(boot)
        if found.state is BootState.SETTLING and found.run == f"{run}{SETTLE}":
            return
        in_state(found, run, BootState.KEPT)
        self.check(settle_entry(boot, found, run, fsuuid))
        _flip(boot, f"{run}{SETTLE}", BootState.SETTLING)

    def settled(self, boot: Boot, run: str, old_root: str, new_root: str) -> None:
        found = look(boot)
        done = found.custom == "absent" and found.own is not None and found.own.root == new_root
        if found.state is BootState.SETTLING:
            take_over(boot, found.run, old_root, new_root)
            _flip(boot, found.run, BootState.PLAIN)
        elif not done:
            in_state(found, f"{run}{SETTLE}", BootState.PLAIN)
        _forget(boot, f"{run}{SETTLE}", last=True)


def _inside(boot: Boot, wanted: StagedSystem) -> entries.Inside | None:
    """The two roots where each has its own /boot; None where /boot is the same for both."""
    place = boot.place
    if not place.inside:
        return None
    new, old = (root.removeprefix("UUID=") for root in (wanted.root, wanted.old_root))
    return entries.Inside(new, old, place.prefix, place.folder)


def _decides_nothing(found: LoaderView) -> bool:
    """The sector is a leftover that leaves GRUB's own default alone: it may be rewritten."""
    return found.state in (BootState.ABSENT, BootState.STAGED, BootState.PLAIN)


def _not_whole(boot: Boot, manifest: Manifest) -> tuple[str, ...]:
    """Files of a run that the loader does not read as they were written."""
    base = f"{FOLDER}/{manifest.run}"
    wrong = files_lost(boot, manifest)
    written = manifest.entries or sha256(
        entries.entries_cfg(manifest.run, manifest.trial, manifest.previous, boot.place).encode()
    )
    if boot.raw.sha256(f"{base}/entries.cfg") != written:
        wrong.append(f"{base}/entries.cfg")
    if manifest.bls is not None:
        wrong += not_as_written(boot, f"{base}/{grub_bls.NEW}", manifest.bls.files)
    return tuple(wrong)


def _of_the_new(path: str) -> bool:
    """Whether a file of ours is the new system's alone, and the way back does not need it."""
    return "/files/" in path or f"/{grub_bls.NEW}/" in path


def _make_read(boot: Boot, found: LoaderView) -> None:
    """GRUB does what the sector says: custom.cfg is laid down at first, and where an admin removed it since.

    Raises Refused where it would not be read, or is another: the act would only be said.
    """
    if reasons := unread(boot.place, found):
        raise Refused(reasons)
    if found.custom == "absent":
        boot.disk.create(f"{boot.place.folder}/custom.cfg", entries.custom(boot.place).encode())
        boot.disk.settle()


def _flip(boot: Boot, run: str, state: BootState, *, keep: bool = False) -> None:
    flip(boot, sector(boot, run, state, keep=keep))


def _forget(boot: Boot, run: str, *, last: bool) -> None:
    """Delete what is ours: first the name GRUB reads, then, once that is in place, the rest."""
    custom = f"{boot.place.folder}/custom.cfg"
    if last:
        if text_of(boot.disk.read(custom)).startswith(OURS):
            boot.disk.remove(custom)
            boot.disk.settle()
        if text_of(boot.raw.read(custom)).startswith(OURS):
            raise BootConfigFailed(f"The loader still reads /boot/{custom}.")
    if last and boot.apart:
        _forget_sector(boot.apart)
    remove_tree(boot.disk, FOLDER if last else f"{FOLDER}/{run}")
    boot.disk.settle()


def _lay_sector(boot: Boot, found: LoaderView, fresh: bytes) -> bytes:
    """The file that decides, `fresh` where GRUB reads none yet; returns what is to be put back one day."""
    at = boot.sector
    if found.custom == "absent" or at.disk.read(at.path) is None:
        if boot.apart:
            at.disk.make_folder(FOLDER)
            at.disk.make_folder(at.folder)
        at.disk.create(at.path, fresh)
        if boot.apart:
            at.disk.settle()
    return fresh if _decides_nothing(found) else at.disk.read(at.path) or fresh


def _forget_sector(apart: Sector) -> None:
    """Ours alone: another system's may lie beside it."""
    remove_tree(apart.disk, apart.folder)
    if not apart.disk.names(FOLDER):
        apart.disk.remove_folder(FOLDER)
    apart.disk.settle()


def forget_copied(host: Host, boot: Path, folder: str) -> tuple[str, ...]:
    """Take what an earlier run left in the old root's /boot out of its copy mounted at `boot`, which has a
    /boot of its own: paths removed, relative to its root."""
    disk, gone = RealDisk(host, boot), []
    custom = f"{folder}/custom.cfg"
    if text_of(disk.read(custom)).startswith(OURS):
        disk.remove(custom)
        gone.append(f"boot/{custom}")
    if disk.is_folder(FOLDER):
        remove_tree(disk, FOLDER)
        gone.append(f"boot/{FOLDER}/")
    return tuple(gone)


def _remember(boot: Boot, base: str) -> tuple[str, ...]:
    """First-seen boot files: links of all that lies in /boot, and a copy of grub.cfg."""
    names = tuple(name for name in boot.disk.names("") if boot.disk.is_file(name))
    for name in names:
        boot.disk.link(name, f"{base}/before/{name}")
    config = boot.disk.read(f"{boot.place.folder}/grub.cfg") or b""
    boot.disk.create(f"{base}/before/grub.cfg.first", config)
    return names
