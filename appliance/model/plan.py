"""A Request is what a person wants; a Plan is what will be done, every name chosen before anything runs.

People write both by hand: a key that is not known is refused, since it was meant to say something.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

import msgspec

from appliance.model.codec import digest
from appliance.model.machine import InstalledSystem, Machine

SCHEMA = 1

FULL = 80.0
"""Per cent of the room for snapshots above which no run begins and none goes on: it must never fill (P7)."""


class Verb(enum.Enum):
    REHEARSE = "rehearse"
    REPAIR = "repair"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    KEEP = "keep"
    RETIRE = "retire"
    UNDO = "undo"


class PatchKind(enum.Enum):
    NOTHING = "nothing"
    ALL = "all"
    SECURITY = "security"
    PACKAGES = "packages"
    SCRIPT = "script"
    BY_HAND = "by-hand"


class RepairKind(enum.Enum):
    """What is tried on a copy of a system that does not boot well."""

    OLDER_KERNEL = "older-kernel"
    INITRD = "initrd"
    FSCK = "fsck"
    FINISH_PACKAGES = "finish-packages"
    UNDO_PACKAGES = "undo-packages"
    BY_HAND = "by-hand"


PACKAGE = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9+._-]*[A-Za-z0-9+_]+(:[a-z0-9-]+)?(=[A-Za-z0-9][A-Za-z0-9._+:~^-]*)?"
)
"""A package as apt takes it, NAME[:ARCHITECTURE][=VERSION] (deb-control(5), Package), or as rpm names it,
NAME[.ARCHITECTURE]. One that ends with "-" would mean a removal (apt-get(8)): no name does."""


def not_packages(names: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each of `names` that no package can have."""
    return tuple(f"{name!r} is not a package name." for name in names if not PACKAGE.fullmatch(name))


class PatchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to apply. `bundle` is a folder on the data partition: a repository or plain .debs."""

    kind: PatchKind = PatchKind.NOTHING
    packages: tuple[str, ...] = ()
    script: str = ""
    bundle: str = ""
    allow_unsigned: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`system` is an InstalledSystem.id; `run` names an earlier run for promote, keep, rollback, retire; undo
    means all of them. `skip_checks` are the site's checks on the stick that shall not be run.

    `repair` is the attempt of a repair; `watch`: the copy is booted as it is first, to see how it fails.
    `with_data`: a roll back takes the data volumes back to their safety snapshots as well.
    `rehearse_only`: nothing is kept on the machine; `store` says where the copy lies: "stick", "ram", or a
    partition of a USB disk. `added` are the places of data volumes that go round with the root ("/srv"), as
    those of the volume set do. `into` is an empty partition for the second root ("/dev/sda5"), where the root
    is a partition itself.
    """

    verb: Verb
    system: str = ""
    run: str = ""
    patch: PatchRequest = PatchRequest()
    skip_checks: tuple[str, ...] = ()
    emulate: bool = False
    force_bad: bool = False
    memory: int = 0
    retire_on: str = ""
    promote: bool = False
    auto_keep: bool = True
    repair: RepairKind | None = None
    watch: bool = True
    with_data: bool = False
    rehearse_only: bool = False
    store: str = ""
    added: tuple[str, ...] = ()
    into: str = ""

    @property
    def makes_a_run(self) -> bool:
        """Whether this begins a run with a twin and a verdict; all else acts on an earlier run."""
        return self.verb in (Verb.REHEARSE, Verb.REPAIR)


class Names(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every name a run may use, decided when planning. LV names stand without their VG.

    `base` is the read-only snapshot taken first (what the origin was), `work` the twin's writable root,
    `sealed` what was tested, `trial` what the metal boots, `proof` the throw-away of the proof boot,
    `scratch` the volume that takes the twin's writes to everything else. Data volumes map their LV
    name to ours, and so do the volumes of the set beside the root (`set_base` and the others);
    `data_before` are the twin's data volumes as the control boot left them, `data_safety` the machine's own
    before the trial, `data_undone` as a roll back with data found them. Where no snapshot can be taken of a
    snapshot, `work`, `sealed` and `trial` are one name. A run that is rehearsed only has no trial and no
    proof: those names are empty.
    """

    run: str
    vg: str
    base: str
    work: str
    sealed: str
    trial: str
    proof: str
    scratch: str
    proof_scratch: str
    set_base: tuple[tuple[str, str], ...] = ()
    set_work: tuple[tuple[str, str], ...] = ()
    set_sealed: tuple[tuple[str, str], ...] = ()
    set_trial: tuple[tuple[str, str], ...] = ()
    set_proof: tuple[tuple[str, str], ...] = ()
    data_work: tuple[tuple[str, str], ...] = ()
    data_proof: tuple[tuple[str, str], ...] = ()
    data_before: tuple[tuple[str, str], ...] = ()
    data_safety: tuple[tuple[str, str], ...] = ()
    data_undone: tuple[tuple[str, str], ...] = ()
    domain: str = ""
    boot_folder: str = ""

    @property
    def sealed_is_trial(self) -> bool:
        """Whether the metal's edits went into the sealed volume itself."""
        return self.sealed == self.trial

    @property
    def trials(self) -> tuple[str, ...]:
        """What the metal boots: the trial volume, then those of the set beside it."""
        return (self.trial, *(trial for _, trial in self.set_trial))


class Write(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One write as the technician reads it, and what a power cut at it leaves."""

    what: str
    if_cut: str


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`weight` is the share of the run's expected time, in seconds on a usual machine."""

    id: str
    title: str
    weight: float = 1.0
    gate: bool = False
    commit: bool = False
    writes: tuple[Write, ...] = ()


class Loss(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something written since a trial began, which going back leaves behind. `bytes` is about how much.

    `databases` are folders that hold one, `safety` is the volume that holds `where` as it was before the
    trial, `undone` the one that will keep what is taken away from `where`; empty where `where` is left as it
    is. `note` says what could not be looked at.
    """

    where: str
    bytes: int = 0
    paths: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    safety: str = ""
    undone: str = ""
    note: str = ""


class StandIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In the twin a controller that drives as `by` stands in for that of `disk` (its path), which drives as
    `driver`, and which no twin can have."""

    disk: str
    driver: str
    by: str


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frozen and serialisable; `fingerprint` is of the machine it was made for.

    `doomed` are the names of the volumes that a retire or an undo deletes, and no others; `losses` is
    what a roll back leaves behind, or takes away.

    `expected_bytes` is about what the run writes where snapshots grow, `pool` ("vg0/pool"), and
    `free_bytes` what may still be written there before a run is paused. `copy_bytes` is the room that a run
    takes elsewhere, whose copy is thrown away; `ways` are sentences on how to make room on the machine.

    `own_part`: of the bundle's packages the twin gets those alone that it lists for this system.

    `stand_ins` are the disks that the twin shows by another controller than theirs. `direct`: the installed
    initrd lacks its driver, so the twin's kernel is started without loader, with drivers added to its initrd.
    """

    schema: int = SCHEMA
    request: Request
    names: Names
    machine: str
    fingerprint: str
    system: InstalledSystem
    steps: tuple[PlannedStep, ...]
    warnings: tuple[str, ...] = ()
    expected_bytes: int = 0
    free_bytes: int = 0
    pool: str = ""
    copy_bytes: int = 0
    ways: tuple[str, ...] = ()
    doomed: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    own_part: bool = False
    stand_ins: tuple[StandIn, ...] = ()
    direct: bool = False

    @property
    def digest(self) -> str:
        return digest(self)


class UnattendedPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan file for `twinboot.plan=`: `serial` is the machine it is for, or "any" said aloud."""

    schema: int
    serial: str
    request: Request
    keep: bool = True
    reboot: bool = True


def fingerprint(machine: Machine) -> str:
    """sha256 over what must not change between plan and act: identity, disks, volumes; not what ages."""
    disks = [
        (d.path, d.size, d.serial, d.table_id, [(p.partuuid, p.start, p.size) for p in d.partitions])
        for d in machine.disks
    ]
    groups = [
        (g.name, g.uuid, sorted((lv.name, lv.uuid) for lv in g.lvs if "twinboot" not in lv.tags))
        for g in machine.groups
    ]
    return digest([machine.identity, machine.uuid, machine.firmware, disks, groups])
