"""The read-only disk of ours in the twin: the guest agent with all it needs, and files for it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import TwinFailed
from appliance.host.run import Host, read, write
from appliance.twin.quiet import TOOLS_MOUNT

LABEL = "TWINBOOT-TOOLS"
AGENT = "/usr/sbin/qemu-ga"
BLOCK = 4096
INODE = 256
"""Bytes, as mke2fs(8) is told and makes them."""
ROOM = 8 << 20
"""Bytes of slack in the image, for what describes its groups of blocks."""

_LIBRARY = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$")


@dataclass(frozen=True, slots=True)
class Tools:
    """Where things are, seen from the guest once the tools disk is mounted there."""

    mount: str = TOOLS_MOUNT

    def file(self, name: str) -> str:
        """The guest's path of a file that was given to `build_tools` under `name`."""
        return f"{self.mount}/files/{name}"


def libraries_of(text: str) -> tuple[str, ...]:
    """Paths in the output of ldd(1), the program interpreter included. TwinFailed if one is missing."""
    if "not found" in text:
        raise TwinFailed(
            "The appliance's guest agent lacks a library: " + text.strip().splitlines()[0].strip()
        )
    return tuple(found[1] for line in text.splitlines() if (found := _LIBRARY.match(line)))


def build_tools(
    host: Host, image: Path, folder: Path, files: Mapping[str, bytes | Path], agent: str = AGENT
) -> None:
    """Write the tools disk to `image` (ext2): bin/qemu-ga, lib/*, files/<name>.

    `folder` is an empty place in memory to gather them in. `files` are contents, or files or folders of the
    appliance. The agent comes from the appliance's own root with its libraries and its own ld-linux, so that
    it depends on nothing the machine has installed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("bin", "lib", "files"):
        (folder / part).mkdir(parents=True)
    libraries = libraries_of(host.run(read("ldd", agent, timeout=60)).stdout)
    shutil.copyfile(agent, folder / "bin" / "qemu-ga")
    for library in libraries:
        name = Path(library).name
        shutil.copyfile(library, folder / "lib" / ("ld-linux.so" if name.startswith("ld-linux") else name))
    for executable in (folder / "bin" / "qemu-ga", folder / "lib" / "ld-linux.so"):
        if not executable.exists():
            raise TwinFailed("The appliance's guest agent has no program interpreter of its own.")
        executable.chmod(0o755)
    for name, content in files.items():
        _put(folder / "files" / name, content)
    inodes, size = room_for(folder)
    with image.open("wb") as out:
        out.truncate(size)
    # With as many inodes as it takes: by itself mke2fs makes one for each block, a sixteenth of the whole.
    host.run(
        write("mke2fs", "-q", "-F", "-t", "ext2", "-b", str(BLOCK), "-I", str(INODE), "-N", str(inodes),
              "-m", "0", "-L", LABEL, "-d", str(folder), str(image), timeout=300)
    )  # fmt: skip
    shutil.rmtree(folder)


def room_for(folder: Path) -> tuple[int, int]:
    """Inodes and bytes of an ext2 that holds what is in `folder`: a multiple of its blocks."""
    sizes = [path.stat().st_size for path in folder.rglob("*")]
    inodes = len(sizes) + 64
    # Beside its data, what a file of 48 KiB or more needs to find it: a block for each 4 MiB, and two.
    blocks = sum(-(-size // BLOCK) + size // (1024 * BLOCK) + 3 for size in sizes)
    return inodes, blocks * BLOCK + -(-inodes * INODE // BLOCK) * BLOCK + ROOM


def _put(target: Path, content: bytes | Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        target.write_bytes(content)
    elif content.is_dir():
        shutil.copytree(content, target, symlinks=True)
    else:
        shutil.copy(content, target)  # with its rights: a check must stay executable
