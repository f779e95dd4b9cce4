"""dpkg's status file: what is installed, and its sizes; hostile text gives less, never an error."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.model.machine import Packages
from appliance.probe.dpkg import Installed, parse_status, summary

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Installed-Size: 100
Version: 2.36-9+deb12u10
Description: GNU C Library
 Version: not a field
 .
 Package: not one either

Package: gone
Status: deinstall ok config-files
Installed-Size: 5000
Version: 1

Package: half
Status: install ok half-configured
Architecture: all
Version: 1:2~rc1-1

Package: linux-image-6.1.0-49-amd64
Status: install ok installed
Architecture: amd64
Installed-Size: 300
Version: 6.1.1-1

Package: linux-image-6.8.0-31-generic
Status: hold ok installed
Architecture: amd64
Installed-Size: 20
Version: 6.8.0-31.31

Package: linux-modules-6.8.0-31-generic
Status: install ok installed
Architecture: amd64
Installed-Size: 500
Version: 6.8.0-31.31

Package: linux-image-amd64
Status: install ok installed
Architecture: amd64
Installed-Size: 900
Version: 6.1.1-1
"""


def test_what_has_its_files_there_is_installed() -> None:
    found = parse_status(STATUS)
    assert found[:2] == (
        Installed("libc6", "amd64", "2.36-9+deb12u10", 100 * 1024),
        Installed("half", "all", "1:2~rc1-1", 0),
    )
    assert [p.name for p in found[2:]] == [
        "linux-image-6.1.0-49-amd64",
        "linux-image-6.8.0-31-generic",
        "linux-modules-6.8.0-31-generic",
        "linux-image-amd64",
    ]


def test_a_kernel_is_all_its_packages_and_the_largest_counts() -> None:
    assert summary(parse_status(STATUS)) == Packages(count=6, bytes=1820 * 1024, kernel_bytes=520 * 1024)
    assert summary(()) == Packages()


def test_names_versions_and_sizes_that_are_none_are_not_taken() -> None:
    bad = "Package: {}\nStatus: install ok installed\nVersion: {}\nInstalled-Size: {}\n"
    assert parse_status(bad.format("a b", "1", "1")) == ()
    assert parse_status(bad.format("ok", "1; reboot", "1")) == ()
    for size in ("many", "-4", "9" * 40, "٣"):
        assert parse_status(bad.format("ok", "1", size)) == (Installed("ok", "", "1", 0),)


@given(st.text())
@settings(deadline=None)
def test_any_text_can_be_read(text: str) -> None:
    assert summary(parse_status(text)).count == len(parse_status(text))
