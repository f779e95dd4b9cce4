"""The boot files of an act: read as the loader reads them, kept once, never a reason to stop."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from appliance.errors import CommandFailed
from appliance.host.run import Command, Effect, Output
from appliance.model.machine import Firmware
from appliance.workflow.boot_files import LARGEST, save_boot_files
from appliance.workflow.workplace import Workplace
from tests.unit.report.samples import record

PLAN, MACHINE = record().plan, record().machine
FILES = {"grub/grub.cfg": b"menuentry 'Debian' {}\n", "twinboot/env": b"# GRUB Environment Block\n"}


class Loader:
    """grub-fstest(1) on a /boot that holds `files`; `broken` fails every command."""

    def __init__(self, files: dict[str, bytes], broken: bool = False) -> None:
        self.files, self.broken = files, broken
        self.asked: list[str] = []

    def run(self, command: Command) -> Output:
        assert command.effect is Effect.READ, "a record writes nothing to the machine"
        if self.broken:
            raise CommandFailed("grub-fstest ended with status 1: no such disk")
        if command.argv[0] == "efibootmgr":
            return Output(0, "BootOrder: 0001\n")
        if command.argv[0] != "grub-fstest":
            return Output(0, "")
        if command.argv[2] == "ls":
            names = (name.rpartition("/") for name in self.files)
            return Output(0, " ".join(name for folder, _, name in names if command.argv[3] == f"/{folder}/"))
        _, _, _, inside, out = command.argv
        self.asked.append(inside)
        for name, content in self.files.items():
            if inside.endswith(name):
                Path(out).write_bytes(content)
                return Output(0, "")
        return Output(1, "", "error: file not found.")


def work(tmp_path: Path, firmware: Firmware = Firmware.BIOS) -> Workplace:
    return Workplace(replace(MACHINE, firmware=firmware), "tb1", tmp_path / "runs/tb1", tmp_path)


def kept(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_the_loader_reads_is_kept_and_what_is_not_there_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "boot-before"
    loader = Loader({**FILES, "grub/custom.cfg": b"x" * (LARGEST + 1)})
    save_boot_files(loader, PLAN, work(tmp_path), folder)
    assert kept(folder) == FILES, "no configuration is as large as that one"
    assert len(loader.asked) == 5


def test_the_entries_of_a_loader_that_has_them_in_files_are_kept(tmp_path: Path) -> None:
    files = {"loader/loader.conf": b"timeout 3\n", "loader/entries/debian.conf": b"linux /x\n"}
    save_boot_files(Loader(files), PLAN, work(tmp_path), tmp_path / "b")
    assert kept(tmp_path / "b") == files


def test_uefi_keeps_the_boot_variables_too(tmp_path: Path) -> None:
    save_boot_files(Loader(FILES), PLAN, work(tmp_path, Firmware.UEFI), tmp_path / "b")
    assert kept(tmp_path / "b") == {**FILES, "efibootmgr.txt": b"BootOrder: 0001\n"}


def test_before_stays_what_it_was_when_the_act_goes_on(tmp_path: Path) -> None:
    save_boot_files(Loader(FILES), PLAN, work(tmp_path), tmp_path / "b")
    save_boot_files(Loader({"grub/grub.cfg": b"changed"}), PLAN, work(tmp_path), tmp_path / "b")
    assert kept(tmp_path / "b") == FILES


def test_a_disk_that_does_not_read_stops_nothing(tmp_path: Path) -> None:
    save_boot_files(Loader({}, broken=True), PLAN, work(tmp_path), tmp_path / "b")
    (tmp_path / "a file").write_text("")
    save_boot_files(Loader(FILES), PLAN, work(tmp_path), tmp_path / "a file" / "b")
    assert kept(tmp_path / "b") == {}
