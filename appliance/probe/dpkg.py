"""What is installed, as dpkg's own data base says it (/var/lib/dpkg/status, deb822(5)). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.model.machine import Packages

STATUS = "/var/lib/dpkg/status"
KIB = 1024

_FIELD = re.compile(r"^(Package|Status|Architecture|Version|Installed-Size): *(\S.*?) *$", re.MULTILINE)
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"[A-Za-z0-9.+:~-]+")
# Debian has all of a kernel in linux-image-*, Ubuntu spreads it over several packages of one version.
_KERNEL = re.compile(r"linux-(?:image|image-unsigned|modules|modules-extra)-(\d.*)")


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed package; `size` is what it takes unpacked, in bytes (deb-control(5), Installed-Size).

    `held`: apt is told to leave it as it is (apt-mark(8)).
    """

    name: str
    arch: str
    version: str
    size: int
    held: bool = False


def parse_status(text: str) -> tuple[Installed, ...]:
    """Every package whose files are there, in the file's order. What does not read as one is left out."""
    return tuple(_installed(text))


def _installed(text: str) -> Iterator[Installed]:
    for paragraph in text.split("\n\n"):
        fields = dict(_FIELD.findall(paragraph))
        status = fields.get("Status", "")
        want, state = status.partition(" ")[0], status.rpartition(" ")[2]
        name, version = fields.get("Package", ""), fields.get("Version", "")
        if state in ("", "not-installed", "config-files"):
            continue
        if _NAME.fullmatch(name) and _VERSION.fullmatch(version):
            size = kib(fields.get("Installed-Size"))
            yield Installed(name, fields.get("Architecture", ""), version, size, want == "hold")


def kib(words: str | None) -> int:
    """A number of KiB as bytes; 0 for what is no such number."""
    return int(words) * KIB if words and re.fullmatch(r"[0-9]{1,12}", words) else 0


def summary(installed: tuple[Installed, ...]) -> Packages:
    """The numbers of it that a plan's room follows from."""
    kernels: dict[str, int] = {}
    for package in installed:
        if found := _KERNEL.fullmatch(package.name):
            kernels[found[1]] = kernels.get(found[1], 0) + package.size
    return Packages(
        count=len(installed),
        bytes=sum(package.size for package in installed),
        kernel_bytes=max(kernels.values(), default=0),
    )
