"""What btrfs-progs say of a mounted file system, and which subvolume a machine starts from it.

Asking writes nothing: the file system is mounted read-only, at its top level. Parsers are pure.
Sources: btrfs-subvolume(8), btrfs-filesystem(8), btrfs(5) for the options subvol= and subvolid=.
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec.structs import replace

from appliance.errors import DamagedData
from appliance.host.run import Host, read
from appliance.model.btrfs import TOP, BtrfsRoot, Subvolume
from appliance.model.groups import is_subvolume_name, subvolume_path
from appliance.probe.tree import Tree

AT_TOP = (f"subvolid={TOP}",)
"""Mount options that show the whole file system, whatever its default subvolume is."""

PROGRAM = ("/usr/bin/btrfs", "/usr/sbin/btrfs", "/bin/btrfs", "/sbin/btrfs")
"""Where distributions have it, as their package btrfs-progs."""

LIMIT = 60.0
"""Seconds for one question."""

_ROW = re.compile(
    r"ID (\d+) gen \d+ parent (\d+) top level \d+ parent_uuid (\S+) +uuid (\S+) path (.+)", re.ASCII
)
_ID = re.compile(r"ID (\d+) ", re.ASCII)
_DEFAULT = re.compile(r"ID (\d+) (?:gen \d+ top level \d+ path .+|\(FS_TREE\))", re.ASCII)
_DEVICES = re.compile(r"^\s*Total devices (\d+) ", re.ASCII | re.MULTILINE)
_UUID = re.compile(r"uuid: ([0-9a-f-]{36})$", re.MULTILINE)


def look(host: Host, at: Path) -> BtrfsRoot:
    """What the file system mounted at `at` (with AT_TOP) holds; `root` is still its default subvolume.

    Raises CommandFailed, DamagedData.
    """
    rows = host.run(read("btrfs", "subvolume", "list", "-p", "-q", "-u", str(at), timeout=LIMIT)).stdout
    kept = host.run(read("btrfs", "subvolume", "list", "-r", str(at), timeout=LIMIT)).stdout
    default = parse_default(
        host.run(read("btrfs", "subvolume", "get-default", str(at), timeout=LIMIT)).stdout
    )
    shown = host.run(read("btrfs", "filesystem", "show", "--raw", str(at), timeout=LIMIT)).stdout
    uuid, devices = parse_shown(shown)
    subvolumes = parse_subvolumes(rows, parse_ids(kept))
    return BtrfsRoot(uuid=uuid, root=default, default=default, devices=devices, subvolumes=subvolumes)


def parse_subvolumes(text: str, readonly: frozenset[int] = frozenset()) -> tuple[Subvolume, ...]:
    """`btrfs subvolume list -p -q -u`, in its order. Raises DamagedData naming the line."""
    return tuple(_subvolume(line, readonly) for line in text.splitlines() if line.strip())


def _subvolume(line: str, readonly: frozenset[int]) -> Subvolume:
    found = _ROW.fullmatch(line)
    if found is None:
        raise DamagedData(f"btrfs subvolume list says {line!r}, which is no line of it.")
    id, parent, copy_of, uuid, path = found.groups()
    return Subvolume(
        id=int(id),
        path=path,
        uuid=uuid,
        parent=int(parent),
        copy_of="" if copy_of == "-" else copy_of,
        readonly=int(id) in readonly,
    )


def parse_ids(text: str) -> frozenset[int]:
    """The ids of any `btrfs subvolume list`. Raises DamagedData naming the line."""
    found = [(line, _ID.match(line)) for line in text.splitlines() if line.strip()]
    for line, id in found:
        if id is None:
            raise DamagedData(f"btrfs subvolume list says {line!r}, which is no line of it.")
    return frozenset(int(id[1]) for _, id in found if id)


def parse_default(text: str) -> int:
    """`btrfs subvolume get-default`. Raises DamagedData."""
    found = _DEFAULT.fullmatch(text.strip())
    if found is None:
        raise DamagedData(f"btrfs subvolume get-default says {text.strip()!r}, which names no subvolume.")
    return int(found[1])


def parse_shown(text: str) -> tuple[str, int]:
    """`btrfs filesystem show`: the file system's UUID and how many devices it has. Raises DamagedData."""
    uuid, devices = _UUID.search(text), _DEVICES.search(text)
    if uuid is None or devices is None:
        raise DamagedData("btrfs filesystem show does not say how many devices there are.")
    return uuid[1], int(devices[1])


def has_tools(tree: Tree) -> bool:
    """Whether the system in `tree` has btrfs(8)."""
    return any(tree.present(path) for path in PROGRAM)


def root_options(arguments: str) -> str:
    """The mount options of rootflags= on a kernel command line; the last one counts, as for the kernel."""
    values = [word.partition("=")[2] for word in arguments.split() if word.startswith("rootflags=")]
    return values[-1] if values else ""


def named_in(found: BtrfsRoot, options: str) -> int | None:
    """The id of the subvolume that mount options name; None where they name none, 0 where it is not there.

    The last of several counts (btrfs(5)).
    """
    id: int | None = None
    for option in options.split(","):
        key, _, value = option.partition("=")
        if key == "subvol":
            id = found.at(value)
        elif key == "subvolid":
            number = int(value) if value.isascii() and value.isdigit() else -1
            # 0 is another word for the top level.
            id = TOP if number in (0, TOP) else number if found.subvolume(number) else 0
    return id


def as_started(found: BtrfsRoot, arguments: str) -> BtrfsRoot:
    """`found` with what the kernel command line `arguments` makes of it."""
    named = named_in(found, root_options(arguments))
    return replace(found, named=named is not None, starts=found.default if named is None else named)


_MADE = re.compile(r"^\s*Gen at creation:\s+(\d+)$", re.ASCII | re.MULTILINE)
_CHANGED = re.compile(r"^\s*Generation:\s+(\d+)$", re.ASCII | re.MULTILINE)


def named_at_top(found: BtrfsRoot, options: str) -> str:
    """What the subvolume is called that fstab's `options` find by its name alone, directly below the top
    level. Empty where they do not: one that is found by its id could not change places with a snapshot."""
    words = [word.partition("=") for word in options.split(",")]
    names = [value.strip("/") for key, _, value in words if key == "subvol"]
    if any(key == "subvolid" for key, _, _ in words) or not names:
        return ""
    name = names[-1]
    plain = is_subvolume_name(name) and subvolume_path(name) == name
    return name if plain and found.at(name) not in (0, TOP) else ""


def parse_generations(text: str) -> tuple[int, int]:
    """`btrfs subvolume show`: the generation of the last change, and the one it was made in.

    Raises DamagedData.
    """
    changed, made = _CHANGED.search(text), _MADE.search(text)
    if changed is None or made is None:
        raise DamagedData("btrfs subvolume show does not say when the subvolume was changed.")
    return int(changed[1]), int(made[1])
