"""Distributions by the os-release they document, and the package manager of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.probe.osinfo import package_manager, parse_os_release
from appliance.probe.tree import Tree

# ID, ID_LIKE, VERSION_ID as os-release(5) of each distribution has them, and its package manager.
DISTRIBUTIONS = [
    ("debian", "", "12", "apt"),
    ("ubuntu", "debian", "24.04", "apt"),
    ("linuxmint", '"ubuntu debian"', "21.3", "apt"),
    ("pop", '"ubuntu debian"', "22.04", "apt"),
    ("fedora", "", "41", "dnf"),
    ("rhel", "fedora", "9.4", "dnf"),
    ("almalinux", '"rhel centos fedora"', "9.5", "dnf"),
    ("rocky", '"rhel centos fedora"', "9.5", "dnf"),
    ("centos", '"rhel fedora"', "9", "dnf"),
    ("ol", "fedora", "9.4", "dnf"),
    ("opensuse-leap", '"suse opensuse"', "15.6", "zypper"),
    ("opensuse-tumbleweed", '"opensuse suse"', "20241112", "zypper"),
    ("sles", "suse", "15.6", "zypper"),
    ("arch", "", "", ""),
    ("gentoo", "", "2.17", ""),
    ("alpine", "", "3.20.3", ""),
]


@pytest.mark.parametrize(("os_id", "like", "version", "manager"), DISTRIBUTIONS)
def test_a_distribution_and_its_package_manager(
    os_id: str, like: str, version: str, manager: str, tmp_path: Path
) -> None:
    text = f'NAME="Some Linux"\nID="{os_id}"\nVERSION_ID="{version}"\nPRETTY_NAME="Some Linux {version}"\n'
    found = parse_os_release(text + (f"ID_LIKE={like}\n" if like else ""))
    assert (found.id, found.version, found.name) == (os_id, version, f"Some Linux {version}")
    assert found.like == tuple(like.strip('"').split())
    assert package_manager(Tree(tmp_path), found) == manager


@pytest.mark.parametrize(
    ("file", "manager"),
    [
        ("var/lib/dpkg/status", "apt"),
        ("usr/bin/zypper", "zypper"),
        ("usr/bin/dnf5", "dnf"),
        ("usr/bin/yum", "yum"),
    ],
)
def test_what_is_installed_counts_more_than_the_name(file: str, manager: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).touch()
    assert package_manager(Tree(tmp_path), parse_os_release("ID=arch\n")) == manager
