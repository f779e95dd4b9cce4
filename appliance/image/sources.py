"""Which Debian mirror the build reads from. Its name goes into no file of the image."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT = "http://deb.debian.org/debian"
DEFAULT_SECURITY = "http://deb.debian.org/debian-security"


@dataclass(frozen=True, slots=True)
class Mirrors:
    """URLs of the archive and of its security updates."""

    archive: str
    security: str


def mirrors(environment: Mapping[str, str] = os.environ, apt: Path = Path("/etc/apt")) -> Mirrors:
    """From TWINBOOT_MIRROR and TWINBOOT_SECURITY_MIRROR, else the host's apt sources, else Debian's own."""
    found = list(apt_uris(apt))
    archive = environment.get("TWINBOOT_MIRROR") or _first(found, "/debian") or DEFAULT
    security = environment.get("TWINBOOT_SECURITY_MIRROR") or _first(found, "/debian-security")
    if not security:
        security = _sibling(archive)
    return Mirrors(archive.rstrip("/"), security.rstrip("/"))


def _first(uris: Iterable[str], end: str) -> str | None:
    return next((uri for uri in uris if uri.rstrip("/").endswith(end)), None)


def _sibling(archive: str) -> str:
    """Mirrors with the archive at .../debian carry security updates at .../debian-security."""
    if archive.rstrip("/").endswith("/debian"):
        return archive.rstrip("/") + "-security"
    return DEFAULT_SECURITY


def apt_uris(apt: Path) -> list[str]:
    """HTTP addresses of the enabled entries under an /etc/apt, both formats, in file order."""
    files = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*"))]
    found: list[str] = []
    for file in files:
        if file.is_file():
            text = file.read_text(errors="replace")
            found += _deb822(text) if file.suffix == ".sources" else _one_line(text)
    return found


def _one_line(text: str) -> list[str]:
    return re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(https?://\S+)", text, re.MULTILINE)


def _deb822(text: str) -> list[str]:
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        if re.search(r"^Enabled:\s*(no|false)\b", paragraph, re.MULTILINE | re.IGNORECASE):
            continue
        for uris in re.findall(r"^URIs:\s*(.+)$", paragraph, re.MULTILINE | re.IGNORECASE):
            found += [uri for uri in uris.split() if uri.startswith(("http://", "https://"))]
    return found
