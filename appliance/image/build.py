"""The whole of `make image`: wheels, system, last layer, stick, disc, PXE folder, table of sizes."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import Refused
from appliance.host.run import Host
from appliance.image.cache import cache_folder, one_build_at_a_time
from appliance.image.contents import Contents
from appliance.image.disc import make_disc
from appliance.image.progress import Progress
from appliance.image.pxe import make_pxe
from appliance.image.root import Root, build_root
from appliance.image.sizes import table
from appliance.image.sources import mirrors
from appliance.image.squash import Compression, append_layer, base_squashfs, own_layer
from appliance.image.usb import make_stick
from appliance.image.wheels import fetch_wheels, own_wheel

PROGRAMS = {
    "disk-image-create": "diskimage-builder",
    "mmdebstrap": "mmdebstrap",
    "sudo": "sudo",
    "mksquashfs": "squashfs-tools",
    "mformat": "mtools",
    "mke2fs": "e2fsprogs",
    "grub-mkimage": "grub-common",
    "xorriso": "xorriso",
}
GRUB_FOLDERS = {"i386-pc": "grub-pc-bin", "x86_64-efi": "grub-efi-amd64-bin"}
SQUASHFS_LIMIT, STICK_LIMIT = 180, 240  # MB; the disc holds what the stick does
RELEASE_LEVEL, FAST_LEVEL = 15, 6


@dataclass(frozen=True, slots=True)
class Request:
    """What to build: from which checkout, to which folder.

    `fast` compresses less; `fresh` ignores the cached system.
    """

    checkout: Path
    dist: Path
    fast: bool = False
    fresh: bool = False


def why_not(request: Request) -> tuple[str, ...]:
    """Every reason why this machine cannot build the image, each a sentence."""
    reasons: list[str] = []
    if os.geteuid() != 0:
        reasons.append("Building the image needs root rights: diskimage-builder mounts and changes its root.")
    missing = [
        package for program, package in PROGRAMS.items() if shutil.which(program, path=_path()) is None
    ]
    missing += [
        package for folder, package in GRUB_FOLDERS.items() if not (Path("/usr/lib/grub") / folder).is_dir()
    ]
    if missing:
        reasons.append(f"Missing on this machine: {', '.join(sorted(missing))}.")
    if not (request.checkout / "elements" / "twinboot").is_dir():
        reasons.append(f"{request.checkout} is not a checkout of Twinboot: it has no elements/twinboot.")
    return tuple(reasons)


def _path() -> str:
    return f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def build_id(root: Root, wheel: Path) -> str:
    """Names this build: the kernel and the root of one build know each other by it."""
    own = hashlib.sha256(wheel.read_bytes()).hexdigest()[:8]
    return f"{root.folder.name[:8]}-{own}"


def build(request: Request, host: Host, progress: Progress) -> None:
    """Fills `request.dist`. Raises Refused when this machine cannot build, CommandFailed at a failed step."""
    reasons = why_not(request)
    if reasons:
        raise Refused(reasons)
    cache = cache_folder()
    with one_build_at_a_time(cache):
        # What a build that was killed left behind; it holds files only, never a mount.
        for stale in cache.glob("build-*"):
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(prefix="build-", dir=cache) as work:
            _build(request, host, progress, cache, Path(work))


def _build(request: Request, host: Host, progress: Progress, cache: Path, work: Path) -> None:
    elements = request.checkout / "elements"
    level = Compression(FAST_LEVEL if request.fast else RELEASE_LEVEL)
    with progress.stage("Fetching the locked wheels"):
        wheels = fetch_wheels(host, elements / "twinboot-python" / "requirements.lock", cache)
    root = build_root(host, progress, elements, wheels, mirrors(), cache, request.fresh)
    with progress.stage("Building our own wheel"):
        wheel = own_wheel(host, request.checkout, work)
        build = build_id(root, wheel)
        layer = own_layer(host, root, wheel, build, work)
    with progress.stage(f"Compressing the system (zstd {level.level})"):
        base = base_squashfs(host, root, level)
    rootfs = work / "rootfs.squashfs"
    with progress.stage("Adding our code to the squashfs"):
        append_layer(host, base, layer, rootfs)
    request.dist.mkdir(parents=True, exist_ok=True)
    contents = Contents(root.boot / "vmlinuz", root.boot / "initrd.img", rootfs, root.boot / "signed", build)
    stick, disc = request.dist / "twinboot.img", request.dist / "twinboot.iso"
    for out, what, make in ((stick, "stick", make_stick), (disc, "disc", make_disc)):
        with progress.stage(f"Assembling the {what}"):
            part, place = out.with_name(out.name + ".part"), work / what
            place.mkdir()
            make(host, contents, part, place)
            part.rename(out)
    pxe = request.dist / "pxe"
    with progress.stage("Filling the PXE folder"):
        make_pxe(host, root.boot / "vmlinuz", root.boot / "initrd-net.img", rootfs, build, pxe, work)
    outputs = [
        ("twinboot.img", stick, STICK_LIMIT),
        ("twinboot.iso", disc, STICK_LIMIT),
        ("pxe/rootfs.squashfs", pxe / "rootfs.squashfs", None if request.fast else SQUASHFS_LIMIT),
        ("pxe/initrd.img", pxe / "initrd.img", None),
        ("the stick's initrd", root.boot / "initrd.img", None),
        ("kernel", pxe / "vmlinuz", None),
    ]
    progress.say(table(root.tree, outputs))
    took = sum(seconds for _, seconds in progress.stages)
    progress.say(f"\nBuild {build} in {took:.0f} s: {stick}, {disc} and {pxe}/")
