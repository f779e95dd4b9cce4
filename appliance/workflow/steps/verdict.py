"""The answer: changed files sorted, everything put together, throw-away volumes removed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from appliance.boot.confirm import FIRST_FSTAB, home
from appliance.checks.compare import Limits
from appliance.checks.configs import config_diffs
from appliance.checks.files import changed_files
from appliance.checks.verdict import assemble
from appliance.errors import DamagedData
from appliance.host.files import mounted_readonly
from appliance.model.events import VerdictReached
from appliance.model.verdict import (
    ChangeKind,
    CheckResult,
    ConfigDiff,
    DataWrite,
    Facts,
    FileChange,
    Outcome,
    PackageChange,
    Verdict,
)
from appliance.report.mask import Masks, mask
from appliance.volumes.base import SnapshotRole
from appliance.volumes.choose import traits
from appliance.workflow.arrays import mirrors
from appliance.workflow.runner import Context
from appliance.workflow.stand_in import not_tested
from appliance.workflow.steps.ground import Ground, OnGround
from appliance.workflow.steps.hardware import look_at_both
from appliance.workflow.steps.twins import PROOF, WORK, deactivate, twin_of, volumes_of
from appliance.workflow.steps.volume_set import beneath
from appliance.workflow.workplace import Workplace

SLOW_TWIN = "slow-twin"
"""Where the run keeps whether its twin's times say anything."""


IN_FORM_ONLY = CheckResult(
    name="disk encryption",
    outcome=Outcome.NOT_TESTED,
    before="in form only",
    after="in form only",
    why="The twin's disk was encrypted in form only: it had a header like the machine's, its own key, and"
    " what lay behind was plain. That the new system decrypts this machine's disk is tried on the metal.",
)


ONE_CONTENT = CheckResult(
    name="mirror",
    outcome=Outcome.NOT_TESTED,
    before="in form only",
    after="in form only",
    why="The twin's array had the machine's legs in form only: one content, and no bitmap. What"
    " the new system does when a leg fails, or must be put in step, was not tried.",
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What earlier steps of the run left for the verdict."""

    changes: tuple[PackageChange, ...]
    kept_conffiles: tuple[str, ...]
    not_applied: tuple[str, ...]
    failure: str

    @classmethod
    def of(cls, work: Workplace) -> Remembered:
        return cls(
            changes=work.load_or("changes", tuple[PackageChange, ...], ()),
            kept_conffiles=work.load_or("conffiles", tuple[str, ...], ()),
            not_applied=work.load_or("not-applied", tuple[str, ...], ()),
            failure=work.load_or("patch-failure", str, ""),
        )


def provisional(ground: Ground, why: str = "") -> Verdict:
    """The verdict as far as two boots go: what stands where nothing was sealed. `why`: it never came up."""
    work = ground.work
    known = Remembered.of(work)
    trouble = [("package manager", known.failure)] if known.failure else []
    trouble += [("repaired boot" if ground.repairs else "patched boot", why)] if why else []
    verdict = assemble(
        work.load_or("control", Facts, None),
        work.load("patched", Facts) if work.saved("patched") else None,
        changes=known.changes,
        kept_conffiles=known.kept_conffiles,
        not_applied=known.not_applied,
        accel=accel(ground),
        trouble=tuple(trouble),
        limits=limits_of(ground),
        repaired=ground.repairs,
    )
    verdict = labelled(ground, verdict)
    work.save("verdict", verdict)
    return verdict


def labelled(ground: Ground, verdict: Verdict) -> Verdict:
    """With what becomes of it: a run that is rehearsed only has nothing to promote, and ways to room.

    Beside the checks stands what no twin of an encrypted disk, of a mirror, or of a controller that it can
    not have, can show.
    """
    if ground.encrypted:
        verdict = replace(verdict, checks=(*verdict.checks, IN_FORM_ONLY))
    if mirrors(ground.machine, ground.names.vg):
        verdict = replace(verdict, checks=(*verdict.checks, ONE_CONTENT))
    more, direct = not_tested(ground.whole), ground.whole.direct
    verdict = replace(verdict, checks=(*verdict.checks, *more), direct=direct)
    if not ground.rehearses_only:
        return verdict
    return replace(verdict, rehearsed_only=ground.whole.pool, ways=ground.whole.ways)


def limits_of(ground: Ground) -> Limits:
    """What the comparison may judge by in this run's twin."""
    return Limits(slow_twin=ground.work.load_or(SLOW_TWIN, bool, False))


def accel(ground: Ground) -> str:
    return "emulated" if ground.whole.request.emulate else "KVM"


@dataclass(frozen=True, slots=True)
class ReachVerdict(OnGround):
    """The last word: with the seal, the proof boot, the changed files and what data volumes were written."""

    def do(self, ctx: Context) -> None:
        work = self.ground.work
        known = Remembered.of(work)
        proof: str = "" if self.ground.rehearses_only else work.load("proof", str)
        trouble = [("package manager", known.failure)] if known.failure else []
        trouble += [("proof boot", proof)] if proof else []
        with self._both(ctx) as (before, after):
            files, configs = self._changed_files(before, after, known)
            # The machine's own devices and network cards, which no twin has.
            hardware = look_at_both(ctx.host, self.ground, before, after)
        verdict = assemble(
            work.load_or("control", Facts, None),
            work.load("patched", Facts),
            changes=known.changes,
            kept_conffiles=known.kept_conffiles,
            not_applied=known.not_applied,
            files=files,
            configs=configs,
            data_writes=work.load("data-writes", tuple[DataWrite, ...]),
            accel=accel(self.ground),
            seal=work.load("seal", str),
            proof_boot=not proof and not self.ground.rehearses_only,
            trouble=tuple(trouble),
            limits=limits_of(self.ground),
            repaired=self.ground.repairs,
            hardware=hardware.checks,
            devices=hardware.devices,
        )
        verdict = labelled(self.ground, verdict)
        work.save("verdict", verdict)
        ctx.tell(VerdictReached(verdict=verdict))

    def _changed_files(
        self, before: Path, after: Path, known: Remembered
    ) -> tuple[tuple[FileChange, ...], tuple[ConfigDiff, ...]]:
        """Between the origin's snapshot and the sealed one: every file, and inside those of /etc."""
        ground, here = self.ground, self.ground.work.scratch
        try:
            files = changed_files(before, after, known.changes)
            if ground.names.sealed_is_trial:
                files = without_edits(files, self._edits(before, after))
            return files, config_diffs(before, after, files, known.kept_conffiles, without_secrets)
        except (OSError, DamagedData) as error:
            if not ground.repairs or str(here / "sealed") in str(error):
                raise
            return (not_compared(str(error).replace(str(here / "base"), "")),), ()

    @contextlib.contextmanager
    def _both(self, ctx: Context) -> Iterator[tuple[Path, Path]]:
        """The origin's snapshot and the sealed one, to read from."""
        ground = self.ground
        store, fstype = ground.copies(ctx.host), ground.system.root.fstype
        base, sealed = ground.snapshot(SnapshotRole.BASE), ground.snapshot(SnapshotRole.SEALED)
        here, was, now = ground.work.scratch, store.options(base), store.options(sealed)
        try:
            with (
                mounted_readonly(ctx.host, store.activate(base), fstype, here / "base", was) as before,
                beneath(ctx.host, ground, SnapshotRole.BASE, before),
                mounted_readonly(ctx.host, store.activate(sealed), fstype, here / "sealed", now) as after,
                beneath(ctx.host, ground, SnapshotRole.SEALED, after),
            ):
                yield before, after
        finally:
            store.deactivate(base)
            store.deactivate(sealed)

    def _edits(self, before: Path, after: Path) -> tuple[str, ...]:
        """What the metal's edits put into the sealed volume itself. A change of fstab by the patch counts."""
        ground = self.ground
        edits: tuple[str, ...] = ground.work.load("metal-edits", tuple[str, ...])
        first = after / home(ground.names.run) / FIRST_FSTAB
        patched = first.is_file() and first.read_bytes() != (before / "etc/fstab").read_bytes()
        return tuple(path for path in edits if not (patched and path == "etc/fstab"))


def without_edits(files: tuple[FileChange, ...], edits: tuple[str, ...]) -> tuple[FileChange, ...]:
    """`files` without `edits` (relative paths; a whole folder ends with "/") and folders made for them."""

    def is_ours(change: FileChange) -> bool:
        path = change.path.lstrip("/")
        if any(edit == path or (edit.endswith("/") and path.startswith(edit)) for edit in edits):
            return True
        return change.act == "added" and path.endswith("/") and any(edit.startswith(path) for edit in edits)

    return tuple(change for change in files if not is_ours(change))


def not_compared(error: str) -> FileChange:
    """Stands for all files where the damaged original could not be read to the end (fsck mends the copy)."""
    why = f"the original's file system does not read ({error.rstrip('.')}): no file was compared"
    return FileChange(path="(NOT COMPARED)", act="changed", kind=ChangeKind.UNEXPLAINED, by=why)


def without_secrets(text: str) -> tuple[str, int]:
    """`text` as it may be shown, and the number of places masked in it."""
    masks = Masks()
    return mask(text, masks), masks.places


@dataclass(frozen=True, slots=True)
class Tidy(OnGround):
    """What remains of a good run is base, sealed and trial volume."""

    def done(self, ctx: Context) -> bool:
        store = self.ground.store(ctx.host)
        if any(store.exists(s) for part in (WORK, PROOF) for s in volumes_of(self.ground, part)):
            return False
        return not traits(self.ground.system).copies or not self.ground.room(ctx.host).room.made()

    def do(self, ctx: Context) -> None:
        store = self.ground.store(ctx.host)
        for part in (PROOF, WORK):
            twin_of(ctx, self.ground, part).teardown()
            deactivate(ctx.host, self.ground, part)
            for snapshot in volumes_of(self.ground, part):
                store.delete(snapshot)
        if traits(self.ground.system).copies:
            self.ground.room(ctx.host).remove_room()
