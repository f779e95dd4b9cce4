"""The root's squashfs: the system as a base kept between builds, and /opt with our code as its last layer."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.host.run import Host, write
from appliance.image.root import Root

SITE = "opt/twinboot/lib/python3.13/site-packages"
LAUNCHER = """#!/opt/twinboot/bin/python
import sys
from {module} import {function}
sys.exit({function}())
"""


@dataclass(frozen=True, slots=True)
class Compression:
    """zstd at `level`: 15 for a release, 6 where the build must be quick."""

    level: int

    @property
    def arguments(self) -> list[str]:
        return ["-comp", "zstd", "-Xcompression-level", str(self.level), "-b", "256K"]


COMMON = ["-no-xattrs", "-no-exports", "-no-progress", "-no-recovery"]
# boot lies beside the squashfs, opt is the last layer, the initrd makes dev and run, DIB leaves the rest.
NOT_IN_BASE = ["boot", "opt", "lost+found", "dev", "run"]


def base_squashfs(host: Host, root: Root, compression: Compression) -> Path:
    """The system without /opt, made once per root and level."""
    base = root.folder / f"base-{compression.level}.squashfs"
    if base.exists():
        return base
    part = base.with_suffix(".part")
    part.unlink(missing_ok=True)
    argv = ["mksquashfs", str(root.tree), str(part), "-noappend", *COMMON, *compression.arguments]
    host.run(write(*argv, "-e", *NOT_IN_BASE, timeout=1800))
    part.rename(base)
    return base


def own_layer(host: Host, root: Root, wheel: Path, build: str, work: Path) -> Path:
    """A copy of the root's /opt with our wheel in its venv, compiled by the root's own Python."""
    layer = work / "layer"
    layer.mkdir()
    # Hard links: the copy is quick, and what is added below are new files.
    host.run(write("cp", "-al", str(root.tree / "opt"), str(layer / "opt")))
    site = layer / SITE
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
        entry_points = next(
            archive.read(name).decode() for name in names if name.endswith("entry_points.txt")
        )
    for name, module, function in launchers(entry_points):
        script = layer / "opt/twinboot/bin" / name
        script.write_text(LAUNCHER.format(module=module, function=function))
        script.chmod(0o755)
    (layer / "opt/twinboot/build").write_text(build + "\n")
    _compile(host, root, layer)
    host.run(write("chown", "-R", "0:0", str(layer)))
    return layer


def launchers(entry_points: str) -> list[tuple[str, str, str]]:
    """(name, module, function) of the console scripts in a wheel's entry_points.txt."""
    found: list[tuple[str, str, str]] = []
    inside = False
    for line in entry_points.splitlines():
        if line.startswith("["):
            inside = line.strip() == "[console_scripts]"
        elif inside and "=" in line:
            name, target = (part.strip() for part in line.split("=", 1))
            module, function = target.split(":", 1)
            found.append((name, module, function))
    return found


def _compile(host: Host, root: Root, layer: Path) -> None:
    """Bytecode that is never checked against its source: the image is read-only, and starts are quicker."""
    python = root.tree / "usr/bin/python3.13"
    library = root.tree / "usr/lib/x86_64-linux-gnu"
    # The root's Python under its own loader: no chroot, and the bytecode is exactly what that version reads.
    argv = [
        str(root.tree / "usr/lib64/ld-linux-x86-64.so.2"),
        "--library-path",
        str(library),
        str(python),
        "-I",
        "-m",
    ]
    packages = [str(layer / SITE / name) for name in ("appliance", "tui")]
    argv += [
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
        "-s",
        str(layer),
        "-p",
        "/",
        *packages,
    ]
    home = str(root.tree / "usr")
    host.run(replace(write(*argv), env=(("PYTHONHOME", home),)))


def append_layer(host: Host, base: Path, layer: Path, out: Path) -> None:
    """`out` is `base` with the layer's /opt added: one file system, the base's bytes untouched."""
    shutil.copyfile(base, out)
    host.run(write("mksquashfs", str(layer / "opt"), str(out), "-keep-as-directory", *COMMON, timeout=600))
