"""A machine of an ESP, variables and systemd-boot only: Debian's layout, as a model disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from appliance.boot.place import Boot, BootPlace
from appliance.boot.shapes import Artifacts, BootFile, StagedSystem
from appliance.boot.systemd_boot import SystemdBoot
from tests.crash.grubmachine import OLD
from tests.crash.grubscript import Loaded
from tests.crash.lab import NEW, NEW_ROOT, OLD_ROOT, wanted
from tests.crash.modeldisk import ModelDisk, ModelRaw, ModelVariables, Place, children
from tests.crash.sdboot import SdBoot
from tests.crash.tinyimage import unified
from tests.crash.tinykernel import tiny_kernel

ID = "7f1b3c5d9e2a4b6c8d0e1f2a3b4c5d6e"
OLDER = "6.1.0-12-amd64"
BINARY = "\\EFI\\systemd\\systemd-bootx64.efi"
LOADER = SystemdBoot(BINARY)
Act = Callable[[Boot], None]


def conf_of(version: str, root: str, extra: str = "") -> bytes:
    """What Debian 12's 90-loaderentry.install writes."""
    return (
        f"title      Debian GNU/Linux 12 (bookworm)\nversion    {version}\nmachine-id {ID}\n"
        f"sort-key   debian\noptions    root={root} ro quiet{extra} systemd.machine_id={ID}\n"
        f"linux      /{ID}/{version}/linux\ninitrd     /{ID}/{version}/initrd.img-{version}\n"
    ).encode()


def installed(conf: bytes = b"#timeout 3\n#console-mode keep\ndefault %s-*\n" % ID.encode()) -> Place:
    """What `bootctl install` and kernel-install leave on the ESP of a Debian 12."""
    files = {
        "EFI/systemd/systemd-bootx64.efi": b"MZ#### LoaderInfo: systemd-boot 252.39-1~deb12u2 ####",
        "loader/loader.conf": conf,
        "loader/entries.srel": b"type1\n",
    }
    for version in (OLD, OLDER):
        files[f"loader/entries/{ID}-{version}.conf"] = conf_of(version, OLD_ROOT)
        files[f"{ID}/{version}/linux"] = tiny_kernel(f"kernel {version}")
        files[f"{ID}/{version}/initrd.img-{version}"] = f"initrd {version}".encode()
    return place_of(files)


def image_of(version: str, root: str, tag: str = "") -> bytes:
    """What Debian 13's kernel-install makes with layout=uki."""
    line = f"root={root} ro quiet systemd.machine_id={ID}"
    kernel, initrd = tiny_kernel(f"kernel {version}{tag}"), f"initrd {version}{tag}".encode()
    return unified(kernel, initrd, line, version)


def installed_images() -> Place:
    """The same machine with unified images."""
    files = {
        "EFI/systemd/systemd-bootx64.efi": b"MZ#### LoaderInfo: systemd-boot 257.13-1~deb13u1 ####",
        "loader/loader.conf": b"#timeout 3\n#console-mode keep\n",
        "loader/entries.srel": b"type1\n",
    }
    files |= {f"EFI/Linux/{ID}-{version}.efi": image_of(version, OLD_ROOT) for version in (OLD, OLDER)}
    place = place_of(files)
    place.names["loader/entries"] = 1
    return place


def wanted_image(folder: Path, run: str = "tb1", version: str = NEW, tag: str = "") -> StagedSystem:
    """A new system that boots by an image, made in the twin: there its root is called as the old one is."""
    found = wanted(folder, run, version, tag)
    name, data = f"{ID}-{version}.efi", image_of(version, found.old_root, tag)
    (folder / name).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    file = BootFile(name=name, source=str(folder / name), sha256=digest, size=len(data))
    files = (*found.artifacts.files, file)
    artifacts = Artifacts(version=version, kernel=name, initrds=(), files=files, unified=True)
    return msgspec.structs.replace(found, artifacts=artifacts)


def kernel_install_image(boot: Boot, version: str, root: str, tag: str = "") -> None:
    """What `kernel-install add` does with layout=uki: install(1) unlinks what is there."""
    boot.disk.create(f"EFI/Linux/{ID}-{version}.efi", image_of(version, root, tag))


def place_of(files: dict[str, bytes]) -> Place:
    place, number = Place({}, {}), 1
    for path, data in files.items():
        for depth in range(1, path.count("/") + 1):
            place.names.setdefault("/".join(path.split("/")[:depth]), 1)
        number += 1
        place.names[path], place.inodes[number] = number, data
    return place


def boot_on(
    place: Place, variables: dict[str, str] | None = None, cut: int = -1, forgets: tuple[str, ...] = ()
) -> tuple[Boot, ModelDisk]:
    disk = ModelDisk(place.after(()), cut, fat=True, variables=dict(variables or {}))
    disk.folders = {n for n in place.names if any(m.startswith(f"{n}/") for m in place.names)}
    disk.folders |= {n for n, inode in place.names.items() if inode not in place.inodes}
    at = BootPlace(mount=Path("/nowhere"), device="", fstype="vfat", fsuuid="", target="/boot/efi")
    return Boot(at, disk, ModelRaw(disk), ModelVariables(disk, forgets)), disk


def what(loaded: Loaded) -> str:
    """old, older, new, trial, settle, or what went wrong. Kernel, initrd and root must belong together."""
    words = loaded.line.split()
    root = next((w[5:] for w in words if w.startswith("root=")), "")
    known = (OLD, OLDER, NEW)
    kernel = next((v for v in known if f"kernel {v}".encode() in loaded.kernel), "none")
    initrd = loaded.initrd.decode("latin-1").rstrip("\0").removeprefix("initrd ")
    if kernel == "none" or not initrd.startswith(kernel):
        return f"kernel {kernel} with initrd {initrd[:40]!r}"
    tag = initrd.removeprefix(kernel)
    if (kernel, root, tag) == (OLD, OLD_ROOT, ""):
        return "old"
    if (kernel, root) == (OLDER, OLD_ROOT):
        return "older"
    if root == NEW_ROOT and (kernel == NEW or tag):
        return "trial" if "twinboot.trial=tb1" in words else "new"
    return "settle" if root == "UUID=aa-bb" else f"kernel {kernel}{tag} with root {root}"


def starts(place: Place, variables: dict[str, str], times: int = 3, locked: bool = False) -> tuple[str, ...]:
    """What an unattended machine starts, one start after the other; what the loader writes carries over."""
    out, now = [], dict(variables)
    for _ in range(times):
        loader = SdBoot(place.read, lambda path: children(place.names, path), now, locked)
        out.append(what(loader.start()))
        assert not loader.renames, "the loader writes to the ESP"
    return tuple(out)


def boots(disk: ModelDisk) -> tuple[str, ...]:
    return starts(disk.live, disk.variables)


def cuts(disk: ModelDisk, allowed: set[tuple[str, ...]], sparse: bool = False) -> int:
    """Hold every state a cut may leave against `allowed`; returns how many there were."""
    known: dict[tuple[object, ...], tuple[str, ...]] = {}
    count = 0
    for moment in disk.moments:
        for name, place in moment.states(sparse):
            count += 1
            key = (
                *sorted(moment.variables.items()),
                *((n, place.read(n)) for n in sorted(place.names) if not n.startswith("twinboot/env")),
            )
            if key not in known:
                known[key] = starts(place, moment.variables)
            assert known[key] in allowed, f"{name} starts {known[key]}"
    return count


def kernel_install(boot: Boot, version: str, root: str, kernel: bytes, initrd: bytes) -> None:
    """What `kernel-install add` of Debian 12 does: files and entry in place, over what is there."""
    disk = boot.disk
    assert isinstance(disk, ModelDisk)
    disk.make_folder(f"{ID}/{version}")
    for path, data in (
        (f"{ID}/{version}/linux", kernel),
        (f"{ID}/{version}/initrd.img-{version}", initrd),
        (f"loader/entries/{ID}-{version}.conf", conf_of(version, root)),
    ):
        if disk.is_file(path):
            disk.overwrite(path, data)
        else:
            disk.create(path, data)
