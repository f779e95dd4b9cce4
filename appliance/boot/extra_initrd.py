"""An initrd with more drivers: an archive of ours that goes behind it, and a first program that loads them.

Linux unpacks one archive after the other (early-userspace/buffer-format.rst). What is added lies in a folder
of its own, so nothing of the first one is replaced; `rdinit=` names our program, which loads the drivers by
the initrd's own modprobe and then is the program that would have run without it.
"""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

from appliance.boot.drivers import plain
from appliance.errors import BootConfigFailed
from appliance.host.run import Host, write

HOME = "twinboot"
WORD = f"rdinit=/{HOME}/init"
"""On the kernel's command line."""

_INIT = """#!/bin/sh
# Drivers of a virtual machine's disks, which this initrd was not packed for.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
for module in {modules}; do
    modprobe -d /{home} "$module" || echo "twinboot: $module was not loaded"
done
exec /init "$@"
"""
_MODULE = re.compile(r"([^/]+?)\.ko(?:\.(?:xz|zst|gz))?\Z")
_LISTS = ("modules.order", "modules.builtin", "modules.builtin.modinfo")
_ALIGNMENT = 4


def kernel_version(kernel: Path) -> str:
    """What a bzImage says of itself (Documentation/arch/x86/boot.rst, kernel_version).

    Raises BootConfigFailed where it is none.
    """
    with kernel.open("rb") as data:
        head = data.read(0x8000)
    if head[0x202:0x206] != b"HdrS":
        raise BootConfigFailed(f"{kernel.name} is no Linux kernel that can be started without its loader.")
    at = 0x200 + int.from_bytes(head[0x20E:0x210], "little")
    words = head[at : at + 256].split(b"\0")[0].decode("ascii", "replace").split()
    if not words:
        raise BootConfigFailed(f"{kernel.name} does not say which version it is.")
    return words[0]


def archive(host: Host, folder: Path, version: str, modules: tuple[str, ...], work: Path) -> bytes:
    """The archive that goes behind an initrd: those of `modules` that are files of the kernel's module
    `folder`, with what they need. `work` is a folder for scratch. Raises BootConfigFailed, CommandFailed."""
    tree = work / HOME
    shutil.rmtree(tree, ignore_errors=True)
    at = tree / "lib/modules" / version
    at.mkdir(parents=True)
    for path in _with_needs(folder, modules):
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / path, at / path)
    for name in _LISTS:
        if (folder / name).is_file():
            shutil.copy(folder / name, at / name)
    host.run(write("depmod", "-b", str(tree), version, timeout=120))
    # Distributions differ in where their modprobe looks below the folder it is given.
    (tree / "usr").symlink_to(".")
    (tree / "init").write_text(_INIT.format(modules=" ".join(modules), home=HOME))
    (tree / "init").chmod(0o755)
    packed = _packed(work, tree)
    shutil.rmtree(tree)
    return packed


def behind(initrds: tuple[Path, ...], more: bytes, target: Path) -> None:
    """Write `initrds` and `more` behind them to `target`, each where Linux looks for the next one."""
    with target.open("wb") as out:
        for initrd in initrds:
            with initrd.open("rb") as data:
                shutil.copyfileobj(data, out)
            out.write(bytes(-out.tell() % _ALIGNMENT))
        out.write(more)


def _with_needs(folder: Path, modules: tuple[str, ...]) -> tuple[str, ...]:
    """Paths in `folder` of the modules that are files there, and of all that those need (modules.dep(5))."""
    needs: dict[str, list[str]] = {}
    dep = folder / "modules.dep"
    for line in dep.read_text(errors="replace").splitlines() if dep.is_file() else ():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    named = {plain(match[1]): path for path in needs if (match := _MODULE.search(path))}
    paths = [named[name] for name in map(plain, modules) if name in named]
    every = dict.fromkeys(path for first in paths for path in (first, *needs[first]))
    inside = [path for path in every if ".." not in path.split("/") and not path.startswith("/")]
    return tuple(path for path in inside if (folder / path).is_file())


def _packed(top: Path, tree: Path) -> bytes:
    """`tree` below `top` as an archive of the "new" form; all in it belongs to root."""
    out = bytearray()
    for number, path in enumerate(sorted((tree, *tree.rglob("*"))), 1):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            data = str(path.readlink()).encode()
        else:
            data = path.read_bytes() if stat.S_ISREG(mode) else b""
        out += _member(str(path.relative_to(top)), number, mode, data)
    return bytes(out + _member("TRAILER!!!", 0, 0, b""))


def _member(name: str, number: int, mode: int, data: bytes) -> bytes:
    path = name.encode() + b"\0"
    fields = [0] * 13
    fields[0], fields[1], fields[4], fields[6], fields[11] = number, mode, 1, len(data), len(path)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return header + bytes(-len(header) % _ALIGNMENT) + data + bytes(-len(data) % _ALIGNMENT)
