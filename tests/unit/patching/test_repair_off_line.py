"""A real Debian put right without being booted: its own dpkg and apt, cut off from the machine around it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import Refused
from appliance.host.run import RealHost
from appliance.patching.apt_repair import finish, undo
from appliance.patching.apt_setup import environment, write_preferences
from appliance.patching.apt_undo import not_undone, read_last, undo_words
from appliance.patching.base import Setting
from appliance.patching.choose import choose
from appliance.twin.offline import Offline
from tests.contract import alone
from tests.lab.repository import Pool
from tests.lab.tree import base_tree, layered

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture
def copy(pool: Pool) -> Iterator[Offline]:
    """The lab's tree with ledger 1.0 unpacked and not set up."""
    with alone.held(), layered(base_tree()) as root:
        for at in ("run", "tmp"):
            subprocess.run(("mount", "-t", "tmpfs", "tmpfs", str(root / at)), check=True, timeout=60)
        try:
            shutil.copy(pool.deb("ledger", "1.0"), root / "var/tmp/ledger.deb")
            made = Offline(RealHost(), root)
            assert made.exec(("dpkg", "--unpack", "/var/tmp/ledger.deb"), timeout=120).status == 0
            yield made
        finally:
            for at in ("run", "tmp"):
                subprocess.run(("umount", "--lazy", str(root / at)), check=True, timeout=60)


def inside(root: Path) -> list[str]:
    """What runs with `root` as its root directory, whichever namespace it is in."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "root").stat() == root.stat():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def test_packages_are_finished_and_nothing_is_started(copy: Offline) -> None:
    manager = choose(copy, Setting())
    assert manager.audit() == ("Package ledger is unpacked, not set up.",)
    mark = manager.begin()
    write_preferences(copy, security=False)
    finish(lambda argv, what: copy.exec(argv, timeout=200).status)
    assert manager.audit() == ()
    assert manager.collect(mark).failure == ""
    wanted = "etc/systemd/system/multi-user.target.wants/ledger.service"
    assert (copy.root / wanted).is_symlink(), "it is enabled for the next boot"
    assert inside(copy.root) == []


def test_the_last_transaction_is_undone_from_what_was_downloaded(copy: Offline, pool: Pool) -> None:
    assert copy.exec(("dpkg", "--configure", "-a"), timeout=120).status == 0
    shutil.copy(pool.deb("ledger", "1.4"), copy.root / "var/tmp/new.deb")
    broke = copy.exec((*environment(""), "apt-get", "-y", "install", "/var/tmp/new.deb"), timeout=200)
    assert broke.status == 100, "its configuration script fails"
    manager, wanted = choose(copy, Setting()), read_last(copy)
    assert [(c.name, c.before, c.after) for c in wanted.changes] == [("ledger", "1.0", "1.4")]
    for network in (True, False):
        with pytest.raises(Refused, match=r"ledger 1\.0 is not in /var/cache/apt/archives"):
            undo_words(copy, wanted, network=network)
    shutil.copy(pool.deb("ledger", "1.0"), copy.root / "var/cache/apt/archives/ledger_1.0_all.deb")
    write_preferences(copy, security=False)
    words = undo_words(copy, wanted, network=False)
    undo(lambda argv, what: copy.exec(argv, timeout=200).status, Setting(), (), words)
    assert not_undone(wanted.changes, manager.installed()) == () == manager.audit()


def test_a_program_sees_no_disk_no_network_and_no_process_of_the_machine(copy: Offline) -> None:
    look = "ls /dev; ip -o addr show up | grep -v ' lo ' ; ls -d /proc/[0-9]* | wc -l"
    said = copy.exec(("sh", "-c", look), timeout=60).stdout.decode().splitlines()
    devices = said[: said.index("zero") + 1]
    assert set(devices) == {
        *("fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout"),
        *("tty", "urandom", "zero"),
    }
    assert int(said[said.index("zero") + 1]) <= 5, "its own processes only, and no address before them"
    mounts = copy.read_file("/proc/mounts").decode().splitlines()
    assert next(line.split()[3] for line in mounts if " /sys " in line).startswith("ro,")


def test_what_outlives_its_call_is_ended_with_it(copy: Offline) -> None:
    started = copy.exec(("sh", "-c", "sleep 4711 & echo going"), timeout=60)
    assert started.stdout == b"going\n"
    left = subprocess.run(("pgrep", "-f", "^sleep 4711"), capture_output=True, check=False)
    assert left.stdout == b""


def test_files_are_written_and_read_inside(copy: Offline) -> None:
    copy.write_file("/etc/mark", b"x\n", 0o600)
    assert copy.read_file("/etc/mark") == b"x\n"
    assert (Path(copy.root) / "etc/mark").stat().st_mode & 0o777 == 0o600
