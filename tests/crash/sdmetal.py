"""The machines of systemd-boot's trials: the sh file itself, over a folder that stands for the ESP."""

from __future__ import annotations

import hashlib
from pathlib import Path

from appliance.boot import efivars
from appliance.boot.efivars import EfiVariables
from appliance.boot.flip import RealDisk
from appliance.boot.place import Boot, BootPlace
from appliance.host.run import Command, Output
from tests.crash.lab import NEW, NEW_ROOT, wanted
from tests.crash.metal import Metal
from tests.crash.modeldisk import Place
from tests.crash.sdmachine import ID, LOADER, installed, installed_images, place_of, starts, wanted_image
from tests.crash.tinyimage import sections_of


class Still:
    """A host whose freeze has nothing to do."""

    def run(self, command: Command) -> Output:
        return Output(0, "")


class Folder:
    """RawBoot that sees what Linux sees."""

    def __init__(self, disk: RealDisk) -> None:
        self.disk = disk

    def read(self, path: str) -> bytes | None:
        return self.disk.read(path)

    def names(self, path: str) -> tuple[str, ...]:
        return self.disk.names(path)

    def sha256(self, path: str) -> str | None:
        data = self.disk.read(path)
        return None if data is None else hashlib.sha256(data).hexdigest()

    def part(self, path: str, offset: int, length: int) -> bytes | None:
        data = self.disk.read(path)
        return None if data is None else data[offset : offset + length]


def files_of(place: Place) -> dict[str, bytes]:
    return {p: place.read(p) or b"" for p, inode in place.names.items() if inode in place.inodes}


class Machine:
    """An ESP as a folder, variables as files, and the trial's own system around the sh file."""

    def __init__(self, work: Path, version: str = NEW) -> None:
        self.esp, self.work = work / "esp", work / "metal"
        for path, data in self.installed().items():
            (self.esp / path).parent.mkdir(parents=True, exist_ok=True)
            (self.esp / path).write_bytes(data)
        (self.esp / "loader/entries").mkdir(exist_ok=True)
        (self.work / "efivars").mkdir(parents=True)
        (self.work / "efivars/Boot0000-x").touch()
        disk = RealDisk(Still(), self.esp)
        place = BootPlace(mount=self.esp, device="", fstype="vfat", fsuuid="", target="/boot/efi")
        self.boot = Boot(place, disk, Folder(disk), EfiVariables(self.work / "efivars"))
        self.want = wanted(work / "new", version=version, tag="" if version == NEW else "-b")
        self.metal = Metal(self.work, self.esp, loader="systemd-boot", machine_id=ID)
        (self.work / "release").write_text(version + "\n")
        (self.work / "kernels").mkdir()
        for name in (f"vmlinuz-{version}", f"initrd.img-{version}"):
            (self.work / "kernels" / name).write_bytes((work / "new" / name).read_bytes())
        (self.work / "etc-kernel").mkdir()
        (self.work / "etc-kernel/cmdline").write_text(f"root={NEW_ROOT} ro quiet systemd.machine_id={ID}\n")
        (self.work / "etc-kernel/tries").write_text("3\n")

    @staticmethod
    def installed() -> dict[str, bytes]:
        return files_of(installed())

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.esp)): p.read_bytes() for p in self.esp.rglob("*") if p.is_file()}

    @property
    def variables(self) -> dict[str, str]:
        names = (efivars.ONE_SHOT, efivars.DEFAULT)
        return {n: v for n in names if (v := self.boot.variables.read(n)) is not None}

    def on_trial(self, *, cleared: bool = True) -> None:
        LOADER.stage(self.boot, self.want)
        LOADER.arm(self.boot, "tb1")
        if cleared:
            self.boot.variables.remove(efivars.ONE_SHOT)

    def starts(self) -> tuple[str, ...]:
        return starts(place_of(self.files()), self.variables)


class Unified(Machine):
    """An ESP with unified images; /boot holds kernel and initrd that go into the next one."""

    def __init__(self, work: Path, version: str = NEW) -> None:
        super().__init__(work, version)
        tag = "" if version == NEW else "-b"
        self.want = wanted_image(work / "image", version=version, tag=tag)
        self.metal.unified = True
        found = sections_of((work / "image" / self.want.artifacts.kernel).read_bytes()) or {}
        (self.work / f"kernels/vmlinuz-{version}").write_bytes(found[".linux"])
        (self.work / f"kernels/initrd.img-{version}").write_bytes(found[".initrd"])
        (self.work / "etc-kernel/install.conf").write_text("layout=uki\n")
        (self.work / "etc-kernel/uki.conf").write_text("[UKI]\n")

    @staticmethod
    def installed() -> dict[str, bytes]:
        return files_of(installed_images())
