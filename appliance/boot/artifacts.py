"""What a system needs in /boot, read from its own package database; no program of it is run."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from appliance.boot.pin import pinned
from appliance.boot.shapes import Artifacts, BootFile
from appliance.errors import BootConfigFailed
from appliance.probe.bls import ENTRIES, for_grub, parse_name
from appliance.probe.unified import Unified, images, read_unified

_KERNEL = re.compile(r"vmlinuz-(.+)\Z")
_OF_KERNEL = ("vmlinuz", "initrd.img", "config", "System.map")
_LIST_LINE = re.compile(r"/boot/([^/\s]+)\Z")


def _packaged(root: Path) -> set[str]:
    """Names directly in /boot that dpkg's file lists hold (var/lib/dpkg/info/*.list)."""
    names: set[str] = set()
    for path in sorted((root / "var/lib/dpkg/info").glob("*.list")):
        for line in path.read_text(errors="replace").splitlines():
            found = _LIST_LINE.match(line)
            if found:
                names.add(found[1])
    return names


def owned_names(root: Path) -> tuple[str, ...]:
    """Names in /boot that belong to the system mounted at `root`: packaged files and their initrds."""
    packaged = _packaged(root)
    versions = {found[1] for name in packaged if (found := _KERNEL.match(name))}
    return tuple(sorted(packaged | {f"initrd.img-{version}" for version in versions}))


def names_in_use(root: Path) -> tuple[str, ...]:
    """Like owned_names, with the files of kernels that no package brought and whose modules are there."""
    folders = (root / "usr/lib/modules", root / "lib/modules")
    built = {place.parent.name for folder in folders for place in folder.glob("*/kernel")}
    names = {f"{kind}-{version}" for kind in _OF_KERNEL for version in built}
    return tuple(sorted(names | set(owned_names(root))))


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Order of kernel versions as `sort -V` has it for names of this kind, which 10_linux uses."""
    parts = re.findall(r"\d+|\D+", version)
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def kernels_with_modules(root: Path, boot: Path) -> tuple[str, ...]:
    """Versions of packaged kernels with modules, whether they have an initrd or not; the newest first."""
    found = [
        match[1]
        for name in _packaged(root)
        if (match := _KERNEL.match(name))
        and (boot / name).is_file()
        and modules_folder(root, match[1]) is not None
    ]
    return tuple(sorted(found, key=version_key, reverse=True))


def kernel_versions(root: Path, boot: Path) -> tuple[str, ...]:
    """Versions that can boot: packaged kernel, an initrd and modules; the default one first."""
    held = pinned(root)
    found = (v for v in kernels_with_modules(root, boot) if (boot / f"initrd.img-{v}").is_file())
    return tuple(sorted(found, key=lambda version: version != held))


def modules_folder(root: Path, version: str) -> Path | None:
    """The kernel's module folder in the system mounted at `root`; symbolic links are not followed out."""
    for base in ("usr/lib/modules", "lib/modules"):
        folder = root / base / version
        if folder.is_dir() and not folder.is_symlink():
            return folder
    return None


def file_digest(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _boot_file(name: str, at: Path) -> BootFile:
    return BootFile(name=name, source=str(at), sha256=file_digest(at), size=at.stat().st_size)


def image_at(path: Path) -> Unified | None:
    """The unified image that the file is; None where it is none that reads."""
    with path.open("rb") as file:

        def part(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        return read_unified(part)


def _image_of(folder: Path, version: str) -> Path:
    """The unified image of kernel `version` in `folder`, that system's own EFI/Linux or a copy of it."""
    for name in images(tuple(sorted(path.name for path in folder.glob("*")))):
        found = image_at(folder / name)
        if found is not None and found.kernel == version and not (folder / name).is_symlink():
            return folder / name
    raise BootConfigFailed(
        f"The patched system has made no unified image of its kernel {version}.",
        safe="Nothing was staged; the machine boots what it booted before.",
        next_actions=("Look at what kernel-install says in the report.", "Rehearse again."),
    )


def find_artifacts(root: Path, boot: Path, folder: Path | None = None) -> Artifacts:
    """The boot files of the system mounted at `root`; `boot` is the /boot that system itself wrote.

    For a rehearsed system that is the twin's /boot, not the machine's. `folder` holds the unified images of
    one that boots by such; the one of its kernel is among the files then. Raises BootConfigFailed where
    nothing there can boot.
    """
    versions = kernel_versions(root, boot)
    if not versions:
        raise BootConfigFailed(
            "The patched system has no kernel with an initrd and modules of its own in /boot.",
            safe="Nothing was staged; the machine boots what it booted before.",
            next_actions=("Look at the package manager's output in the report.", "Rehearse again."),
        )
    files = tuple(
        _boot_file(name, boot / name)
        for name in owned_names(root)
        if (boot / name).is_file() and not (boot / name).is_symlink()
    )
    if folder is not None:
        image = _image_of(folder, versions[0])
        name = f"{parse_name(image.name).stem}.efi"
        files = (*files, _boot_file(name, image))
        return Artifacts(version=versions[0], kernel=name, initrds=(), files=files, unified=True)
    return Artifacts(
        version=versions[0],
        kernel=f"vmlinuz-{versions[0]}",
        initrds=(f"initrd.img-{versions[0]}",),
        files=files,
        entries=_entries(boot, {file.name for file in files}),
    )


def _entries(boot: Path, kernels: set[str]) -> tuple[BootFile, ...]:
    """The files of loader/entries that name one of `kernels`; symbolic links are not followed."""
    folder = boot / ENTRIES
    if folder.is_symlink() or folder.parent.is_symlink() or not folder.is_dir():
        return ()
    found = []
    for path in sorted(folder.glob("*.conf")):
        if path.is_symlink() or not path.is_file():
            continue
        entry = for_grub(path.name, path.read_text("utf-8", "replace"), {})
        if entry is not None and entry.linux.lstrip("/") in kernels:
            found.append(_boot_file(path.name, path))
    return tuple(found)
