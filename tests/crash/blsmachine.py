"""The machine of a disk and GRUB only whose GRUB is 2.14 and makes its entries of loader/entries (blscfg)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from appliance.boot.shapes import BootFile, StagedSystem
from tests.crash import grubmachine, lab
from tests.crash.grubmachine import OLD, START, UUID
from tests.crash.lab import NEW, OLD_ROOT
from tests.crash.tinykernel import tiny_kernel

GRUB_CFG = Path(__file__).parents[1] / "unit/boot/debian13-bls-grub.cfg"
ID = "7f1b3c5d9e2a4b6c8d0e1f2a3b4c5d6e"
OLDER = "6.1.0-12-amd64"


def name_of(version: str, id: str = ID) -> str:
    """What kernel-install calls the entry of a kernel; with .conf its file."""
    return f"{id}-{version}"


def file_of(version: str, id: str = ID) -> str:
    return f"loader/entries/{name_of(version, id)}.conf"


FILES = tuple(f"{ID}-{version}.conf" for version in (NEW, OLD, OLDER))
"""Those of every kernel that the tests have, as blscfg lists them."""


def entry(version: str, root: str = OLD_ROOT) -> str:
    """A kernel's entry, as the system's own plugin of kernel-install writes it."""
    return (
        f"title Debian GNU/Linux ({version}) 13 (trixie)\n"
        f"version {version}\n"
        f"linux /vmlinuz-{version}\n"
        f"initrd /initrd.img-{version}\n"
        f"options root={root} ro console=ttyS0,115200 quiet\n"
        "grub_users $grub_users\n"
        "grub_arg --unrestricted\n"
        "grub_class kernel\n"
    )


def grubenv(saved: str = "") -> bytes:
    said = f"# GRUB Environment Block\n{f'saved_entry={saved}{chr(10)}' if saved else ''}"
    return said.encode().ljust(1024, b"#")


def config() -> str:
    """The grub.cfg of a machine with such a GRUB, for this disk."""
    return GRUB_CFG.read_text().replace("6f2c8e1a-57b4-4a0e-9d53-1c7e0b2f4a61", UUID)


def build(disk: Path, work: Path, platform: Path) -> None:
    """With two kernels, the newer one saved as the default; `platform` has the modules of that GRUB."""
    grubmachine.lay_out(disk, (START,))
    grubmachine.install_grub(disk, work, "(,gpt2)/grub", platform=platform)
    grubmachine.make_file_system(disk, work, START, UUID)
    with grubmachine.mounted(disk, work / "m") as (at, _):
        text = config().replace("set timeout=2", "set timeout=0").replace("set timeout=5", "set timeout=0")
        grubmachine.fill(at, text, platform)
        (at / "loader/entries").mkdir(parents=True)
        for version in (OLD, OLDER):
            (at / f"loader/entries/{name_of(version)}.conf").write_text(entry(version))
        (at / "grub/grubenv").write_bytes(grubenv(name_of(OLD)))


def wanted(folder: Path, run: str = "tb1", id: str = ID) -> StagedSystem:
    """A new system with the new kernel and the old one, and the entries that the twin's packages made."""
    plain = lab.wanted(folder, run)
    files = [*plain.artifacts.files]
    for name, data in (
        (f"vmlinuz-{OLD}", tiny_kernel(f"kernel {OLD}", 60_000)),
        (f"initrd.img-{OLD}", f"initrd {OLD}".encode() + b"\0" * 5000),
    ):
        files.append(_written(folder, name, data))
    (folder / "loader/entries").mkdir(parents=True, exist_ok=True)
    entries = [_written(folder, file_of(v, id), entry(v, plain.old_root).encode()) for v in (NEW, OLD)]
    named = tuple(msgspec.structs.replace(e, name=e.name.rpartition("/")[2]) for e in entries)
    artifacts = msgspec.structs.replace(plain.artifacts, files=tuple(files), entries=named)
    return msgspec.structs.replace(plain, artifacts=artifacts)


def _written(folder: Path, name: str, data: bytes) -> BootFile:
    (folder / name).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return BootFile(name=name, source=str(folder / name), sha256=digest, size=len(data))


def root_named(text: bytes) -> str:
    """The root in an entry's options."""
    return text.decode().partition("root=")[2].split()[0]
