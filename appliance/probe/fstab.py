"""fstab(5), read and written in its own words, and which device each line means."""

from __future__ import annotations

import re

import msgspec

from appliance.errors import DamagedData
from appliance.model.machine import FstabEntry, Role

SET_TREES = ("/usr", "/etc", "/opt")
SET_POINTS = frozenset({"/var", "/var/lib", "/var/lib/dpkg", "/var/lib/rpm", "/var/lib/apt", "/var/lib/dnf"})
DATA_TREES = ("/usr/local",)
# fmt: off
NOT_A_VOLUME = frozenset(
    {
        "proc", "sysfs", "tmpfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "debugfs", "tracefs",
        "securityfs", "pstore", "configfs", "fusectl", "hugetlbfs", "mqueue", "ramfs", "efivarfs",
        "binfmt_misc", "bpf", "overlay", "autofs", "rpc_pipefs", "none", "nfs", "nfs4", "cifs", "smb3",
        "smbfs", "ceph", "glusterfs", "9p", "virtiofs", "sshfs", "davfs", "udf", "iso9660",
    }
)
# fmt: on


def parse_fstab(text: str) -> tuple[FstabEntry, ...]:
    """Every line that is neither empty nor a comment. Raises DamagedData naming the line."""
    return tuple(
        _entry(line.split(), number)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    )


def _entry(fields: list[str], number: int) -> FstabEntry:
    if "#" in "".join(field[0] for field in fields):
        first = next(i for i, field in enumerate(fields) if field.startswith("#"))
        fields = fields[:first]
    if not 3 <= len(fields) <= 6:
        raise DamagedData(f"/etc/fstab, line {number}: {len(fields)} fields where 4 to 6 belong.")
    freq, passno = (_digit(field, number) for field in (*fields[4:], "0", "0")[:2])
    words = [_unescape(field) for field in fields[:4]]
    return FstabEntry(
        spec=words[0],
        target=words[1],
        fstype=words[2],
        options=words[3] if len(words) > 3 else "defaults",
        freq=freq,
        passno=passno,
    )


def _digit(field: str, number: int) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", field):
        raise DamagedData(f"/etc/fstab, line {number}: {field!r} stands where a number belongs.")
    return int(field)


def _unescape(field: str) -> str:
    """Blanks inside fields are written as octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), field)


def is_volume(entry: FstabEntry) -> bool:
    """Whether the line mounts (or swaps on) a block device of this machine at every boot."""
    options = entry.options.split(",")
    local = entry.fstype not in NOT_A_VOLUME and not entry.fstype.startswith("fuse")
    device = entry.spec.startswith("/dev/") or "=" in entry.spec
    return local and device and "noauto" not in options and "bind" not in options and "rbind" not in options


def role_of(entry: FstabEntry) -> Role:
    """What the volume is to a rehearsal, from where it is mounted.

    In the set is what holds files or state of packages; data is everything else, the folders of data bases
    and logs below /var included.
    """
    target = "/" + entry.target.strip("/")
    if entry.fstype == "swap":
        return Role.SWAP
    if target == "/":
        return Role.ROOT
    if any(target == tree or target.startswith(tree + "/") for tree in DATA_TREES):
        return Role.DATA
    inside = target in SET_POINTS or any(target == t or target.startswith(t + "/") for t in SET_TREES)
    return Role.SET if inside else Role.DATA


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A device fstab may mean. `names` are its other paths, `shown` the device it can be read by.

    `ours` marks volumes that rehearsals made.
    """

    path: str
    names: frozenset[str] = frozenset()
    size: int = 0
    fstype: str = ""
    fsuuid: str = ""
    label: str = ""
    partuuid: str = ""
    partlabel: str = ""
    shown: str = ""
    vg: str = ""
    lv: str = ""
    ours: bool = False


_TAGS = {
    "UUID": "fsuuid",
    "LABEL": "label",
    "PARTUUID": "partuuid",
    "PARTLABEL": "partlabel",
    "by-uuid": "fsuuid",
    "by-label": "label",
    "by-partuuid": "partuuid",
    "by-partlabel": "partlabel",
}


def by_tag(spec: str) -> bool:
    """Whether the spec says what lies on the device, which a snapshot of it says as well."""
    return re.match(r"(?:UUID|LABEL)=|/dev/disk/by-(?:uuid|label)/", spec) is not None


def find_device(spec: str, known: tuple[Known, ...], root: Known | None = None) -> Known | None:
    """The device an fstab spec or a root= argument names, None where this machine has none such.

    Snapshots share the UUID of their origin: `root` (the volume the fstab lies on) wins, then volumes not of
    our own making.
    """
    order = sorted(known, key=lambda k: (k != root, k.ours))
    path = re.fullmatch(r"/dev/disk/(by-(?:part)?(?:uuid|label))/(.+)", spec)
    tag = re.fullmatch(r"(UUID|LABEL|PARTUUID|PARTLABEL)=\"?([^\"]+)\"?", spec)
    found = path or tag
    if found is None:
        return next((k for k in order if spec == k.path or spec in k.names), None)
    field, value = _TAGS[found.group(1)], _udev_unescape(found.group(2))
    fold = "uuid" in field
    return next((k for k in order if _same(getattr(k, field), value, fold)), None)


def _same(have: str, want: str, fold: bool) -> bool:
    return bool(have) and (have.lower() == want.lower() if fold else have == want)


def _udev_unescape(text: str) -> str:
    return re.sub(r"\\x([0-9a-fA-F]{2})", lambda found: chr(int(found.group(1), 16)), text)
