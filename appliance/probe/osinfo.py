"""What an installed root says of itself: distribution, name, init, default target, kernels, versions."""

from __future__ import annotations

import re
import shlex

import msgspec

from appliance.errors import DamagedData
from appliance.model.machine import Kernel
from appliance.probe.tree import Tree


class OsRelease(msgspec.Struct, frozen=True, kw_only=True):
    """`like` are the distributions it says it descends from (ID_LIKE), nearest first."""

    id: str = ""
    name: str = ""
    version: str = ""
    like: tuple[str, ...] = ()
    codename: str = ""


def parse_os_release(text: str) -> OsRelease:
    """os-release(5). Raises DamagedData naming the line that is no assignment."""
    fields: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_]+", key):
            raise DamagedData(f"os-release, line {number} is no assignment.")
        fields[key] = _unquote(value, number)
    name = fields.get("PRETTY_NAME") or fields.get("NAME", "")
    return OsRelease(
        id=fields.get("ID", "linux"),
        name=name,
        version=fields.get("VERSION_ID", ""),
        like=tuple(fields.get("ID_LIKE", "").split()),
        codename=fields.get("VERSION_CODENAME", ""),
    )


def codename(tree: Tree) -> str:
    """What the release is called in the addresses of its archive; empty where it does not say."""
    text = tree.text("/etc/os-release", 65536) or tree.text("/usr/lib/os-release", 65536) or ""
    try:
        return parse_os_release(text).codename
    except DamagedData:
        return ""


def _unquote(value: str, number: int) -> str:
    try:
        words = shlex.split(value, comments=False)
    except ValueError:
        raise DamagedData(f"os-release, line {number}: a quote is not closed.") from None
    if len(words) > 1:
        raise DamagedData(f"os-release, line {number}: the value needs quotes.")
    return words[0] if words else ""


MANAGERS = (
    ("apt", ("/var/lib/dpkg/status",), ("debian", "ubuntu")),
    ("zypper", ("/usr/bin/zypper",), ("suse", "opensuse", "sles")),
    ("dnf", ("/usr/bin/dnf", "/usr/bin/dnf5"), ("fedora", "rhel", "centos")),
    ("yum", ("/usr/bin/yum",), ()),
)
"""Package managers, the files that show each, and the families of distributions that have it."""


def package_manager(tree: Tree, release: OsRelease) -> str:
    """The package manager that is there; where /usr lies elsewhere that of its family; empty for others."""
    by_file = (name for name, files, _ in MANAGERS if any(tree.present(file) for file in files))
    family = {release.id, *release.like}
    by_family = (name for name, _, ids in MANAGERS if family & set(ids))
    return next(by_file, "") or next(by_family, "")


def installed_version(status: str, packages: tuple[str, ...]) -> str:
    """Version of the first of `packages` that dpkg's status file says is installed, else empty."""
    for package in packages:
        paragraph = rf"^Package: {re.escape(package)}\n((?:.+\n)*)"
        for found in re.finditer(paragraph, status + "\n", re.MULTILINE):
            body = found.group(1)
            state = re.search(r"^Status: \S+ \S+ (\S+)$", body, re.MULTILINE)
            version = re.search(r"^Version: (\S+)$", body, re.MULTILINE)
            if state and version and state.group(1) not in ("not-installed", "config-files"):
                return version.group(1)
    return ""


def kernels(names: tuple[str, ...]) -> tuple[Kernel, ...]:
    """Kernels of a /boot folder by its file names, newest first; `initrd` is empty where there is none."""
    present = frozenset(names)
    found = []
    for name in names:
        match = re.fullmatch(r"(?:vmlinuz|vmlinux|linux)-(.+)", name)
        if match is None or re.search(r"rescue|\.(sig|hmac|old|bak|dpkg-\w+)$", name):
            continue
        version = match.group(1)
        spellings = (
            f"initrd.img-{version}",
            f"initramfs-{version}.img",
            f"initrd-{version}",
            f"initrd-{version}.img",
        )
        initrd = next((i for i in spellings if i in present), "")
        found.append(Kernel(version=version, vmlinuz=name, initrd=initrd))
    return tuple(sorted(found, key=lambda kernel: _natural(kernel.version), reverse=True))


def _natural(text: str) -> tuple[tuple[int, int | str], ...]:
    """Numbers compare as numbers: 6.1.0-28 comes after 6.1.0-9."""
    parts = re.findall(r"\d{1,18}|\D+|\d+", text)
    return tuple((0, int(p)) if p.isascii() and p.isdigit() and len(p) <= 18 else (1, p) for p in parts)


def hostname(tree: Tree) -> str:
    """The first word of /etc/hostname that is no comment."""
    lines = [line.strip() for line in (tree.text("/etc/hostname", 65536) or "").splitlines()]
    return next((line[:253] for line in lines if line and not line.startswith("#")), "")


def init_of(tree: Tree) -> str:
    """ "systemd" or the name of what /sbin/init is; empty where there is none (or /usr lies elsewhere)."""
    for path in ("/sbin/init", "/usr/sbin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd"):
        link = tree.link(path)
        found = tree.resolve(path)
        name = (link or (path if found else "")).rpartition("/")[2]
        if name:
            return "systemd" if name == "systemd" else "sysvinit" if name == "init" else name
    return ""


def default_target(tree: Tree) -> str:
    """The unit that default.target is: the administrator's link, else the distribution's."""
    for folder in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"):
        link = tree.link(f"{folder}/default.target")
        if link:
            return link.rpartition("/")[2]
    return ""
