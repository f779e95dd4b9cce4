"""Where the laboratory gets Debian from: the host's own apt sources, an environment variable, or Debian."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tests.lab.native import LabError, run

SUITE = "bookworm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEBIAN = "http://deb.debian.org/debian"
SECURITY = "http://security.debian.org/debian-security"


@dataclass(frozen=True, slots=True)
class Mirror:
    """Base addresses of the Debian archive and of its security updates."""

    debian: str
    security: str


def host_mirror(etc: Path = Path("/etc/apt")) -> Mirror:
    """The host's own; TWINBOOT_DEBIAN_MIRROR and TWINBOOT_SECURITY_MIRROR win; else Debian's names."""
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    text = "\n".join(f.read_text() for f in files if f.is_file())
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    addresses = re.findall(r"https?://[^\s\]]+", "\n".join(lines))
    found = {a.rstrip("/").rsplit("/", 1)[-1]: a.rstrip("/") for a in reversed(addresses)}
    return Mirror(
        os.environ.get("TWINBOOT_DEBIAN_MIRROR") or found.get("debian", DEBIAN),
        os.environ.get("TWINBOOT_SECURITY_MIRROR") or found.get("debian-security", SECURITY),
    )


@dataclass(frozen=True, slots=True)
class PrivateApt:
    """An apt of our own in `folder`, which knows `suite` and its security updates and nothing of the host."""

    folder: Path
    mirror: Mirror
    suite: str = SUITE

    def _options(self) -> tuple[str, ...]:
        return (
            f"-oDir={self.folder}",
            f"-oDir::State::status={self.folder}/status",
            f"-oDir::Etc::trusted={KEYRING}",
            "-oDir::Etc::main=/dev/null",
            "-oDir::Etc::parts=/dev/null",
            "-oAPT::Architecture=amd64",
            "-oAPT::Architectures=amd64",
            "-oAcquire::Languages=none",
            "-oAPT::Sandbox::User=root",
        )

    def update(self) -> None:
        for sub in ("etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
            (self.folder / sub).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        signed = f"[signed-by={KEYRING}]"
        (self.folder / "etc/apt/sources.list").write_text(
            f"deb {signed} {self.mirror.debian} {self.suite} main\n"
            f"deb {signed} {self.mirror.security} {self.suite}-security main\n"
        )
        run("apt-get", *self._options(), "update", timeout=300)

    def candidates(self, package: str) -> list[tuple[str, str]]:
        """(version, suite line) of every offer of `package`, newest first."""
        rows = run("apt-cache", *self._options(), "madison", package).splitlines()
        fields = [[cell.strip() for cell in row.split("|")] for row in rows]
        return [(version, origin) for _, version, origin in fields if "Packages" in origin]

    def names(self, pattern: str) -> list[str]:
        return run("apt-cache", *self._options(), "search", "--names-only", pattern).splitlines()

    def field(self, package: str, version: str, field: str) -> str:
        text = run("apt-cache", *self._options(), "show", f"{package}={version}")
        match = re.search(rf"^{field}: (.*)$", text, re.MULTILINE)
        if match is None:
            raise LabError(f"{package} {version} has no field {field}.")
        return match[1]

    def download(self, package: str, version: str, folder: Path) -> Path:
        """Fetch one .deb into `folder` and return its path; apt has checked its hash."""
        folder.mkdir(parents=True, exist_ok=True)
        run("apt-get", *self._options(), "download", f"{package}={version}", cwd=folder, timeout=900)
        return max(folder.glob(f"{package}_*.deb"), key=lambda p: p.stat().st_mtime)
