"""rpm's database as values, on what a real rpm said."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.model.plan import not_packages
from appliance.model.verdict import PackageChange
from appliance.patching.locks import holders
from appliance.patching.rpm_text import (
    Package,
    between,
    not_signed,
    parse_packages,
    scriptlets,
    twice,
    versions,
    why_loader,
)
from tests.lab.rpm_tree import NAMED

RECORDED = Path(__file__).parent / "recorded"
PACKAGES = parse_packages((RECORDED / "rpm-qa.txt").read_text())


def test_a_recorded_database() -> None:
    assert versions(PACKAGES) == (
        ("configured", "1.0-1"),
        ("grub2-lab", "1.0-1"),
        ("kernel-core", "6.1.0-1"),
        ("lab-release", "9-1"),
        ("ledger", "1.0-1"),
        (NAMED, "2:1.0-1"),
        ("unsigned", "1.0-1"),
    )
    assert {p.name for p in PACKAGES if not p.signed} == {"unsigned"}, "and no key counts as a package"


def test_names_carry_the_architecture_only_where_there_are_several() -> None:
    both = (Package("glibc", "2.34-1", "x86_64", True), Package("glibc", "2.34-1", "i686", True))
    assert versions((*both, Package("bash", "5-1", "x86_64", True))) == (
        ("bash", "5-1"),
        ("glibc.i686", "2.34-1"),
        ("glibc.x86_64", "2.34-1"),
    )
    newer = (("glibc.i686", "2.34-2"), ("glibc.x86_64", "2.34-2"))
    found = between(versions(both), newer, frozenset({"glibc"}))
    assert [(c.name, c.before, c.after, c.security) for c in found] == [
        ("glibc.i686", "2.34-1", "2.34-2", True),
        ("glibc.x86_64", "2.34-1", "2.34-2", True),
    ]


def test_a_kernel_comes_beside_the_old_one_and_the_oldest_goes() -> None:
    before = (("kernel-core", "6.1"), ("kernel-core", "6.2"), ("ledger", "1"))
    after = (("kernel-core", "6.1"), ("kernel-core", "6.2"), ("kernel-core", "6.3"), ("ledger", "2"))
    assert between(before, after, frozenset({"ledger"})) == (
        PackageChange(name="kernel-core", before="", after="6.3", new_kernel=True),
        PackageChange(name="ledger", before="1", after="2", security=True),
    )
    full = (*after[1:3], ("kernel-core", "6.4"), ("kernel-core", "6.5"))
    assert [(c.before, c.after) for c in between(after, full) if c.name == "kernel-core"] == [
        ("6.1", ""),
        ("", "6.4"),
        ("", "6.5"),
    ]


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("kernel", True),
        ("kernel-core", True),
        ("kernel-default", True),
        ("kernel-rt-core", True),
        ("kernel-uek-core", True),
        ("kernel-headers", False),
        ("kernel-modules-core", False),
        ("kernel-tools", False),
        ("linux-firmware", False),
    ],
)
def test_what_is_a_new_kernel(name: str, kernel: bool) -> None:
    assert between((), ((name, "1"),))[0].new_kernel is kernel


def test_a_package_in_two_versions_was_not_finished_unless_it_is_a_kernel() -> None:
    rows = [
        ("ledger", "1.0-1"),
        ("ledger", "1.1-1"),
        ("kernel-core", "1"),
        ("kernel-core", "2"),
        ("kmod-x", "1"),
    ]
    packages = [Package(name, version, "noarch", True) for name, version in (*rows, ("kmod-x", "2"))]
    assert twice(packages, ("kmod-x",)) == (
        "Package ledger is installed in 2 versions (1.0-1, 1.1-1): an update of it was not finished.",
    )


def test_unsigned_packages_are_said_only_where_they_came_now() -> None:
    came = between((("unsigned", "0.9-1"),), versions(PACKAGES))
    assert not_signed(PACKAGES, came) == ("signature check: unsigned 1.0-1 is not signed",)
    assert not_signed(PACKAGES, between(versions(PACKAGES), versions(PACKAGES))) == ()


def test_loader_packages_and_what_only_sounds_like_one() -> None:
    names = ("grub2-pc", "grub2", "grub2-x86_64-efi", "shim-x64", "systemd-boot-unsigned", "sdubby")
    assert len(why_loader(names)) == len(names)
    assert why_loader(("grubby", "systemd", "kernel-core")) == ()


def test_failed_scripts_are_named_from_the_output_alone() -> None:
    for file in ("dnf-post-failed.txt", "zypper-post-failed.xml"):
        assert scriptlets((RECORDED / file).read_text().splitlines()) == (
            "The %post script of ledger-1.4-1.noarch failed with status 1.",
        )
    assert scriptlets((RECORDED / "dnf-applied.txt").read_text().splitlines()) == ()


def test_names_as_rpm_has_them_are_names() -> None:
    assert not_packages(("NetworkManager", "python3_x", "glibc.i686", "ledger=2:1.0~rc1-1^2")) == ()
    assert len(not_packages(("-o=x", "ledger-", "a b", "../x", "x;y"))) == 5


@pytest.mark.parametrize("text", ["", "\0\n", "a\tb", "a\tb\tc\td\te\tf\n", "\t\t\t\t\n"])
def test_hostile_database(text: str) -> None:
    assert parse_packages(text) == ()


def test_locks() -> None:
    text = "file 17 /var/lib/rpm/.rpm.lock\nlock 17 204 rpm\nlock 18 7 other\nlock\nfile\n"
    assert holders(text) == ["/var/lib/rpm/.rpm.lock is held by rpm (process 204)."]
