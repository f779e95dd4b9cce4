"""Which machines went the full circle: storage x firmware x loader x bus, as tests here showed it.

A cell is *booted* where every test named for it has passed as it is written now; it has *gone round* where
some were written otherwise then; *recorded* where the tests hold a recorded machine of its kind; *refused*
where that machine's own trouble says so. Stamps of passed tests lie in the lab's cache, and those
worth keeping in `passed.json` beside this file: a table without a stamp claims nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from appliance.host.files import write_atomic
from appliance.model.machine import InstalledSystem, Machine
from tests.fixtures.machines.derive import ELSEWHERE, load
from tests.lab.cache import cache_folder, key_of

HERE = Path(__file__).parent
MACHINES = HERE.parent / "fixtures/machines"
KEPT = HERE / "passed.json"
Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind of machine, in the model's own words, and the tests that take one all the way round.

    A test is named as pytest does it, from this folder. `more` is what else is special of it.
    """

    storage: str
    firmware: str
    loader: str
    bus: str
    tests: tuple[str, ...]
    more: str = ""

    @property
    def key(self) -> Key:
        return (", ".join(filter(None, (self.storage, self.more))), self.firmware, self.loader, self.bus)


def _of(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{file}::test_{name}" for name in names)


def _btrfs(how: str) -> tuple[str, ...]:
    """The tests of a btrfs root whose subvolume is found so."""
    names = (
        "a_btrfs_root_is_rehearsed_and_only_base_sealed_and_trial_stay",
        "the_metal_runs_the_subvolume_that_was_tested_and_keeps_it",
        "home_is_the_same_to_the_last_byte",
        "retired_the_kept_system_has_the_subvolume_s_first_name",
        "rolled_back_the_old_system_runs_and_the_run_can_go",
        "a_promotion_is_refused_once_the_old_system_has_run",
    )
    return _of("test_btrfs.py", *(f"{name}[{how}]" for name in names))


def _partition(fs: str) -> tuple[str, ...]:
    """The tests of a root on a partition kept as that file system."""
    names = (
        "it_is_rehearsed_and_no_byte_of_a_partition_has_changed",
        "the_partition_table_is_among_the_writes_of_a_promotion",
        "the_metal_runs_the_partition_that_was_tested_and_keeps_it",
        "retired_the_kept_system_has_the_old_root_s_number",
        "rolled_back_the_old_system_runs_and_the_run_can_go",
        "a_promotion_is_refused_once_the_old_system_has_run",
    )
    return _of("test_partition_circle.py", *(f"{name}[{fs}]" for name in names))


def _bls(storage: str) -> tuple[str, ...]:
    """The tests of a root kept so, started by GRUB with BLS entries."""
    names = (
        "it_is_rehearsed_and_no_changed_file_is_left_unexplained",
        "the_metal_runs_what_was_tested_and_keeps_it",
        "the_way_back_without_the_stick",
        "rolled_back_and_retired_the_machine_is_what_it_was",
        "retired_the_kept_system_has_the_root_volume_s_name_and_updates_its_kernel",
    )
    return _of("test_bls.py", *(f"{name}[{storage}]" for name in names))


# fmt: off
CELLS = (
    Cell("LVM thin", "bios", "GRUB", "virtio", _of("test_circle.py",
        "the_metal_runs_what_was_tested_and_keeps_it",
        "the_way_back_without_the_stick",
        "retired_the_old_system_is_gone_and_the_kept_one_has_its_name",
        "rolled_back_and_retired_the_machine_is_what_it_was")),
    Cell("LVM thin", "uefi", "GRUB", "nvme", _of("test_way_back.py",
        "good_in_the_twin_bad_on_the_metal_gives_way_by_itself",
        "good_on_both_the_nvme_machine_keeps_it")),
    Cell("LVM thin", "bios", "GRUB", "sata", _of("test_bad_patches.py",
        "a_data_migration_is_named_twice_and_the_ahci_machine_boots_what_was_tested")),
    Cell("LVM thick", "bios", "GRUB", "virtio", _of("test_thick.py",
        "the_metal_runs_the_snapshot_that_was_tested_and_keeps_it",
        "retired_the_kept_system_is_the_root_volume_again",
        "rolled_back_the_old_system_runs_and_the_run_can_go")),
    Cell("LVM thin", "bios", "GRUB", "virtio", _of("test_set_two_disks.py",
        "all_are_rehearsed_and_sealed_in_one_freeze",
        "the_metal_runs_all_as_they_were_tested_and_keeps_them",
        "nothing_else_was_written",
        "retired_all_have_their_first_names_and_it_can_go_round_again",
        "rolled_back_the_old_root_has_what_it_had_beside_it_and_the_run_can_go"), "/usr, /var, 2 disks"),
    Cell("LVM thin", "bios", "GRUB", "virtio", _of("test_luks.py",
        "it_is_rehearsed_in_a_twin_that_is_encrypted_in_form_only",
        "the_metal_runs_what_was_tested_and_keeps_it",
        "rolled_back_and_retired_the_machine_is_what_it_was",
        "retired_the_kept_system_has_the_root_volume_s_name"), "LUKS"),
    Cell("LVM thin", "bios", "GRUB", "virtio", _of("test_luks_screen.py",
        "it_is_rehearsed_in_a_twin_that_is_told_by_its_keyboard",
        "the_metal_runs_what_was_tested_and_keeps_it",
        "rolled_back_and_retired_the_machine_is_what_it_was",
        "retired_the_kept_system_has_the_root_volume_s_name"), "LUKS, asked on the screen"),
    Cell("LVM thin", "bios", "GRUB", "virtio", _of("test_md.py",
        "looking_writes_nothing_and_counts_nothing",
        "it_is_rehearsed_in_a_twin_that_has_the_array",
        "the_metal_runs_what_was_tested_and_keeps_it",
        "rolled_back_and_retired_the_machine_is_what_it_was",
        "retired_through_a_power_cut_the_kept_system_has_the_root_volume_s_name"), "MD RAID 1"),
    Cell("LVM thick", "bios", "GRUB", "virtio", _of("test_md_thick.py",
        "it_is_rehearsed_in_a_twin_that_has_the_array",
        "the_metal_runs_what_was_tested_and_keeps_it",
        "rolled_back_and_retired_the_machine_is_what_it_was",
        "retired_the_kept_system_is_the_root_volume_again"), "MD RAID 1"),
    Cell("LVM thin", "uefi", "GRUB", "virtio", _of("test_md_boot.py",
        "boot_is_found_by_a_leg_and_looking_writes_nothing",
        "it_is_rehearsed_in_a_twin_that_has_both_arrays",
        "the_metal_runs_what_was_tested_and_keeps_it",
        "rolled_back_and_retired_the_machine_is_what_it_was",
        "retired_the_kept_system_has_the_root_volume_s_name"), "MD RAID 1, /boot too"),
    Cell("LVM thin", "uefi", "GRUB", "virtio", _of("test_boot_on_lvm.py",
        "boot_is_found_on_its_volume_and_the_plan_names_the_esp",
        "it_is_rehearsed_and_no_changed_file_is_left_unexplained",
        "the_metal_runs_what_was_tested_and_keeps_it",
        "rolled_back_and_retired_the_machine_is_what_it_was",
        "retired_the_kept_system_has_the_root_volume_s_name"), "/boot on LVM"),
    Cell("btrfs", "bios", "GRUB", "virtio", _btrfs("@"), "@"),
    Cell("btrfs", "bios", "GRUB", "virtio", _btrfs("default"), "default"),
    Cell("LVM thick", "bios", "GRUB", "virtio", _of("test_luks_thick.py",
        "a_thick_root_inside_luks_is_rehearsed_and_kept",
        "a_trial_that_nobody_lets_in_gives_way_to_the_old_system",
        "rolled_back_and_retired_the_machine_is_what_it_was",
        "retired_the_kept_system_is_the_root_volume_again"), "LUKS"),
    Cell("partition", "bios", "GRUB", "virtio", _partition("ext4"), "ext4"),
    Cell("partition", "bios", "GRUB", "virtio", _partition("xfs"), "xfs"),
    Cell("partition", "bios", "GRUB", "virtio", _of("test_named_partition.py",
        "it_is_rehearsed_and_neither_table_nor_another_partition_has_changed",
        "the_metal_runs_the_partition_that_was_named_and_keeps_it",
        "retired_through_a_power_cut_the_two_have_changed_places",
        "rolled_back_and_undone_the_table_is_what_it_was"), "ext4, into a named one"),
    Cell("partition", "bios", "GRUB", "virtio", _of("test_boot_in_root.py",
        "it_is_rehearsed_and_no_byte_of_a_partition_has_changed",
        "what_is_written_into_the_old_root_is_said_beforehand",
        "the_metal_runs_what_was_tested_and_keeps_it",
        "rolled_back_and_retired_the_machine_is_what_it_was",
        "kept_its_own_grub_cfg_decides_and_its_next_kernel_boots",
        "back_by_hand_without_the_stick"), "ext4, /boot inside"),
    Cell("LVM thin", "uefi", "systemd-boot", "virtio", _of("test_systemd_boot.py",
        "the_metal_runs_what_was_tested_and_keeps_it_by_its_own_kernel_install",
        "rolled_back_and_retired_the_machine_is_what_it_was",
        "retired_the_kept_system_has_the_root_volume_s_name",
        "good_in_the_twin_bad_on_the_metal_gives_way_by_itself")),
    Cell("LVM thin", "uefi", "systemd-boot", "virtio", _of("test_uki.py",
        "it_is_rehearsed_by_its_own_loader_and_images",
        "the_metal_runs_what_was_tested_and_keeps_it_by_an_image_of_its_own",
        "rolled_back_and_retired_the_machine_is_what_it_was",
        "retired_the_kept_system_has_the_root_volume_s_name_and_images_of_its_own"), "Debian 13, UKI"),
    Cell("LVM thin", "uefi", "GRUB", "virtio", _of("test_debian13.py",
        "it_is_rehearsed_and_no_changed_file_is_left_unexplained",
        "the_metal_runs_what_was_tested_and_keeps_it",
        "the_way_back_without_the_stick",
        "rolled_back_and_retired_the_machine_is_what_it_was",
        "retired_the_kept_system_has_the_root_volume_s_name_and_updates_its_kernel"), "Debian 13"),
    Cell("LVM thin", "bios", "GRUB", "virtio", _bls("thin"), "Debian 13, BLS"),
    Cell("LVM thick", "bios", "GRUB", "virtio", _bls("thick"), "Debian 13, BLS, XFS"),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Stamp:
    """The day a test last passed, as 2026-12-31, and the key of its file then."""

    day: str
    code: str


Stamps = dict[str, Stamp]
"""By test."""


def _stamps_file() -> Path:
    return cache_folder() / "cells.json"


def stamps() -> Stamps:
    """Of this computer and those kept, whichever is the later of a test's."""
    kept, here = _read(KEPT), _read(_stamps_file())
    return kept | {test: stamp for test, stamp in here.items() if stamp.day >= kept.get(test, stamp).day}


def keep() -> None:
    """Put the stamps of this computer among those that go with the code."""
    known = {test: stamp for test, stamp in stamps().items() if any(test in cell.tests for cell in CELLS)}
    write_atomic(KEPT, _text_of(known))


def _read(file: Path) -> Stamps:
    """Nothing where there is no such file, or where it is damaged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Stamps)
    except (OSError, msgspec.DecodeError):
        return {}


def _text_of(known: Stamps) -> bytes:
    return msgspec.json.format(msgspec.json.encode(known, order="sorted"), indent=1) + b"\n"


def _key_of_test(test: str) -> str:
    """Of the file as text: its syntax tree differs from one Python to the next, and stamps outlive both."""
    return key_of((HERE / test.partition("::")[0]).read_text())


def stamp(test: str) -> None:
    """Record that a test of a cell passed just now."""
    known = _read(_stamps_file())
    known[test] = Stamp(time.strftime("%Y-%m-%d", time.gmtime()), _key_of_test(test))
    write_atomic(_stamps_file(), _text_of(known))


def said_of(cell: Cell) -> str:
    """What is known of a cell that has tests; the day is that of its oldest one."""
    known = {test: passed for test, passed in stamps().items() if test in cell.tests}
    days = [passed.day for passed in known.values()]
    now = sum(passed.code == _key_of_test(test) for test, passed in known.items())
    if now == len(cell.tests):
        return f"booted, last {min(days)}"
    passed = f"{now} of {len(cell.tests)} passed"
    if len(known) == len(cell.tests):
        return f"gone round {min(days)}, but its tests have changed since ({passed} as they are)"
    return f"not seen by these tests ({passed})"


def _recorded() -> Iterator[tuple[Key, str]]:
    """The recorded machines' cells and what stands against each."""
    for file in sorted(MACHINES.glob("*.json")):
        machine = load(file.stem)
        for system in machine.systems:
            refusals = [t.sentence for t in (*machine.trouble, *system.trouble) if t.refuses]
            known = "recorded: configuration only" if file.stem in ELSEWHERE else "recorded"
            yield _cell_of(machine, system), f"refused: {refusals[0]}" if refusals else known


def _cell_of(machine: Machine, system: InstalledSystem) -> Key:
    group = machine.vg(system.root.vg)
    disk = machine.disk_of(group.pvs[0].path if group else system.root.device)
    bus = disk.bus.value if disk else "?"
    return (system.root.storage.value, machine.firmware.value, system.loader.name, bus)


def table() -> str:
    """The table as the suite and `python -m tests.lab cells` print it."""
    rows = {cell.key: said_of(cell) for cell in CELLS}
    recorded: dict[Key, str] = {}
    for key, said in _recorded():
        if key not in rows and recorded.get(key) != "recorded":
            recorded[key] = said
    head = f"{'STORAGE':23} {'FIRMWARE':8} {'LOADER':21} {'BUS':7} SEEN"
    every = sorted((rows | recorded).items())
    return "\n".join([head, *(f"{a:23} {b:8} {c:21} {d:7} {said}" for (a, b, c, d), said in every)])


@dataclass(eq=False)
class Stamping:
    """The pytest plugin: stamps what passes, prints the table where a test of a cell ran.

    Compared by identity: pytest keeps its plugins in sets.
    """

    ran: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.removeprefix("tests/e2e/")
        if report.when == "call" and any(test in cell.tests for cell in CELLS):
            self.ran.append(test)
            if report.passed:
                stamp(test)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.ran:
            terminalreporter.section("machines that went the full circle")
            terminalreporter.write_line(table())
