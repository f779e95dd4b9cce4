"""Debian's order of versions, as dpkg itself has it where there is a dpkg."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.probe.debversion import compare, version_key

# Each is older than the next: deb-version(7) and Debian's policy 5.6.12.
RISING = (
    "0~", "0", "1.0~~", "1.0~~a", "1.0~", "1.0~rc1-1", "1.0-0~", "1.0", "1.0-0.1", "1.0-1~bpo12+1", "1.0-1",
    "1.0-1+b1", "1.0-1+deb12u1", "1.0-1+deb12u2", "1.0-1+deb12u10", "1.0a-1", "1.0+git-1", "1.0.1-1", "1.2",
    "1.10", "1:0.1", "2:0.1-1", "10:0",
)  # fmt: skip
VERSIONS = st.from_regex(r"([0-9]:)?[0-9][A-Za-z0-9.+~]{0,8}(-[A-Za-z0-9+.~]{1,4})?", fullmatch=True)


def test_each_is_older_than_the_next() -> None:
    assert sorted(set(RISING), key=version_key) == list(RISING)


@pytest.mark.parametrize(
    ("one", "same"), [("1.0", "0:1.0"), ("1.0", "1.0-0"), ("1.0-0~", "1.0-00~"), ("1.00", "1.0"), ("1", "1")]
)
def test_these_are_one_version(one: str, same: str) -> None:
    assert compare(one, same) == 0


@pytest.mark.skipif(not shutil.which("dpkg"), reason="needs dpkg")
@given(VERSIONS, VERSIONS)
@settings(deadline=None, max_examples=60)
def test_dpkg_agrees(one: str, other: str) -> None:
    older = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False).returncode == 0
    assert (compare(one, other) < 0) is older


@given(st.text(), st.text())
@settings(deadline=None)
def test_any_text_has_a_place(one: str, other: str) -> None:
    assert compare(one, other) == -compare(other, one)
