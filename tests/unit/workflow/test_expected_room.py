"""What a run is expected to write, and what is refused for it; the lab machine is not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import OutOfSpace, Refused
from appliance.model.events import Gauge
from appliance.model.lineage import Lineage
from appliance.model.machine import InstalledSystem, Machine, Packages
from appliance.model.plan import PatchKind, PatchRequest, Plan, RepairKind, Request, Verb
from appliance.probe import trouble
from appliance.volumes.base import Headroom, Snapshot, SnapshotRole, Use
from appliance.workflow import rehearse, repair
from appliance.workflow.room import (
    BOOT,
    BOOT_DATA,
    EDITS,
    INITRD,
    KERNEL,
    LISTS,
    MIB,
    PACKAGE,
    STAGED,
    UNKNOWN,
    UNPACKED,
    Known,
    expected_bytes,
)
from appliance.workflow.runner import Context
from appliance.workflow.steps.snapshot import CheckSpace
from tests.unit.workflow.test_rehearse_plan import machine

LAB = Packages(count=219, bytes=716 * MIB, kernel_bytes=400 * MIB)
"""tests/fixtures/recorded/uefi-nvme/dpkg_list.txt, by the sizes in the Debian archive."""
ALWAYS = 3 * (BOOT + BOOT_DATA) + EDITS + STAGED


def lab(packages: Packages = LAB) -> InstalledSystem:
    return replace(machine().systems[0], packages=packages)


def patched(kind: PatchKind, **words: object) -> Request:
    return Request(verb=Verb.REHEARSE, patch=PatchRequest(kind=kind, **words))  # type: ignore[arg-type]


def repaired(kind: RepairKind, watch: bool = True) -> Request:
    return Request(verb=Verb.REPAIR, repair=kind, watch=watch)


def beside_boots(
    request: Request, packages: Packages = LAB, bundle: int = 0, sizes: dict[str, int] | None = None
) -> int:
    return expected_bytes(lab(packages), request, Known(bundle, sizes or {})) - ALWAYS


def test_three_boots_of_root_and_data_and_what_we_add_ourselves() -> None:
    assert beside_boots(patched(PatchKind.NOTHING)) == 0
    without_data = replace(lab(), volumes=lab().volumes[:1])
    assert expected_bytes(without_data, patched(PatchKind.NOTHING)) == ALWAYS - 3 * BOOT_DATA
    assert beside_boots(repaired(RepairKind.OLDER_KERNEL)) == 0
    assert beside_boots(repaired(RepairKind.OLDER_KERNEL, watch=False)) == -(BOOT + BOOT_DATA)


@pytest.mark.parametrize(
    ("kind", "rest"), [(PatchKind.ALL, 316 * MIB // 4), (PatchKind.SECURITY, 316 * MIB * 3 // 16)]
)
def test_updates_are_a_share_of_what_is_installed_and_a_kernel_with_their_debs(
    kind: PatchKind, rest: int
) -> None:
    unpacked = rest + 400 * MIB
    assert beside_boots(patched(kind)) == int(unpacked * (1 + 1 / UNPACKED)) + INITRD + LISTS
    assert beside_boots(patched(kind), Packages()) > beside_boots(patched(kind)), "a guess is the larger one"


def test_chosen_packages_count_each_and_a_kernel_as_one() -> None:
    two = beside_boots(patched(PatchKind.PACKAGES, packages=("ledger", "nginx")))
    assert two == int(2 * PACKAGE * (1 + 1 / UNPACKED)) + LISTS
    large = {"ledger": 200 * MIB, "nginx": 1}
    named = patched(PatchKind.PACKAGES, packages=("ledger=1.1", "nginx"))
    assert beside_boots(named, sizes=large) == int((200 * MIB + PACKAGE) * (1 + 1 / UNPACKED)) + LISTS
    kernel = beside_boots(patched(PatchKind.PACKAGES, packages=("linux-image-amd64",)))
    assert kernel == int(LAB.kernel_bytes * (1 + 1 / UNPACKED)) + INITRD + LISTS
    many = beside_boots(patched(PatchKind.PACKAGES, packages=tuple(f"p{n}" for n in range(500))))
    assert many == int(LAB.bytes * (1 + 1 / UNPACKED)) + LISTS, "never more than all that is installed"


def test_a_bundle_counts_unpacked_and_never_more_than_a_whole_system_and_a_kernel() -> None:
    june = patched(PatchKind.ALL, bundle="june")
    assert beside_boots(june, bundle=10 * MIB) == int(10 * MIB * UNPACKED) + INITRD
    assert beside_boots(june, bundle=10**12) == LAB.bytes + LAB.kernel_bytes + INITRD
    assert beside_boots(june, Packages(bytes=1), bundle=10**12) == 1 + KERNEL + INITRD


@pytest.mark.parametrize("kind", [PatchKind.SCRIPT, PatchKind.BY_HAND])
def test_what_nobody_can_know_is_assumed(kind: PatchKind) -> None:
    assert beside_boots(patched(kind, script="x.sh")) == UNKNOWN
    assert beside_boots(repaired(RepairKind.BY_HAND)) == UNKNOWN
    assert beside_boots(repaired(RepairKind.INITRD)) == INITRD


def found(packages: Packages = LAB, full: float = 0.0) -> Machine:
    """The recorded lab machine; `full` replaces the percentage of its pool of 3 GiB."""
    read = machine()
    (group,) = read.volume_groups
    lvs = tuple(replace(lv, data_percent=full) if full and lv.name == "pool" else lv for lv in group.lvs)
    return replace(read, systems=(lab(packages),), volume_groups=(replace(group, lvs=lvs),))


@pytest.mark.parametrize("kind", PatchKind)
@pytest.mark.parametrize("packages", [LAB, Packages()])
def test_a_small_machine_is_not_refused_and_its_plan_says_need_and_room(
    kind: PatchKind, packages: Packages
) -> None:
    made = rehearse.build_plan(found(packages), patched(kind, packages=("ledger",), script="x"), Lineage())
    assert made.expected_bytes == expected_bytes(
        lab(packages), patched(kind, packages=("ledger",), script="x")
    )
    assert (made.pool, made.free_bytes >> 20) == ("vg0/pool", 1849)


def plan_for(verb: Verb, full: float) -> Plan:
    if verb is Verb.REHEARSE:
        return rehearse.build_plan(found(full=full), patched(PatchKind.NOTHING), Lineage())
    return repair.build_plan(found(full=full), repaired(RepairKind.FINISH_PACKAGES), Lineage())


@pytest.mark.parametrize(("verb", "needs"), [(Verb.REHEARSE, 320), (Verb.REPAIR, 832)])
def test_too_little_room_is_one_sentence_with_both_numbers(verb: Verb, needs: int) -> None:
    fits = 80.0 - 100 * (needs + 1) / 3072
    assert plan_for(verb, fits).expected_bytes == needs * MIB
    with pytest.raises(Refused) as refused:
        plan_for(verb, 75.0)
    (sentence,) = refused.value.reasons
    assert (
        f"about {needs} MiB into the thin pool vg0/pool, which has 153 MiB free up to the mark of 80 %"
        in (sentence)
    )


def test_a_pool_that_is_full_already_is_said_once() -> None:
    with pytest.raises(Refused) as refused:
        rehearse.build_plan(machine("pool-full"), patched(PatchKind.ALL), Lineage())
    assert len(refused.value.reasons) == 1
    assert refused.value.reasons[0].startswith("The data of the thin pool vg0/pool is 92 % full")


def test_an_incomplete_group_is_said_once() -> None:
    read = found()
    (group,) = read.volume_groups
    system = replace(read.systems[0], trouble=(trouble.missing_pv(replace(group, missing_pvs=1)),))
    broken = replace(read, systems=(system,), volume_groups=(replace(group, missing_pvs=1),))
    with pytest.raises(Refused) as refused:
        rehearse.build_plan(broken, patched(PatchKind.NOTHING), Lineage())
    assert refused.value.reasons == ("The volume group vg0 is not complete: one physical volume is missing.",)


class Pool:
    def __init__(self, percent: float) -> None:
        self.percent = percent

    def headroom(self) -> Headroom:
        return Headroom("pool", 3072 * MIB, self.percent, 16 * MIB, 1.0, 0)

    def uses(self, root: Snapshot) -> tuple[Use, ...]:
        return (Use("pool", self.percent),)


class Ground:
    def __init__(self, whole: Plan, percent: float) -> None:
        self.whole, self.percent = whole, percent

    def store(self, host: object) -> Pool:
        return Pool(self.percent)

    def snapshot(self, role: SnapshotRole) -> Snapshot:
        return Snapshot("vg0", f"tb1-{role.value}", "root", "tb1", role)


@pytest.mark.parametrize(
    ("percent", "said"),
    [
        (20.0, ""),
        (75.0, "about 320 MiB into the thin pool pool, which has 153 MiB free"),
        (80.0, "80 % full"),
    ],
)
def test_the_run_asks_the_storage_itself_again(tmp_path: Path, percent: float, said: str) -> None:
    whole = plan_for(Verb.REHEARSE, 20.0)
    step = CheckSpace(whole.steps[0], Ground(whole, percent))  # type: ignore[arg-type]
    told: list[object] = []
    ctx = Context(host=None, tell=told.append, cancel=threading.Event())  # type: ignore[arg-type]
    if not said:
        step.do(ctx)
        assert told == [Gauge(name="pool used", text="20 %", fraction=0.2)]
        return
    with pytest.raises(OutOfSpace, match=said):
        step.do(ctx)
