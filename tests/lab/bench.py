"""`make bench`: figures of the appliance beside a rival's, measured in one run on the same machine.

Emulated seconds say little by themselves: read the ratios. Processor seconds are QEMU's own.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.appliance import PROGRAM, START, Appliance
from tests.lab.archive import PrivateApt, host_mirror
from tests.lab.circle import IMAGE, stick_with_shell
from tests.lab.figures import Figures, Kept, Snapshot, Start
from tests.lab.firmware import BIOS
from tests.lab.hardware import Hardware
from tests.lab.installed import BTRFS, EXT4, PARTITION, THICK, XFS, SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.native import LabError, run, stage
from tests.lab.stick import unguarded

GB = 1024
SIZES = (4, 20)
CONSOLE = r"WRITES TO THIS MACHINE: "
MENU = r"Select a language|Choose language"
INSTALLER = "debian-installer-12-netboot-amd64"


STORAGES: dict[str, Callable[[int], SystemSpec]] = {
    "LVM thick": lambda size: SystemSpec(storage=THICK, disk=2 * size + 6 * GB, pool=0, root=size, srv=0),
    "btrfs": lambda size: _without_lvm(size + 4 * GB, size, BTRFS),
    "partition, ext4": lambda size: _without_lvm(2 * size + 4 * GB, size, EXT4),
    "partition, XFS": lambda size: _without_lvm(2 * size + 4 * GB, size, XFS),
}
"""How else a root is kept, by the size of its volume in MiB; `_machine` has the one of a thin pool."""


def bench() -> None:
    """Measure everything and print it. Raises LabError."""
    with tempfile.TemporaryDirectory(prefix="twinboot-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        starts = [_debian(folder / "debian"), _console(folder / "console"), _installer(folder / "installer")]
        used, written, first = _four(folder / "four")
        second = _snapshot(folder / "twenty", SIZES[1])
        # QEMU takes a comma in a path for the end of it.
        places = {storage: folder / storage.replace(", ", "-") for storage in STORAGES}
        storages = tuple(_kept(place, storage) for storage, place in places.items())
    root = IMAGE.parent / "pxe/rootfs.squashfs"
    sizes = IMAGE.stat().st_size, root.stat().st_size
    print("\n" + Figures(tuple(starts), (first, second), storages, used, written, *sizes).text())


@contextmanager
def _watched(machine: Machine, what: str, *patterns: str) -> Iterator[list[Start]]:
    """Switch on and wait for the first of `patterns` on the serial line."""
    found: list[Start] = []
    with machine, stage(what):
        began = time.monotonic()
        console = machine.power_on()
        console.wait_for(*patterns, limit=START)
        found.append(Start(what, time.monotonic() - began, machine.processor_seconds))
        yield found


def _debian(folder: Path) -> Start:
    system = installed_system(SystemSpec())
    with _watched(Machine.with_system(system, folder=folder), "Debian's log-in prompt", "login: ") as found:
        return found[0]


def _console(folder: Path) -> Start:
    machine = Machine.with_system(installed_system(SystemSpec()), folder=folder)
    machine.insert_stick(unguarded(IMAGE, folder / "stick.img"))
    with _watched(machine, "Twinboot's console, first page", CONSOLE) as found:
        return found[0]


def _installer(folder: Path) -> Start:
    """Debian's own netboot installer to its first menu, from a package of the archive, by PXE."""
    apt = PrivateApt(folder / "apt", host_mirror())
    apt.update()
    version = apt.candidates(INSTALLER)[0][0]
    deb = apt.download(INSTALLER, version, folder / "debs")
    run("dpkg-deb", "-x", deb, folder / "installer")
    kernel = next((folder / "installer").rglob("debian-installer/amd64/linux"))
    served = folder / "pxe"
    served.mkdir()
    for file in (kernel, kernel.with_name("initrd.gz")):
        run("cp", file, served)
    (served / "boot.ipxe").write_text(
        "#!ipxe\nkernel linux console=ttyS0,115200 DEBIAN_FRONTEND=newt\ninitrd initrd.gz\nboot\n"
    )
    machine = Machine.with_system(installed_system(SystemSpec()), folder=folder / "machine")
    machine.net_boot(served)
    with _watched(machine, "Debian's installer, first menu", MENU) as found:
        return found[0]


def _without_lvm(disk: int, root: int, root_fs: str) -> SystemSpec:
    return SystemSpec(storage=PARTITION, disk=disk, pool=0, root=root, srv=0, root_fs=root_fs)


def _thin(size: int) -> SystemSpec:
    """A root volume of that size in MiB, and room for a copy of it."""
    return SystemSpec(BIOS, disk=2 * size + 6 * GB, pool=size * 2 // 3 + GB, root=size)


@contextmanager
def _machine(folder: Path, spec: SystemSpec) -> Iterator[Machine]:
    with Machine.with_system(installed_system(spec), Hardware(), folder=folder / "machine") as machine:
        if spec.storage == PARTITION:
            _name_root_by_uuid(machine)
        machine.insert_stick(stick_with_shell(folder))
        yield machine


def _snapshot(folder: Path, gigabytes: int) -> Snapshot:
    folder.mkdir()
    with _machine(folder, _thin(gigabytes * GB)) as machine:
        return _time_both(_at_rest(machine), gigabytes)


def _kept(folder: Path, storage: str) -> Kept:
    """How long a rehearsal takes to the twin's power-on on a small and on a large root kept so."""
    folder.mkdir()
    seconds = []
    for gigabytes in SIZES:
        place = folder / str(gigabytes)
        place.mkdir()
        with _machine(place, STORAGES[storage](gigabytes * GB)) as machine:
            appliance = _at_rest(machine)
            with stage(f"{storage}: snapshot of {gigabytes} GB to the twin's power-on"):
                seconds.append(_power_on(appliance))
    return Kept(storage, *seconds)


def _name_root_by_uuid(machine: Machine) -> None:
    """As Debian's installer leaves it: the lab's own GRUB was made where no UUID was to be found."""
    machine.power_on()
    machine.shell().read("update-grub 2>&1 && sync", 600)
    machine.power_off()


def _four(folder: Path) -> tuple[int, int, Snapshot]:
    """Memory used at the console (MiB), bytes written by a promotion, and the small volume's times."""
    folder.mkdir()
    with _machine(folder, _thin(SIZES[0] * GB)) as machine:
        appliance = _at_rest(machine)
        total, available = (_meminfo(appliance, name) for name in ("MemTotal", "MemAvailable"))
        times = _time_both(appliance, SIZES[0])
        appliance.rehearse("--nothing")
        run_name = appliance.newest_run()
        before = _written(appliance)
        appliance.read("promote", run_name, "--confirm", "0001", limit=900)
        return (total - available) >> 10, _written(appliance) - before, times


def _at_rest(machine: Machine) -> Appliance:
    """Started until its page stands: consoles that are still starting take half the processor."""
    appliance = Appliance.boot(machine)
    machine.console.wait_for(CONSOLE, limit=START)
    appliance.status()
    return appliance


def _meminfo(appliance: Appliance, name: str) -> int:
    """KiB."""
    return int(appliance.shell.read(f"grep '^{name}:' /proc/meminfo").split()[1])


def _written(appliance: Appliance) -> int:
    """Bytes written to the machine's disk since power-on (Documentation/block/stat.rst, field 7)."""
    return int(appliance.shell.read("cat /sys/block/vda/stat").split()[6]) * 512


def _time_both(appliance: Appliance, gigabytes: int) -> Snapshot:
    with stage(f"snapshot of {gigabytes} GB to the twin's power-on"):
        found = _power_on(appliance)
        run_name = appliance.status()["running"]["run"]
        appliance.read("cancel", run_name, "--take-over")
        appliance.shell.read("wait", limit=900)
        appliance.inspect()  # the engine's own look at what the run has changed is over
    with stage(f"full copy of {gigabytes} GB"):
        make = f"lvcreate -y -Wn -Zn -an -n copy -L {gigabytes}g vg0 && lvchange -ay vg0/copy vg0/root"
        appliance.shell.read(make, limit=300)
        copy = "dd if=/dev/vg0/root of=/dev/vg0/copy bs=4M conv=sparse,fsync"
        began = time.monotonic()
        appliance.shell.read(f"sync; echo 3 >/proc/sys/vm/drop_caches; {copy}", limit=3600)
        copied = time.monotonic() - began
        appliance.shell.read("lvremove -q -f vg0/copy; lvchange -an vg0/root", limit=300)
    return Snapshot(gigabytes, found, copied)


def _power_on(appliance: Appliance) -> float:
    """Begin a rehearsal and wait for its twin; how many seconds that took. Raises LabError."""
    appliance.shell.read(f"{PROGRAM} rehearse --nothing --json >/tmp/events 2>&1 &")
    deadline = time.monotonic() + START
    while not (found := _seconds(appliance)):
        if time.monotonic() > deadline:
            raise LabError("the twin was not started:\n" + appliance.shell.run("tail /tmp/events").text)
        time.sleep(5)
    return found


def _seconds(appliance: Appliance) -> float:
    """From the beginning of the step "snapshot" to that of "control", which starts the twin; 0 before it."""
    events = [
        json.loads(line)
        for line in appliance.shell.run("grep step-started /tmp/events").text.splitlines()
        if line.startswith("{")
    ]
    began = {event["step"]: float(event["at"]) for event in events}
    return began["control"] - began["snapshot"] if "control" in began else 0.0
