"""What goes behind an initrd: the drivers that were asked for with all they need, and who loads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.boot.extra_initrd import WORD, archive, behind, kernel_version
from appliance.boot.initrd import initrd_files, initrd_names
from appliance.errors import BootConfigFailed
from appliance.host.run import Command, Output

VERSION = "6.1.0-50-amd64"
DEP = """kernel/drivers/scsi/virtio_scsi.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/scsi/scsi_mod.ko
kernel/drivers/scsi/scsi_mod.ko:
kernel/drivers/virtio/virtio.ko:
kernel/drivers/virtio/virtio_pci.ko.xz: kernel/drivers/virtio/virtio.ko
kernel/drivers/scsi/other.ko:
"""


class Depmod:
    """Says what it was asked to index; writes what it would."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []

    def run(self, command: Command) -> Output:
        self.ran.append(tuple(command.argv))
        (Path(command.argv[2]) / "lib/modules" / command.argv[3] / "modules.dep.bin").write_bytes(b"index")
        return Output(0, "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A kernel's modules, each file holding its own path."""
    at = tmp_path / "root/lib/modules" / VERSION
    at.mkdir(parents=True)
    (at / "modules.dep").write_text(DEP)
    (at / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    for line in DEP.splitlines():
        file = at / line.partition(":")[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(file))
    return at


def packed(folder: Path, tmp_path: Path, *modules: str) -> tuple[dict[str, bytes], Depmod]:
    """What is in the archive, behind an initrd of one file."""
    host, first, whole = Depmod(), tmp_path / "first", tmp_path / "whole"
    (tmp_path / "init").write_text("#!/bin/sh\n")
    words = ["cpio", "--quiet", "-o", "-H", "newc"]
    first.write_bytes(
        subprocess.run(words, input=b"init\n", cwd=tmp_path, capture_output=True, check=True).stdout
    )
    behind((first,), archive(host, folder, VERSION, modules, tmp_path), whole)
    names = frozenset(initrd_names(host, whole))
    return initrd_files(host, whole, names), host


def test_drivers_and_what_they_need_lie_in_a_folder_of_their_own(folder: Path, tmp_path: Path) -> None:
    files, host = packed(folder, tmp_path, "virtio_pci", "virtio_scsi")
    at = f"twinboot/lib/modules/{VERSION}"
    inside = {name for name in files if name.startswith(f"{at}/kernel") and ".ko" in name}
    assert inside == {
        f"{at}/kernel/drivers/scsi/virtio_scsi.ko",
        f"{at}/kernel/drivers/scsi/scsi_mod.ko",
        f"{at}/kernel/drivers/virtio/virtio.ko",
        f"{at}/kernel/drivers/virtio/virtio_pci.ko.xz",
    }
    assert files[f"{at}/modules.dep.bin"] == b"index" and f"{at}/modules.builtin" in files
    assert files["twinboot/usr"] == b".", "/usr/lib/modules is /lib/modules"
    assert files["init"] == b"#!/bin/sh\n", "what was there is not replaced"
    assert host.ran == [("depmod", "-b", str(tmp_path / "twinboot"), VERSION)]
    assert not (tmp_path / "twinboot").exists()


def test_its_first_program_loads_them_and_is_the_one_it_stands_for(folder: Path, tmp_path: Path) -> None:
    files, _ = packed(folder, tmp_path, "virtio_pci", "virtio_scsi")
    assert WORD == "rdinit=/twinboot/init"
    text = files["twinboot/init"].decode()
    said = tmp_path / "said"
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "modprobe").write_text(f'#!/bin/sh\necho "$@" >>{said}\n[ "$3" != virtio_pci ]\n')
    (tools / "modprobe").chmod(0o755)
    tried = tmp_path / "tried"
    tried.write_text(text.replace("PATH=", f"PATH={tools}:").replace("exec /init", "exec echo init"))
    out = subprocess.run(["sh", tried, "splash"], capture_output=True, text=True, check=True)
    assert said.read_text() == "-d /twinboot virtio_pci\n-d /twinboot virtio_scsi\n"
    assert out.stdout.splitlines() == ["twinboot: virtio_pci was not loaded", "init splash"]


def test_a_list_of_needs_that_leads_out_of_its_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.ko").write_text("no")
    up = "../../../../secret.ko"
    (folder / "modules.dep").write_text(f"kernel/drivers/scsi/other.ko: {up} {tmp_path}/secret.ko\n")
    files, _ = packed(folder, tmp_path, "other")
    assert not any("secret" in name for name in files)


def test_what_is_built_in_or_not_there_is_left_to_modprobe(folder: Path, tmp_path: Path) -> None:
    (folder / "modules.dep").unlink()
    files, _ = packed(folder, tmp_path, "ext4", "virtio_scsi")
    assert not any(name.endswith(".ko") for name in files)
    assert b"for module in ext4 virtio_scsi; do" in files["twinboot/init"]


def test_each_part_begins_where_linux_looks_for_it(folder: Path, tmp_path: Path) -> None:
    odd, whole = tmp_path / "odd", tmp_path / "whole"
    odd.write_bytes(b"x" * 5)
    behind((odd, odd), b"more", whole)
    assert whole.read_bytes() == b"xxxxx\0\0\0xxxxx\0\0\0more"


def bzimage(path: Path, version: bytes, magic: bytes = b"HdrS") -> Path:
    head = bytearray(0x4000)
    head[0x202:0x206] = magic
    head[0x20E:0x210] = (0x3000).to_bytes(2, "little")
    head[0x3200 : 0x3200 + len(version)] = version
    path.write_bytes(head)
    return path


def test_a_kernel_says_which_version_it_is(tmp_path: Path) -> None:
    said = b"6.1.0-50-amd64 (debian-kernel@lists.debian.org) #1 SMP"
    assert kernel_version(bzimage(tmp_path / "vmlinuz", said)) == VERSION


@pytest.mark.parametrize(("version", "magic"), [(b"6.1", b"MZMZ"), (b"", b"HdrS")])
def test_what_is_no_kernel_is_not_started(tmp_path: Path, version: bytes, magic: bytes) -> None:
    with pytest.raises(BootConfigFailed, match="vmlinuz"):
        kernel_version(bzimage(tmp_path / "vmlinuz", version, magic))


def test_a_folder_left_by_a_run_cut_short_is_made_anew(folder: Path, tmp_path: Path) -> None:
    left = tmp_path / "twinboot/lib/old.ko"
    left.parent.mkdir(parents=True)
    left.write_text("left")
    files, _ = packed(folder, tmp_path, "virtio_scsi")
    assert not any("old.ko" in name for name in files)
