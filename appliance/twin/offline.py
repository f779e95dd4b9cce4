"""Programs of the installed system, run in its copy while the twin is off: where the twin does not boot.

The copy is mounted as the machine has it: root, /boot, ESP and data volumes, each a snapshot or throw-away.
A program in it sees no disk of the machine, no network, no process of the appliance, and ends with its
call (unshare(1)).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import TwinFailed
from appliance.host.files import mounts_under
from appliance.host.run import Command, Effect, Host, write
from appliance.model.machine import InstalledSystem
from appliance.twin.guest import GuestOutput
from appliance.twin.twin import Twin

ANY_STATUS = frozenset(range(256))
# A slave (mount_namespaces(7)): what the appliance unmounts meanwhile is gone, not kept up by a long program.
NAMESPACES = ("--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--net", "--ipc",
              "--uts")  # fmt: skip

# $1 is how the mounts that follow up to "--" are to be: for the program alone, in its own namespace. They lie
# where the appliance's own services see them too, each in a namespace of its own (mount_namespaces(7)): what
# is bound over them there, and then made private, would stay mounted in those for good.
REMOUNT = """
options=$1
shift
while [ "$1" != -- ]; do
    mount -o "remount,bind,$options" "$1"
    shift
done
shift
"""

# $1 is the copy's root, then REMOUNT's, the rest the program. /dev holds no disk: nothing there can be
# written but the copy. Services are not started: systemctl is told that it works off-line (systemd's
# ENVIRONMENT.md).
ENTER = f"""
set -eu
root=$1
shift
{REMOUNT}
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t tmpfs -o nosuid,noexec,mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
exec chroot "$root" "$@"
"""
OFFLINE = (("SYSTEMD_OFFLINE", "1"), ("SYSTEMD_IGNORE_CHROOT", "0"))


@dataclass(frozen=True, slots=True)
class Offline:
    """The copy from inside, as `Guest` shows the running twin. `root` is where it is mounted.

    `places` are mounts of it, the outermost first, that a program sees with `options` instead of their own.
    A program that ends with any status is no error; one that passes its limit raises CommandFailed.
    """

    host: Host
    root: Path
    places: tuple[Path, ...] = ()
    options: str = ""

    @property
    def remounted(self) -> tuple[str, ...]:
        """The words that REMOUNT takes."""
        return (self.options, *(str(at) for at in self.places), "--")

    def exec(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        env: tuple[tuple[str, str], ...] = (),
        timeout: float,
    ) -> GuestOutput:
        where = (str(self.root), *self.remounted)
        words = ("unshare", *NAMESPACES, "sh", "-c", ENTER, "twinboot", *where, *argv)
        command = Command(words, Effect.WRITE, ANY_STATUS, timeout, stdin, (*OFFLINE, *env))
        out = self.host.run(command)
        return GuestOutput(out.status, out.stdout.encode(), out.stderr.encode())

    def read_file(self, path: str) -> bytes:
        """The whole of a file of the copy. Raises TwinFailed."""
        out = self.exec(("cat", "--", path), timeout=60)
        if out.status:
            raise TwinFailed(f"{path} cannot be read in the copy.")
        return out.stdout

    def write_file(self, path: str, data: bytes, mode: int) -> None:
        """Write a file in the copy. Its folder must be there. Raises TwinFailed."""
        text = 'cat >"$1" && chmod "$2" "$1"'
        argv = ("sh", "-c", text, "twinboot", path, f"{mode:04o}")
        if self.exec(argv, stdin=data, timeout=60).status:
            raise TwinFailed(f"{path} cannot be written in the copy.")


@contextlib.contextmanager
def opened(host: Host, twin: Twin, system: InstalledSystem) -> Iterator[Offline]:
    """The copy under a twin that is off, mounted to run programs in. All of it is unmounted at the end."""
    root = twin.folder / "copy"
    root.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for device, fstype, at in _places(twin, system):
            _mount(stack, host, _inside(root, at), "-t", fstype, "-o", "nodev,nosuid", device)
        _furnish(stack, host, root)
        yield Offline(host, root)


@contextlib.contextmanager
def opened_at(
    host: Host, root: Path, boot: Path | None = None, *, readonly: bool = False
) -> Iterator[Offline]:
    """A volume of ours, mounted at `root` already with those of its set, to run programs in; the folder
    `boot` is at its /boot."""
    options = "nodev,nosuid,exec" + (",ro" if readonly else "")
    with contextlib.ExitStack() as stack:
        # The mounts it stands on let no program run (host.files.mounted).
        places = (root, *reversed(mounts_under(root)))
        if boot is not None:
            _mount(stack, host, _inside(root, "boot"), "--bind", str(boot))
        _furnish(stack, host, root)
        yield Offline(host, root, places, options)


def _furnish(stack: contextlib.ExitStack, host: Host, root: Path) -> None:
    for at, mode in (("run", "755"), ("tmp", "1777")):
        # They outlive one program: what it leaves there is found by the next.
        _mount(stack, host, _inside(root, at), "-t", "tmpfs", "-o", f"nodev,nosuid,mode={mode}", "tmpfs")


def _places(twin: Twin, system: InstalledSystem) -> list[tuple[str, str, str]]:
    """(device, file system, place) in the order of mounting: what is above comes first."""
    found = [(twin.root_device, system.root.fstype, "/")]
    if system.own_boot is not None and twin.boot_device:
        found.append((twin.boot_device, system.own_boot.fstype, "/boot"))
    if system.esp is not None and twin.esp_device:
        at = system.esp_target
        found += [(twin.esp_device, system.esp.fstype, at)] if at else []
    found += [
        (twin.volume_device(v.lv), v.fstype, v.target) for v in (*system.beside_root, *system.data) if v.lv
    ]
    return sorted(found, key=lambda place: place[2].rstrip("/").count("/"))


def _inside(root: Path, at: str) -> Path:
    """The place `at` of the copy. Raises TwinFailed where a symbolic link could lead out of it."""
    place = root / at.strip("/")
    if place.resolve() != root.resolve() / at.strip("/") or not place.is_dir():
        raise TwinFailed(f"{at} in the installed system is no folder: its copy can not be put together.")
    return place


def _mount(stack: contextlib.ExitStack, host: Host, at: Path, *words: str) -> None:
    host.run(write("mount", *words, str(at), timeout=120))
    stack.callback(lambda: host.run(write("umount", str(at), timeout=300)))
