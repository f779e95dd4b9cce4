"""A root with rpm's database in a container, and what is offered to it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.lab.native import run
from tests.lab.rpm_tree import NAMED, WORK, rpm_tree
from tests.lab.tree import layered
from tests.unit.patching.nspawn import Container

FEDORA = 'ID=fedora\nVERSION_ID="9"\n'
LEAP = 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.6"\n'
NEWER = (
    "ledger-1.1-1",
    "grub2-lab-1.1-1",
    "configured-1.1-1",
    f"{NAMED}-1.1-1",
    "kernel-core-6.1.0-2",
)


@contextlib.contextmanager
def rpm_container(scratch: Path, os_release: str) -> Iterator[Container]:
    """The tree as it was installed, every package at 1.0; what is written to it is gone at the end."""
    with layered(rpm_tree()) as root:
        (root / "etc/os-release").unlink()
        (root / "etc/os-release").write_text(os_release)
        served = scratch / "served"
        served.mkdir()
        guest = Container(root, served, boots=False)
        try:
            guest.start()
            yield guest
        finally:
            guest.stop(cut=True)


def publish(guest: Container, place: str, *names: str) -> Path:
    """A signed repository of these packages ("ledger-1.1-1") at `place` in the guest."""
    files = [f"{name}.noarch.rpm" for name in names]
    run("chroot", guest.folder, "sh", "/lab/publish.sh", WORK, place, *files)
    return guest.folder / place[1:]


def offer(guest: Container, *names: str, host: str = "repo.example") -> None:
    """The same behind the guest's proxy as http://HOST/lab."""
    made = publish(guest, "/lab/offered", *names)
    target = guest.served / host / "lab"
    target.parent.mkdir(exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(made, target)


def rpm(guest: Container, name: str) -> Path:
    return guest.folder / WORK[1:] / "rpms" / f"{name}.noarch.rpm"


def etc(guest: Container) -> str:
    """Sums of all files below /etc, but for what the test changes itself."""
    return guest.sh("find /etc -type f -print | sort | xargs -d '\\n' md5sum")
