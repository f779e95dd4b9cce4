"""The Debian releases that lab systems are made of, and in what their installers differ."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.archive import SUITE, host_mirror
from tests.lab.native import run

SYSTEM = Path(__file__).parent / "system"


@dataclass(frozen=True, slots=True)
class Suite:
    """`kernels` matches the releases of its signed kernels; `packages` are what this release alone picks.

    `source` is the file below /etc/apt by which an installed system knows the lab's repository.
    """

    name: str
    kernels: str
    packages: tuple[str, ...]
    source: str

    @property
    def etc(self) -> Path:
        """What lies in /etc as only this release has it."""
        return SYSTEM / self.name

    @property
    def unusual(self) -> str:
        """What tells it from the usual one, in a name."""
        return "" if self.name == SUITE else f"-{self.name}"

    def __str__(self) -> str:
        return self.name


BOOKWORM = Suite(SUITE, r"6\.1\.0-[0-9]+-amd64", ("isc-dhcp-client",), "sources.list.d/lab.list")
TRIXIE = Suite(
    "trixie",
    r"6\.12\.[0-9]+\+deb13-amd64",
    ("dhcpcd-base", "libpam-wtmpdb", "libpam-lastlog2"),
    "sources.list.d/lab.sources",
)


@contextlib.contextmanager
def real_archive(tree: Path, suite: Suite) -> Iterator[tuple[str | Path, ...]]:
    """apt-get in `tree` with the host's own mirror and nothing else; its sources are put back at the end.

    The words to begin a command with. `tree` needs its `chroot_mounts`.
    """
    etc = tree / "etc/apt"
    saved = {file: file.read_bytes() for file in _sources(etc)}
    for file in saved:
        file.unlink()
    (etc / "sources.list").write_text(f"deb {host_mirror().debian} {suite} main\n")
    apt = ("chroot", tree, "apt-get", "-qq", "-y", "--no-install-recommends")
    run(*apt, "update", timeout=300)
    yield apt
    run(*apt, "clean")
    for path in (tree / "var/lib/apt/lists").glob("*_*"):
        path.unlink()
    (etc / "sources.list").unlink()
    for file, content in saved.items():
        file.write_bytes(content)


def _sources(etc: Path) -> list[Path]:
    return [f for f in (etc / "sources.list", *(etc / "sources.list.d").iterdir()) if f.is_file()]
