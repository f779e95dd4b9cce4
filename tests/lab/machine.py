"""A virtual bare-metal machine: switch it on, cut its power, talk to its serial line, ask what it booted."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.lab import disks
from tests.lab.acceleration import accelerator
from tests.lab.console import Console
from tests.lab.emulator import Emulator, frames
from tests.lab.firmware import UEFI
from tests.lab.hardware import SITE, Attached, Hardware, command_line
from tests.lab.installed import InstalledSystem
from tests.lab.mail import MailServer
from tests.lab.native import LabError, run
from tests.lab.proof import ProofOfBoot, prove
from tests.lab.repository import WebServer

IPXE = f"http://{SITE}/pxe/boot.ipxe"


class Machine:
    """One machine with its own folder; the disk is an overlay, what it was made from is never written.

    Use as a context manager: at the end it is switched off hard and its folder removed, unless `folder`
    was given.
    """

    def __init__(
        self,
        disk: Path,
        hardware: Hardware | None = None,
        *,
        variables: Path | None = None,
        folder: Path | None = None,
        site: dict[str, Path] | None = None,
        more: tuple[Path, ...] = (),
    ) -> None:
        self.hardware = hardware or Hardware()
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="twinboot-machine-", dir="/var/tmp"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.site = WebServer(dict(site or {}))
        self.mail: list[str] = []
        """Every message the machine has sent to 10.0.2.100 port 25, in order."""
        self._mail: MailServer | None = None
        self.cable = True
        """Whether its network card is connected, from the next power-on."""
        self._generation = 0
        self.disk = disks.overlay(disk, self._next_disk())
        self._before: Path | None = None
        self._log: Path | None = None
        self._variables: Path | None = None
        if self.hardware.firmware == UEFI:
            if variables is None:
                raise LabError("a UEFI machine needs a variable store.")
            self._variables = self.folder / "vars.fd"
            shutil.copyfile(variables, self._variables)
        self.more = [disks.overlay(image, self._next_disk()) for image in more]
        """Its further disks: those of its system, then those of `hardware`."""
        self.more += [disks.empty(self._next_disk(), size) for size in self.hardware.extra_disks]
        self._stick: Path | None = None
        self._disc: Path | None = None
        self._pxe: Path | None = None
        self._bootfile = IPXE
        self._emulator: Emulator | None = None
        self._logged_in = False

    @classmethod
    def with_system(
        cls,
        system: InstalledSystem,
        hardware: Hardware | None = None,
        *,
        folder: Path | None = None,
        site: dict[str, Path] | None = None,
    ) -> Machine:
        """A machine whose disk holds `system`; its firmware must be the system's."""
        wanted = hardware or Hardware(firmware=system.spec.firmware)
        if wanted.firmware != system.spec.firmware:
            raise LabError(f"a {system.spec.firmware} system does not start on a {wanted.firmware} machine.")
        return cls(
            system.disk, wanted, variables=system.variables, folder=folder, site=site, more=system.more
        )

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.kill()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def add_disk(self, image: Path) -> Path:
        """Build in one more disk that holds what the raw `image` does; its qcow2, which takes the writes."""
        self._must_be_off("have a disk built in")
        self.more.append(disks.overlay(image, self._next_disk(), "raw"))
        return self.more[-1]

    # ---- media, while off -------------------------------------------------------------------------------

    def insert_stick(self, image: Path, size: int | None = None) -> None:
        """Plug a stick that is a copy-on-write view of the raw `image`; it is first in the boot order.

        `size` in MiB, when the stick is larger than the image, as real ones are.
        """
        self._must_be_off("plug a stick")
        self._stick = self.folder / f"stick{time.monotonic_ns()}.qcow2"
        disks.overlay(image, self._stick, "raw")
        if size is not None:
            run("qemu-img", "resize", "-q", self._stick, f"{size}M")

    def pull_stick(self) -> Path | None:
        """Unplug the stick; returns its qcow2, which holds what was written to it."""
        self._must_be_off("unplug the stick")
        stick, self._stick = self._stick, None
        return stick

    def insert_disc(self, image: Path | None) -> None:
        """Give the machine `image` as its BMC's virtual media, first in the boot order; None: none."""
        self._must_be_off("change a disc")
        self._disc = image

    def net_boot(self, folder: Path | None, bootfile: str = IPXE) -> None:
        """Boot from the network first: TFTP serves `folder`, HTTP the same at 10.0.2.100/pxe/.

        `bootfile` is what DHCP names: a file by TFTP, or an address for the iPXE in the network card's ROM.
        """
        self._must_be_off("change the boot order")
        self._pxe, self._bootfile = folder, bootfile
        if folder is None:
            self.site.folders.pop("pxe", None)
        else:
            self.site.folders["pxe"] = folder

    # ---- power ------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self._emulator is not None and self._emulator.running

    @property
    def processor_seconds(self) -> float:
        """Processor time QEMU has used since power on: comparable between a busy and a quiet machine."""
        return self._alive().processor_seconds

    def power_on(self) -> Console:
        """Switch on; returns the serial console (ttyS0) from its first byte on."""
        self._must_be_off("be switched on")
        self._logged_in = False
        if self.hardware.write_log:
            self._before = self.disk
            self._log = self.folder / f"writes-{self._generation}.log"
            self._log.touch()
            self.disk = disks.overlay(self._before, self._next_disk())
        self.site.start()
        self._mail = MailServer(self.mail)
        around = Attached(
            self.folder,
            self.disk,
            self._log,
            self._variables,
            self._stick,
            self._disc,
            self._pxe,
            self._bootfile,
            self.site.port,
            self._mail.port,
            accelerator(self.hardware.acceleration),
            tuple(self.more),
        )
        try:
            self._emulator = Emulator(command_line(self.hardware, around), self.folder)
        except LabError:
            self._servers_down()
            raise
        if not self.cable:
            self._emulator.qmp.command("set_link", name="net0", up=False)
        return self._emulator.console

    def power_off(self, limit: float = 400.0) -> None:
        """Press the power button and wait until the system has shut down."""
        self._alive().qmp.command("system_powerdown")
        self.wait_off(limit)

    def wait_off(self, limit: float = 400.0) -> None:
        """Wait until the machine switches itself off."""
        self._started().wait(limit)
        self._servers_down()

    def reset(self) -> None:
        """Press the reset button."""
        self._alive().qmp.command("system_reset")
        self._logged_in = False

    def power_cut(self, seed: int | None = None) -> None:
        """Pull the plug. With `write_log`, what the disk had not been told to flush is lost (or, with `seed`,
        a chosen half of it arrives, in any order); without, only what QEMU itself still held is lost.
        """
        self._alive()
        self.kill()
        if self._log is not None and self._before is not None:
            log = disks.write_log(self._log)
            self.disk = disks.replay(self._before, disks.survivors(log, seed), self._next_disk())

    def kill(self) -> None:
        """Stop QEMU at once, if it runs."""
        if self._emulator is not None and self._emulator.running:
            self._emulator.kill()
        self._servers_down()

    # ---- lines, picture, wire -----------------------------------------------------------------------------

    @property
    def console(self) -> Console:
        """ttyS0."""
        return self._started().console

    @property
    def debug(self) -> Console:
        """ttyS1: a root shell where the kernel was started with systemd.debug_shell=ttyS1."""
        return self._started().debug

    def shell(self, limit: float = 900.0) -> Console:
        """The serial console with root logged in (once per boot), fit for `run` and `read`."""
        if not self._logged_in:
            self.console.login(limit=limit)
            self._logged_in = True
        return self.console

    def rebooted(self) -> None:
        """Say that the system has been told to reboot: `shell` logs in anew."""
        self._logged_in = False

    def screenshot(self, target: Path) -> Path:
        """Write what the monitor shows to `target` (PNG)."""
        self._alive().qmp.command("screendump", filename=str(target), format="png")
        return target

    def vga_text(self) -> str:
        """What a screen in text mode shows, 25 rows of 80: every other byte of the card's memory."""
        dump = self.folder / "vga.bin"
        self._alive().qmp.command("pmemsave", val=0xB8000, size=4000, filename=str(dump))
        cells = dump.read_bytes()[::2].decode("cp437").replace("\0", " ")
        return "\n".join(cells[at : at + 80].rstrip() for at in range(0, len(cells), 80))

    def press(self, *keys: str) -> None:
        """Keys of the machine's keyboard, held down together, by QEMU's names for them (QKeyCode)."""
        self._alive().qmp.command("send-key", keys=[{"type": "qcode", "data": key} for key in keys])

    def frames(self) -> list[bytes]:
        """Every Ethernet frame that went over the machine's network card since power on, both ways."""
        return frames(self.folder / "net.pcap")

    # ---- disk -----------------------------------------------------------------------------------------

    def region_hash(self, offset: int, size: int) -> str:
        """SHA-256 of `size` bytes at `offset` of the disk, while off."""
        self._must_be_off("have its disk hashed")
        return disks.region_hash(self.disk, offset, size)

    def written(self) -> list[disks.Write]:
        """Writes and discards to the disk since power on (flushes left out); needs `write_log`."""
        if self._log is None:
            raise LabError("this machine keeps no write log.")
        return [entry for entry in disks.write_log(self._log) if entry.size]

    def fork(self, hardware: Hardware | None = None, folder: Path | None = None) -> Machine:
        """A second machine that goes on from this one's disk and variables; neither sees the other's writes.

        The stick is forked as well. Both must be closed; this one last, as the other reads its files.
        """
        self._must_be_off("be forked")
        frozen, more = self.disk, tuple(self.more)
        wanted = hardware or replace(self.hardware, extra_disks=())  # they are among `more`
        site = self.site.folders
        other = Machine(frozen, wanted, variables=self._variables, folder=folder, site=site, more=more)
        self.disk = disks.overlay(frozen, self._next_disk())
        self.more = [disks.overlay(image, self._next_disk()) for image in more]
        other.cable = self.cable
        if self._stick is not None:
            held = self._stick
            other._stick = disks.overlay(held, other.folder / "stick.qcow2")
            self._stick = disks.overlay(held, self.folder / f"stick{time.monotonic_ns()}.qcow2")
        return other

    # ---- proof --------------------------------------------------------------------------------------------

    def proof_of_boot(self, limit: float = 900.0) -> ProofOfBoot:
        """Wait until all units have started, then ask which root, which kernel, which ledger."""
        return prove(self.shell(limit), limit)

    # ---- within ---------------------------------------------------------------------------------------

    def _started(self) -> Emulator:
        if self._emulator is None:
            raise LabError("the machine was never on.")
        return self._emulator

    def _alive(self) -> Emulator:
        emulator = self._started()
        if not emulator.running:
            raise LabError(f"the machine is off. QEMU said: {emulator.said()}")
        return emulator

    def _servers_down(self) -> None:
        self.site.stop()
        if self._mail is not None:
            self._mail.stop()
            self._mail = None

    def _must_be_off(self, what: str) -> None:
        if self.running:
            raise LabError(f"the machine must be off to {what}.")

    def _next_disk(self) -> Path:
        self._generation += 1
        return self.folder / f"disk{self._generation}.qcow2"
