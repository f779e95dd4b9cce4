"""Which package manager is driven, and the sentence where it is one that is not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from appliance.errors import Refused
from appliance.patching.apt import Apt
from appliance.patching.base import Setting
from appliance.patching.choose import choose, recognise


@dataclass
class Output:
    stdout: bytes
    status: int = 0
    stderr: bytes = b""


@dataclass
class Has:
    """A guest that has these programs."""

    found: bytes

    def exec(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        env: tuple[tuple[str, str], ...] = (),
        timeout: float,
    ) -> Output:
        return Output(self.found)

    def read_file(self, path: str) -> bytes:
        raise AssertionError(path)

    def write_file(self, path: str, data: bytes, mode: int) -> None:
        raise AssertionError(path)


def test_apt() -> None:
    assert isinstance(choose(Has(b"/usr/bin/apt-get\n"), Setting()), Apt)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (b"/usr/bin/dnf\n", "patched with dnf"),
        (b"/usr/bin/zypper\n", "patched with zypper"),
        (b"", "No package manager"),
        (b"\xff\x00", "No package manager"),
    ],
)
def test_others_are_refused_by_name(found: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        choose(Has(found), Setting())


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (b"id fedora\n/usr/bin/dnf\n", "dnf"),
        (b"id rhel\nid centos fedora\n/usr/bin/apt-get\n/usr/bin/dnf\n/usr/bin/zypper\n", "dnf"),
        (b"id opensuse-leap\nid suse opensuse\n/usr/bin/dnf\n/usr/bin/zypper\n", "zypper"),
        (b"id sles\n/usr/bin/zypper\n", "zypper"),
        (b"id debian\n/usr/bin/apt-get\n/usr/bin/dnf\n", "apt"),
        (b"id ubuntu\nid debian\n/usr/bin/apt-get\n", "apt"),
        (b"id unknown\n/usr/bin/zypper\n", "zypper"),
        (b"id fedora\n/usr/bin/zypper\n", "zypper"),
    ],
)
def test_the_distribution_decides_before_the_programs_do(found: bytes, name: str) -> None:
    assert recognise(Has(found), Setting()).name == name
