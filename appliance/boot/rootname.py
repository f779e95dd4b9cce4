"""What a kernel command line names as the root: a device, and on btrfs one subvolume of what is on it.

Both together are one name, written as findmnt(8) does: "UUID=f-f[/@]", "/dev/mapper/vg0-root". A subvolume
may be named by its id as well, "UUID=f-f[#261]", which a rename does not change. Source: btrfs(5), subvol=
and subvolid=; of several words the kernel takes the last.
"""

from __future__ import annotations

import re

from appliance.errors import BootConfigFailed
from appliance.probe.bls import parse_lines
from appliance.probe.btrfs import root_options

_ROOT = re.compile(r"(?:\A|\s)root=(\S*)")
_FLAGS = re.compile(r"((?:\A|\s)rootflags=)(\S*)")
_NAME = re.compile(r"([^\[\]]*)(?:\[([^\[\]]+)\])?")
_DEVICE = re.compile(r"(?:/dev/[A-Za-z0-9+_.:/-]+|UUID=[A-Za-z0-9-]+)\Z")
# Nothing a command line, a script of GRUB or fstab could take for more than a path.
_PART = re.compile(r"(?:#[0-9]{1,19}|/[A-Za-z0-9@_.+/-]*)\Z")


def root_of(options: str) -> str:
    """The root that a command line names; empty where it names none."""
    root = _ROOT.search(options)
    return joined(root[1], part_in(root_options(options))) if root else ""


def part_in(options: str) -> str:
    """The subvolume that mount options name, "/path" or "#id"; empty where they name none."""
    words = [option.partition("=") for option in options.split(",")]
    paths = [value for key, _, value in words if key == "subvol"]
    ids = [value for key, _, value in words if key == "subvolid"]
    if paths:
        return f"/{paths[-1].strip('/')}"
    return f"#{ids[-1]}" if ids else ""


def joined(device: str, part: str) -> str:
    return f"{device}[{part}]" if part else device


def split(root: str) -> tuple[str, str]:
    """Device and subvolume, the latter empty where all of the device is meant. Raises BootConfigFailed."""
    device, part = _parts(root)
    if not _DEVICE.match(device) or (part and not _PART.match(part)):
        raise BootConfigFailed(f"The root device {root!r} is not fit for a boot entry.")
    return device, part


def _parts(root: str) -> tuple[str, str]:
    found = _NAME.fullmatch(root)
    return (found[1], found[2] or "") if found else ("", "")


def is_one(root: str) -> bool:
    """Whether the name means one root alone: a UUID is that of a snapshot as well."""
    return root.startswith("/dev/mapper/") or root.endswith("]")


def with_part(options: str, part: str) -> str:
    """Mount options that name the subvolume `part` and no other, in that place, the rest word for word."""
    words = options.split(",") if options else []
    naming = [word for word in words if word.startswith(("subvol=", "subvolid="))]
    slash = "/" if any(word.startswith("subvol=/") for word in naming) or part == "/" else ""
    named = f"subvolid={part[1:]}" if part.startswith("#") else f"subvol={slash}{part.strip('/')}"
    if not naming:
        return ",".join((*words, named))
    return ",".join(named if word is naming[0] else word for word in words if word not in naming[1:])


def named(options: str, root: str) -> tuple[str, ...]:
    """The words that name `root` on a command line which was `options`. Raises BootConfigFailed."""
    device, part = split(root)
    return (f"root={device}", *((f"rootflags={with_part(root_options(options), part)}",) if part else ()))


def turned(line: str, old: str, new: str) -> str:
    """A line with a command line that names `old`, naming `new` instead; every other one as it is.

    `new` may be what the machine itself said before, in whatever words.
    """
    if root_of(line) != old:
        return line
    (was, _), (device, part) = _parts(old), _parts(new)
    was = re.escape(was)
    line = re.sub(rf"(?<=\s)root={was}(?=\s|$)", lambda _: f"root={device}", line)
    return _FLAGS.sub(lambda found: f"{found[1]}{with_part(found[2], part)}", line) if part else line


def entry_turned(text: str, old: str, new: str) -> str:
    """A file of loader/entries with options lines that name the root `old` naming `new`; all else byte for
    byte."""
    lines = parse_lines(text)
    return "".join(turned(li.raw, old, new) if li.key == "options" else li.raw for li in lines)
