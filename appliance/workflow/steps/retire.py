"""Retire: delete what the plan named, and give a kept volume the root volume's first name back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.boot import confirm, fstab, kernel_cmdline
from appliance.boot.artifacts import names_in_use
from appliance.boot.flip import open_boot
from appliance.errors import Refused
from appliance.host.files import mounted, mounted_readonly, write_atomic
from appliance.host.run import Host
from appliance.model.events import Line, StateChanged
from appliance.model.lineage import State
from appliance.model.plan import PlannedStep
from appliance.volumes.base import Snapshot, SnapshotRole, SnapshotStore
from appliance.volumes.choose import traits
from appliance.workflow.retirement import first_name, first_names
from appliance.workflow.runner import Context, Step
from appliance.workflow.steps.boot import loader_of, machine_boot
from appliance.workflow.steps.core import refuse_what_grub_reads
from appliance.workflow.steps.ground import Ground, OnGround
from appliance.workflow.steps.volume_set import installed_beneath

HOME = "var/lib/twinboot"
_HOME_OF = re.compile(r"tb(\d+)\Z")


@dataclass(frozen=True, slots=True)
class Unstage(OnGround):
    """A run the machine does not boot from: everything of it out of /boot, before its volumes go."""

    def done(self, ctx: Context) -> bool:
        boot = open_boot(ctx.host, self.ground.boot_place())
        return self.ground.names.run not in loader_of(self.ground, ctx.host).view(boot).runs

    def do(self, ctx: Context) -> None:
        ground = self.ground
        refuse_what_is_needed(ctx, ground)
        store, loader = ground.store(ctx.host), loader_of(ground, ctx.host)
        owned = owned_by_installed(ctx.host, ground)
        with machine_boot(ctx.host, ground) as boot:
            loader.restore(boot, ground.names.run, owned)
        store.release()


@dataclass(frozen=True, slots=True)
class LetGo(OnGround):
    """The point of no return for a kept run's old system: its root is tagged, from then on it is deleted."""

    def done(self, ctx: Context) -> bool:
        store = self.ground.store(ctx.host)
        ours = {s.lv for s in store.ours()}
        return all(
            # Deleted already; where the trial's name is gone, the kept volume bears the first one.
            not store.present(first) or not store.present(trial) or first in ours
            for trial, first in first_names(self.ground.names).items()
        )

    def do(self, ctx: Context) -> None:
        refuse_what_is_needed(ctx, self.ground)
        let_go(self.ground.store(ctx.host), self.ground)


@dataclass(frozen=True, slots=True)
class DeleteDoomed(OnGround):
    """Exactly the volumes the plan names; the installed root among them is taken over first."""

    def done(self, ctx: Context) -> bool:
        store, doomed = self.ground.store(ctx.host), set(self.ground.whole.doomed)
        if renamed(store, self.ground):
            return True  # a kept volume was renamed already, which needs all of them to be gone
        first = doomed & set(first_names(self.ground.names).values())
        return not any(store.present(lv) for lv in first) and not doomed & {s.lv for s in store.ours()}

    def do(self, ctx: Context) -> None:
        store = self.ground.store(ctx.host)
        refuse_what_is_needed(ctx, self.ground)
        if not renamed(store, self.ground):
            let_go(store, self.ground)
            delete_doomed(ctx, self.ground)


@dataclass(frozen=True, slots=True)
class BootByUuid(OnGround):
    """First flip: the kept system boots by the UUID of its file system while its volume is renamed."""

    def do(self, ctx: Context) -> None:
        with machine_boot(ctx.host, self.ground) as boot:
            loader, store = loader_of(self.ground, ctx.host), self.ground.store(ctx.host)
            if store.present(self.ground.names.trial):  # else it was renamed already
                loader.settle(boot, self.ground.names.run, self.ground.settling_called)


@dataclass(frozen=True, slots=True)
class GiveNameBack(OnGround):
    """The volumes beside the root are renamed while fstab names them by UUID, so that the kept system starts
    whichever name they have. Then its fstab names the first names again, our unit goes, the root is renamed.
    """

    def do(self, ctx: Context) -> None:
        ground = self.ground
        store, first = ground.store(ctx.host), first_name(ground.names)
        trial = ground.snapshot(SnapshotRole.TRIAL)
        kept = _kept(store, trial)
        if kept is not None:
            device, fstype, part = store.activate(kept), ground.system.root.fstype, store.options(kept)
            here, called = ground.work.scratch / "kept", self._first_names_beside()
            if any(store.present(s.lv) for _, s in ground.beside(SnapshotRole.TRIAL)):
                uuids = {v.target: f"UUID={v.fsuuid}" for v, _ in ground.beside(SnapshotRole.TRIAL)}
                with mounted(ctx.host, device, fstype, here, part) as root:
                    fstab.point_on(root, uuids)
                self._rename_beside(ctx, store)
            with (
                mounted(ctx.host, device, fstype, here, part) as root,
                installed_beneath(ctx.host, ground, root, called, writable=True),
            ):
                clear(root, self._turned_back())
            store.deactivate(kept)
        # Also where its name is gone already: bringing it home may have been cut short.
        store.settle(replace(trial, role=SnapshotRole.KEPT), first)
        if kept is not None:
            ctx.tell(Line(source="run", text=f"{trial.lv} is called {first} again"))

    def _turned_back(self) -> tuple[str, ...]:
        """Places whose first names mean something again; a partition's file system keeps its new UUID."""
        root = () if traits(self.ground.system).beside else ("/",)
        return (*root, *(v.target for v, _ in self.ground.beside(SnapshotRole.TRIAL)))

    def _first_names_beside(self) -> dict[str, str]:
        firsts = first_names(self.ground.names)
        return {v.lv: firsts[s.lv] for v, s in self.ground.beside(SnapshotRole.TRIAL)}

    def _rename_beside(self, ctx: Context, store: SnapshotStore) -> None:
        firsts = first_names(self.ground.names)
        for _, trial in self.ground.beside(SnapshotRole.TRIAL):
            if (kept := _kept(store, trial)) is not None:
                store.deactivate(kept)
                store.settle(kept, firsts[trial.lv])
                ctx.tell(Line(source="run", text=f"{trial.lv} is called {firsts[trial.lv]} again"))


@dataclass(frozen=True, slots=True)
class BootByName(OnGround):
    """Last flip: the loader's own configuration names the first name, and everything of ours goes."""

    def do(self, ctx: Context) -> None:
        ground = self.ground
        with machine_boot(ctx.host, ground) as boot:
            loader = loader_of(ground, ctx.host)
            loader.settled(boot, ground.names.run, ground.trial_called, ground.settled_called)
        store = ground.store(ctx.host)
        for each in first_names(ground.names).values():
            store.disown(each)
        store.release()


@dataclass(frozen=True, slots=True)
class NoteRetireDate(OnGround):
    """The date on which the old system is offered for deletion, in the machine's own history."""

    def do(self, ctx: Context) -> None:
        write_atomic(self.ground.work.folder / "retire-on", self.ground.whole.request.retire_on.encode())


def refuse_what_is_needed(ctx: Context, ground: Ground) -> None:
    """Raises Refused where the machine boots from a volume that shall go: asked of the loader at the act
    itself, since a plan may have waited at its gate, or in a file, while the machine was rolled back."""
    refuse_what_grub_reads(ground)
    seen = loader_of(ground, ctx.host).view(open_boot(ctx.host, ground.boot_place()))
    called = {lv: ground.system.root.root_called(lv) for lv in ground.whole.doomed}
    # Beside a root on a partition a witness is no file system of its own: it is called as that root is.
    own = (ground.system.root.member, ground.old_called)
    roots = {root: lv for lv, root in called.items() if root != own[1] or lv == own[0]}
    if seen.next_boot is not None and seen.next_boot.root in roots:
        volume = roots[seen.next_boot.root]
        raise Refused(
            (f"This machine boots from {ground.names.vg}/{volume}, which {ground.names.run} would delete:"
             " make a new plan.",)
        )  # fmt: skip


def let_go(store: SnapshotStore, ground: Ground) -> None:
    """Tag the old system's volumes that the plan names, so that they may be deleted."""
    for first in first_names(ground.names).values():
        if first in ground.whole.doomed and store.present(first):
            store.adopt(first, ground.names.run)


def renamed(store: SnapshotStore, ground: Ground) -> bool:
    """Whether a volume of the kept system has its first name back: nothing of that name is doomed."""
    kept = set(ground.names.trials) - set(ground.whole.doomed)
    return any(not store.present(trial) for trial in kept)


def delete_doomed(ctx: Context, ground: Ground) -> None:
    """Exactly the volumes the plan names, and of those only what carries our tag."""
    store = ground.store(ctx.host)
    for snapshot in store.ours():
        if snapshot.lv in ground.whole.doomed:
            store.delete(snapshot)
            ctx.tell(Line(source="run", text=f"deleted {ground.names.vg}/{snapshot.lv}"))
    store.release()
    ctx.tell(StateChanged(state=State.RETIRED))


def clear(root: Path, targets: Iterable[str] = ("/",)) -> None:
    """Take our edits out of the kept system mounted at `root`; `targets` are the places of its volume set.
    Safe to repeat and half-done."""
    targets = tuple(targets)
    homes = sorted(
        (int(found[1]), place)
        for place in (root / HOME).glob("tb*")
        if (found := _HOME_OF.match(place.name)) and not place.is_symlink()
    )
    for _, home in homes:
        if (home / "fstab.first").is_file():
            fstab.turn_back(root, home / "fstab.first", targets)
            if "/" in targets:
                kernel_cmdline.turn_back(root, str(home.relative_to(root)))
            break
    for _, home in homes:
        confirm.remove(root, home.name)
    shutil.rmtree(root / HOME, ignore_errors=True)


def _kept(store: SnapshotStore, trial: Snapshot) -> Snapshot | None:
    """A kept volume under its run's name; None where it was renamed already."""
    if any(s.lv == trial.lv for s in store.ours()) and store.present(trial.lv):
        return store.keep(trial)
    return None


def owned_by_installed(host: Host, ground: Ground) -> tuple[str, ...]:
    """The files of /boot that the system this run was made from owns by now: it is the one that stays."""
    store, root = ground.store(host), ground.system.root
    if not store.present(root.member):
        return ()
    device, here = store.activate_installed(root.member), ground.work.scratch / "installed"
    try:
        with (
            mounted_readonly(host, device, root.fstype, here, store.options_installed(root.member)) as place,
            installed_beneath(host, ground, place),
        ):
            return names_in_use(place)
    finally:
        store.deactivate_installed(root.member)


STEPS: dict[str, Callable[[PlannedStep, Ground], Step]] = {
    "unstage": Unstage,
    "let-go": LetGo,
    "delete": DeleteDoomed,
    "by-uuid": BootByUuid,
    "name-back": GiveNameBack,
    "by-name": BootByName,
    "remind": NoteRetireDate,
}
