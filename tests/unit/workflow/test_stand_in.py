"""A disk whose controller no twin has: what the installed initrd lets stand in, and what is said of it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import Refused
from appliance.host.run import Command, Output, RealHost
from appliance.model.codec import from_json, to_json
from appliance.model.lineage import Lineage
from appliance.model.machine import Bus, Firmware, Kernel, LoaderEntry, LoaderKind, Machine
from appliance.model.plan import Plan, Request, StandIn, Verb
from appliance.model.verdict import NOT_REHEARSED, Outcome, Result
from appliance.probe.tree import Tree
from appliance.report.text import render_text
from appliance.workflow import catalogue, rehearse, stand_in
from appliance.workflow.descent import descend
from appliance.workflow.places import Places
from appliance.workflow.stand_in import Held, ask_devices, not_tested, started_kernel, with_stand_ins
from appliance.workflow.steps.ground import Ground
from appliance.workflow.steps.verdict import provisional
from tests.unit.boot.test_artifacts import archive
from tests.unit.report.samples import record
from tests.unit.workflow import test_descent, test_promote_plan
from tests.unit.workflow.test_retirement import FOUND
from tests.unit.workflow.var import ground_of

VERSION = "6.1.0-50-amd64"
KERNEL = Kernel(version=VERSION, vmlinuz=f"vmlinuz-{VERSION}", initrd=f"initrd.img-{VERSION}")
MOST = frozenset({"sd_mod", "ahci", "virtio_scsi", "virtio_pci", "ata_piix", "mpt3sas"})
DEP = frozenset({"sd_mod", "mpt3sas", "ata_piix"})
ALL_OF_IT = Held(KERNEL, MOST, MOST)
FOR_ONE = Held(KERNEL, DEP, MOST)
REQUEST = Request(verb=Verb.REHEARSE, emulate=True)


def on(driver: str, bus: Bus = Bus.SCSI, firmware: Firmware = Firmware.BIOS) -> Machine:
    """The thin machine with its disks on another adapter."""
    disks = tuple(replace(disk, bus=bus, driver=driver) for disk in FOUND.disks)
    return replace(FOUND, disks=disks, firmware=firmware)


def nobody() -> frozenset[str]:
    raise AssertionError("QEMU is not asked")


def unread() -> Held:
    raise AssertionError("the initrd is not read")


def devices(*names: str) -> Callable[[], frozenset[str]]:
    return lambda: frozenset(names)


def planned(machine: Machine, held: Held, *there: str, plan: Plan | None = None) -> Plan:
    made = plan or rehearse.build_plan(machine, REQUEST, Lineage())
    return with_stand_ins(made, machine, devices(*there), lambda: held)


@pytest.mark.parametrize("driver", ["", "virtio_blk", "nvme", "ahci", "virtio_scsi"])
def test_what_every_twin_has_asks_nobody(driver: str) -> None:
    plan = rehearse.build_plan(on(driver), REQUEST, Lineage())
    assert with_stand_ins(plan, on(driver), nobody, unread) is plan


def test_a_raid_controller_that_qemu_plays_is_no_stand_in() -> None:
    machine = on("megaraid_sas")
    plan = rehearse.build_plan(machine, REQUEST, Lineage())
    assert with_stand_ins(plan, machine, devices("megasas"), unread) is plan


@pytest.mark.parametrize(
    ("machine", "by"),
    [(on("mpt3sas"), "virtio_scsi"), (on("ata_piix", Bus.SATA), "ahci"), (on("megaraid_sas"), "virtio_scsi")],
)
def test_the_likest_that_the_installed_initrd_holds_stands_in(machine: Machine, by: str) -> None:
    plan = planned(machine, ALL_OF_IT)
    driver = machine.disks[0].driver
    assert plan.stand_ins == tuple(StandIn(disk=disk.path, driver=driver, by=by) for disk in machine.disks)
    assert not plan.direct
    (said,) = [w for w in plan.warnings if "no twin has" in w]
    assert f"({driver}): in the twin {by} stands in for it" in said


def test_under_uefi_a_controller_that_ovmf_can_not_start_from_is_stood_in_for() -> None:
    machine = on("megaraid_sas", firmware=Firmware.UEFI)
    plan = rehearse.build_plan(on("megaraid_sas"), REQUEST, Lineage())
    assert planned(machine, ALL_OF_IT, "megasas", plan=plan).stand_ins[0].by == "virtio_scsi"


def test_where_the_initrd_holds_the_other_one_that_stands_in() -> None:
    held = Held(KERNEL, frozenset({"sd_mod", "ahci", "mpt3sas"}))
    assert planned(on("mpt3sas"), held).stand_ins[0].by == "ahci"


def test_a_driver_without_what_it_needs_does_not_stand_in() -> None:
    held = Held(KERNEL, frozenset({"sd_mod", "virtio_scsi"}), MOST)
    assert planned(on("hpsa"), held).direct, "virtio_pci is not in it"


def test_an_initrd_for_one_machine_is_started_with_drivers_added() -> None:
    plan = planned(on("mpt3sas"), FOR_ONE)
    assert plan.direct and plan.stand_ins[0].by == "virtio_scsi"
    assert "boot loader and initrd are NOT rehearsed" in plan.warnings[-1]
    assert "initrd.img-6.1.0-50-amd64 holds no driver" in plan.warnings[-1]


def test_a_kernel_without_any_such_driver_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        planned(on("mpt3sas"), Held(KERNEL, DEP, DEP))
    (reason,) = refused.value.reasons
    assert "neither the installed initrd initrd.img-6.1.0-50-amd64 nor the modules of its kernel" in reason


def test_another_loader_s_kernel_is_not_started_without_it() -> None:
    (system,) = FOUND.systems
    loader = replace(system.loader, kind=LoaderKind.SYSTEMD_BOOT)
    machine = on("mpt3sas")
    plan = rehearse.build_plan(machine, REQUEST, Lineage())
    plan = replace(plan, system=replace(system, loader=loader))
    with pytest.raises(Refused) as refused:
        planned(machine, FOR_ONE, plan=plan)
    assert "that systemd-boot starts can not be started without it (yet)" in refused.value.reasons[0]
    assert planned(machine, ALL_OF_IT, plan=plan).stand_ins, "by its own loader it can"


def test_the_catalogue_reads_the_system_the_plan_is_for(tmp_path: Path) -> None:
    machine, read = on("mpt3sas"), []

    def initrd(system: str) -> Held:
        read.append(system)
        return FOR_ONE

    descent = descend(machine, None, ())
    places, host = Places(tmp_path), Qemu('name "megasas", bus PCI\n')
    plan = catalogue.build_plan(machine, REQUEST, descent, host, places, initrd=initrd)
    assert plan.direct and read == [machine.systems[0].id]
    assert host.ran == [("qemu-system-x86_64", "-machine", "none", "-device", "help")]


class Qemu:
    """Says what devices it has."""

    def __init__(self, text: str) -> None:
        self.text, self.ran = text, []  # type: tuple[str, list[tuple[str, ...]]]

    def run(self, command: Command) -> Output:
        self.ran.append(tuple(command.argv))
        return Output(0, self.text)


def test_qemu_is_asked_for_its_devices() -> None:
    text = 'Storage devices:\nname "lsi53c895a", bus PCI, alias "lsi"\nname "megasas", bus PCI, desc "x"\n'
    assert ask_devices(Qemu(text)) == {"lsi53c895a", "lsi", "megasas"}


def test_the_kernel_that_is_asked_about_is_the_loader_s_default() -> None:
    (system,) = FOUND.systems
    kernels = tuple(replace(KERNEL, version=v, vmlinuz=f"vmlinuz-{v}") for v in ("6.2", "6.1"))
    entries = (LoaderEntry(title="old", kernel="/vmlinuz-6.1", default=True),)
    found = replace(system, kernels=kernels, loader=replace(system.loader, entries=entries))
    assert started_kernel(found) == kernels[1]
    assert started_kernel(replace(found, loader=replace(system.loader, entries=()))) == kernels[0]
    assert started_kernel(replace(found, kernels=())) is None
    assert started_kernel(replace(found, kernels=(replace(KERNEL, initrd=""),))) is None


def looked_at(tmp_path: Path, plan: Plan) -> Ground:
    ground = dataclasses.replace(ground_of(plan, tmp_path), whole=plan)
    for name in ("control", "patched"):
        ground.work.save(name, test_descent.facts())
    return ground


def test_the_verdict_has_one_check_that_says_who_stood_in(tmp_path: Path) -> None:
    verdict = provisional(looked_at(tmp_path, planned(on("ata_piix", Bus.SATA), ALL_OF_IT)))
    (check,) = [c for c in verdict.checks if c.name == "disk controller"]
    assert (check.outcome, check.after) == (Outcome.NOT_TESTED, "ahci for ata_piix")
    assert verdict.result is Result.PASS, "it is no fault of the patch"
    assert NOT_REHEARSED not in verdict.headline and not verdict.direct


def test_every_report_says_that_loader_and_initrd_were_not_rehearsed(tmp_path: Path) -> None:
    verdict = provisional(looked_at(tmp_path, planned(on("mpt3sas"), FOR_ONE)))
    assert verdict.headline.startswith("PASS, boot loader and initrd NOT rehearsed, ")
    names = [c.name for c in verdict.checks if c.outcome is Outcome.NOT_TESTED]
    assert {"boot loader and initrd", "disk controller"} <= set(names)
    text = render_text(replace(record(), verdict=verdict))
    assert "boot loader and initrd NOT rehearsed" in text
    assert not_tested(rehearse.build_plan(FOUND, REQUEST, Lineage())) == ()


def test_it_is_said_again_before_a_promotion(monkeypatch: pytest.MonkeyPatch) -> None:
    one = StandIn(disk="/dev/sda", driver="mpt3sas", by="virtio_scsi")
    rehearsed = replace(test_promote_plan.REHEARSED, stand_ins=(one,), direct=True)
    monkeypatch.setattr(test_promote_plan, "REHEARSED", rehearsed)
    first, second = test_promote_plan.plan(Verb.PROMOTE).warnings
    assert "in the twin virtio_scsi stood in for it" in first
    assert "started without its boot loader" in second


def test_plans_of_before_have_no_stand_ins() -> None:
    plan = rehearse.build_plan(FOUND, REQUEST, Lineage())
    old = to_json(plan).replace(b'"direct":false,', b"").replace(b'"stand_ins":[],', b"")
    assert b"stand_ins" not in old and b"direct" not in old
    assert from_json(old, Plan, "a plan") == plan


@dataclasses.dataclass
class Opened:
    """An installed system's files: a root with a kernel's modules, and a /boot with an initrd."""

    root: Path
    boot: Path

    @property
    def tree(self) -> Tree:
        return Tree(self.root)

    def boot_trees(self) -> tuple[Tree, ...]:
        return (Tree(self.boot),)


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    made = Opened(tmp_path / "root", tmp_path / "boot")
    folder = made.root / "usr/lib/modules" / VERSION
    (folder / "kernel").mkdir(parents=True)
    (folder / "modules.builtin").write_text("kernel/drivers/scsi/sd_mod.ko\n")
    (folder / "kernel/virtio_scsi.ko.xz").touch()
    made.boot.mkdir()
    modules = [f"usr/lib/modules/{VERSION}/kernel/{name}.ko" for name in ("ahci", "ata_piix")]
    (made.boot / KERNEL.initrd).write_bytes(archive(tmp_path / "initrd", modules))
    looked = contextlib.nullcontext(made)
    monkeypatch.setattr(stand_in, "looked_into", lambda host, machine, system: looked)
    return made


def held() -> Held:
    (system,) = FOUND.systems
    return stand_in.read_initrd(RealHost(), FOUND, replace(system, kernels=(KERNEL,)))


def test_what_is_in_an_initrd_what_is_built_in_and_what_could_be_loaded(opened: Opened) -> None:
    found = held()
    assert found.modules == {"ahci", "ata_piix", "sd_mod"} and found.loadable == {"virtio_scsi"}


def test_a_damaged_initrd_holds_nothing_and_is_left_to_the_control_boot(opened: Opened) -> None:
    (opened.boot / KERNEL.initrd).write_bytes(b"\0" * 4096)
    assert held().modules == {"sd_mod"}


def test_an_initrd_that_is_not_there_is_refused(opened: Opened) -> None:
    (opened.boot / KERNEL.initrd).unlink()
    with pytest.raises(Refused, match="was not found"):
        held()
    (opened.boot / KERNEL.initrd).symlink_to("/etc/passwd")
    with pytest.raises(Refused, match="was not found"):
        held()
