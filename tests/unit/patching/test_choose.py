"""Which package manager is driven, and the sentence where it is one that is not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from appliance.errors import Refused
from appliance.patching.apt import Apt
from appliance.patching.base import Setting
from appliance.patching.choose import choose


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
