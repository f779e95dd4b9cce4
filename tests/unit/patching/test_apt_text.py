"""apt's and dpkg's own words, recorded on Debian 12 and 13, as values; hostile text never raises."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.patching import apt_text
from appliance.patching.apt_sources import parse_sources

RECORDED = Path(__file__).with_name("recorded")


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


def test_simulation_names_every_package_with_both_versions_and_its_archive() -> None:
    changes = {c.name: c for c in apt_text.parse_simulation(recorded("sim.txt"))}
    assert len(changes) == 14
    assert changes["libapt-pkg6.0"].before == "2.6.1"
    assert changes["libapt-pkg6.0"].after == "2.6.2"
    assert all(c.security for c in changes.values())


def test_simulation_marks_a_new_kernel_but_not_the_package_that_pulls_it() -> None:
    changes = {c.name: c for c in apt_text.parse_simulation(recorded("sim-kernel.txt"))}
    assert changes["linux-image-6.1.0-56-amd64"].new_kernel
    assert changes["linux-image-6.1.0-56-amd64"].before == ""
    assert not changes["linux-image-amd64"].new_kernel
    assert changes["linux-base"].security, "one of its two archives is the security archive"


def test_simulation_of_removals_and_plain_files() -> None:
    text = "Remv ledger [1.0]\nInst a [1] (2 local-deb [all])\nInst b:i386 (3 [i386])\nPurg c [4]\n"
    found = {c.name: (c.before, c.after, c.security) for c in apt_text.parse_simulation(text)}
    assert found == {
        "ledger": ("1.0", "", False),
        "a": ("1", "2", False),
        "b:i386": ("", "3", False),
        "c": ("4", "", False),
    }


def test_kept_back() -> None:
    assert apt_text.parse_kept_back(recorded("sim-held.txt")) == ("libperl5.36", "perl", "perl-base")
    assert apt_text.parse_kept_back(recorded("sim.txt")) == ()


def test_apt_get_3_says_the_same_in_the_same_words() -> None:
    """What its apt prints by itself is new; apt-get keeps to what scripts know."""
    changes = {c.name: c for c in apt_text.parse_simulation(recorded("apt3-sim-held.txt"))}
    assert len(changes) == 8 and all(c.security and c.before for c in changes.values())
    assert changes["passwd"].after == "1:4.17.4-2+deb13u1"
    kept = apt_text.parse_kept_back(recorded("apt3-sim-held.txt"))
    assert kept == ("nginx", "nginx-common", "nginx-light")
    kernel = {c.name: c for c in apt_text.parse_simulation(recorded("apt3-sim-kernel.txt"))}
    assert kernel["linux-image-6.12.118+deb13-amd64"].new_kernel
    assert not kernel["linux-image-amd64"].new_kernel and not kernel["apparmor"].security


def test_download_is_the_sum_of_the_sizes() -> None:
    text = recorded("uris.txt")
    sizes = [int(line.rsplit(" ", 2)[1]) for line in text.splitlines()]
    assert len(sizes) == 14
    assert apt_text.parse_download(text) == sum(sizes) > 1_000_000


def test_policy() -> None:
    policy = apt_text.parse_policy(recorded("policy.txt"))
    assert policy["nginx"] == ("1.22.1-9+deb12u9", "1.22.1-9+deb12u11")
    assert policy["hello"] == ("", "2.10-3")


def test_packages_with_and_without_several_architectures() -> None:
    text = (
        "ii \tlibc6\tamd64\t2.36\nii \tlibc6\ti386\t2.36\nii \tbash\tamd64\t5.2\n"
        "rc \tgone\tall\t1\niF \tledger\tall\t1.4\niHR\tbroken\tall\t2\nun \tnever\tall\t\n"
    )
    packages = apt_text.parse_packages(text)
    names = dict(apt_text.versions(packages))
    assert names == {
        "libc6:amd64": "2.36",
        "libc6:i386": "2.36",
        "bash": "5.2",
        "ledger": "1.4",
        "broken": "2",
    }
    assert apt_text.unfinished(packages) == (
        "Package ledger is half configured.",
        "Package broken is half installed.",
    )


def test_between() -> None:
    before = (("a", "1"), ("b", "1"), ("linux-image-6.1.0-1-amd64", "6.1.1"))
    after = (("a", "2"), ("c", "1"), ("linux-image-6.1.0-1-amd64", "6.1.2"))
    changes = {c.name: c for c in apt_text.between(before, after, frozenset({"a", "b"}))}
    assert (changes["a"].before, changes["a"].after, changes["a"].security) == ("1", "2", True)
    assert changes["b"].after == "" and not changes["b"].security
    assert changes["c"].before == ""
    assert changes["linux-image-6.1.0-1-amd64"].new_kernel


@pytest.mark.parametrize(
    ("origins", "security"),
    [
        ("Debian-Security:12/stable-security", True),
        ("Debian:12.5/stable, Debian-Security:12/stable-security", True),
        ("Ubuntu:22.04/jammy-security", True),
        ("Debian:12.5/stable", False),
        ("Not-Security:12/stable", False),
        ("local-deb", False),
        ("", False),
    ],
)
def test_security_is_told_by_the_suite(origins: str, security: bool) -> None:
    assert apt_text.is_security(origins) is security


def test_sources_are_hosts_with_their_ports() -> None:
    text = (
        "http://deb.debian.org/debian/\nhttps://repo.example:8443/x/\nmirror+http://m.example/list\n"
        "cdrom:[Debian]/\nfile:/srv/repo/\nhttp://[::1\nproxy http://proxy.site:3128\nproxy \n"
    )
    sources = parse_sources(text)
    assert sources.hosts == ("deb.debian.org", "m.example", "repo.example:8443")
    assert sources.upstream == "http://proxy.site:3128"
    assert len(sources.unreachable) == 2


@given(st.text())
def test_no_text_makes_a_parser_raise(text: str) -> None:
    apt_text.parse_simulation("Inst " + text)
    apt_text.parse_simulation(text)
    apt_text.parse_policy(text)
    apt_text.parse_packages(text)
    apt_text.parse_kept_back("The following packages have been kept back:\n" + text)
    apt_text.parse_download("'" + text)
    parse_sources(text)
