"""The appliance's root file system: diskimage-builder over our elements, kept by a hash of its inputs."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from appliance.errors import CommandFailed
from appliance.host.run import PATH, Host, write
from appliance.image.cache import digest_of, prune
from appliance.image.progress import Progress
from appliance.image.sources import Mirrors

RELEASE = "trixie"
KEPT_ROOTS = 3


@dataclass(frozen=True, slots=True)
class Root:
    """A built root: `folder` is its place in the cache, `tree` the unpacked root file system."""

    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def boot(self) -> Path:
        """vmlinuz, initrd.img (for a medium) and initrd-net.img (for the network)."""
        return self.tree / "boot"


def root_key(elements: Path) -> str:
    """Changes when the elements, the lock, the release or diskimage-builder change."""
    return digest_of([elements], RELEASE, version("diskimage-builder"))


def build_root(
    host: Host, progress: Progress, elements: Path, wheels: Path, mirrors: Mirrors, cache: Path, fresh: bool
) -> Root:
    """The root for these elements, from the cache unless `fresh`. Needs root rights, loop devices, ext4."""
    roots = cache / "roots"
    roots.mkdir(parents=True, exist_ok=True)
    root = Root(roots / root_key(elements))
    if fresh and root.folder.exists():
        shutil.rmtree(root.folder)
    if root.folder.exists():
        os.utime(root.folder)
        progress.say(f"The system is in the cache ({root.folder.name}).")
        return root
    with progress.stage("Building the system with diskimage-builder (about 3 minutes)"):
        part = root.folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        _disk_image_create(host, progress, elements, wheels, mirrors, cache, part)
    with progress.stage("Unpacking it"):
        (part / "tree").mkdir()
        host.run(write("tar", "-x", "-f", str(part / "out.tar"), "-C", str(part / "tree"), "--numeric-owner"))
        (part / "out.tar").unlink()
    part.rename(root.folder)
    prune(roots, KEPT_ROOTS)
    return root


def _disk_image_create(
    host: Host, progress: Progress, elements: Path, wheels: Path, mirrors: Mirrors, cache: Path, part: Path
) -> None:
    programs = Path(sys.executable).parent
    for folder in ("dib", "tmp"):
        (cache / folder).mkdir(exist_ok=True)
    environment = {
        # disk-image-create is a shell script that looks for its Python parts and for sudo on the path.
        "PATH": f"{programs}:{PATH}",
        "ELEMENTS_PATH": str(elements),
        "DIB_RELEASE": RELEASE,
        "DIB_DISTRIBUTION_MIRROR": mirrors.archive,
        "DIB_DEBIAN_SECURITY_MIRROR": mirrors.security,
        "DIB_IMAGE_CACHE": str(cache / "dib"),
        # The bootstrapped base is kept; its packages are brought up to date in every build.
        "DIB_DEBOOTSTRAP_CACHE": "1",
        "DIB_DEBIAN_USE_DEBOOTSTRAP_CACHE": "1",
        "DIB_LOCKFILES": str(cache / "dib"),
        "TMP_DIR": str(cache / "tmp"),
        "TWINBOOT_WHEELS": str(wheels),
        "TWINBOOT_LOCK": str(elements / "twinboot-python" / "requirements.lock"),
        **{
            name: value
            for name, value in os.environ.items()
            if name.lower() in {"http_proxy", "https_proxy", "no_proxy"}
        },
    }
    log = part / "dib.log"
    command = write(
        "disk-image-create",
        "-n",
        "-t",
        "tar",
        "--logfile",
        str(log),
        "-o",
        str(part / "out"),
        "debian-minimal",
        "twinboot",
        timeout=3600,
    )
    # host.run starts a program by the path of this process, so the script is named in full.
    command = replace(
        command, argv=(str(programs / "disk-image-create"), *command.argv[1:]), env=tuple(environment.items())
    )
    try:
        with progress.following(log, "dib-run-parts Running /tmp/in_target.d/"):
            host.run(command)
    except CommandFailed as error:
        kept = cache / "dib-failed.log"
        if log.exists():
            shutil.copyfile(log, kept)
        raise CommandFailed(
            f"{error.what} Its log is {kept}.", safe="Nothing but the cache was written."
        ) from error
    (part / "out.tar").stat()
