"""Reading a foreign file system without being led out of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.errors import DamagedData
from appliance.probe.osinfo import default_target, hostname, init_of
from appliance.probe.tree import Tree


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("outside")
    inside = tmp_path / "mounted"
    (inside / "etc").mkdir(parents=True)
    (inside / "usr/lib").mkdir(parents=True)
    return inside


def test_links_stay_inside(base: Path) -> None:
    (base / "usr/lib/os-release").write_text("ID=x\n")
    (base / "etc/os-release").symlink_to("../usr/lib/os-release")
    (base / "etc/absolute").symlink_to("/usr/lib/os-release")
    (base / "etc/out").symlink_to("../../secret")
    (base / "etc/far").symlink_to(base.parent / "secret")
    (base / "lib").symlink_to("usr/lib")
    tree = Tree(base)
    for path in ("/etc/os-release", "etc/absolute", "/lib/os-release", "/etc/../lib/./os-release"):
        assert tree.text(path) == "ID=x\n"
    for path in ("/etc/out", "/etc/far", "/../secret", "/etc/../../secret"):
        assert tree.text(path) is None


def test_loops_devices_and_fifos_are_not_read(base: Path) -> None:
    (base / "a").symlink_to("b")
    (base / "b").symlink_to("a")
    os.mkfifo(base / "fifo")
    (base / "folder").mkdir()
    tree = Tree(base)
    for path in ("a", "fifo", "folder", "missing", "etc/\0bad"):
        assert tree.text(path) is None
    assert tree.present("/a") and not tree.is_file("/a")
    assert tree.link("/a") == "b" and tree.link("/fifo") is None
    assert tree.names("/a") == () and tree.names("/etc") == ()


def test_a_file_without_end_is_refused(base: Path) -> None:
    with open(base / "big", "wb") as out:
        out.truncate(1 << 20)
    with pytest.raises(DamagedData, match="big"):
        Tree(base).data("/big", limit=1000)


def test_what_a_root_says_of_itself(base: Path) -> None:
    tree = Tree(base)
    assert (init_of(tree), hostname(tree), default_target(tree)) == ("", "", "")
    (base / "usr/sbin").mkdir()
    (base / "sbin").symlink_to("usr/sbin")
    (base / "usr/sbin/init").symlink_to("/lib/systemd/systemd")
    assert init_of(tree) == "systemd"
    (base / "usr/sbin/init").unlink()
    (base / "usr/sbin/init").write_text("")
    assert init_of(tree) == "sysvinit"
    (base / "etc/hostname").write_text("# a comment\n\nledger\n")
    assert hostname(tree) == "ledger"
    (base / "usr/lib/systemd/system").mkdir(parents=True)
    (base / "usr/lib/systemd/system/default.target").symlink_to("graphical.target")
    assert default_target(tree) == "graphical.target"
    (base / "etc/systemd/system").mkdir(parents=True)
    (base / "etc/systemd/system/default.target").symlink_to("/lib/systemd/system/multi-user.target")
    assert default_target(tree) == "multi-user.target"
