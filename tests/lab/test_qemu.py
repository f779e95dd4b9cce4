"""Which QEMU plays the machines."""

from __future__ import annotations

import pytest

from tests.lab import qemu
from tests.lab.native import LabError, run

DEBIAN_12 = """QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)
Copyright (c) 2003-2022 Fabrice Bellard and the QEMU Project developers
"""


def test_its_version_is_read() -> None:
    assert qemu.version(DEBIAN_12) == (7, 2)
    assert qemu.version("QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\n") == (10, 0)
    with pytest.raises(LabError, match=r"does not say its version: 'qemu: not found'"):
        qemu.version("qemu: not found")


@pytest.mark.parametrize(("own", "taken"), [((10, 0), "own"), ((11, 2), "own"), ((9, 2), "unpacked")])
def test_the_host_s_own_unless_it_is_too_old(
    monkeypatch: pytest.MonkeyPatch, own: tuple[int, int], taken: str
) -> None:
    monkeypatch.setattr(qemu, "run", lambda *_: "")
    monkeypatch.setattr(qemu, "version", lambda _: own)
    monkeypatch.setattr(qemu, "_unpacked", lambda: ("unpacked",))
    assert qemu.program.__wrapped__() == (("unpacked",) if taken == "unpacked" else (qemu.PROGRAM,))


@pytest.mark.lab
def test_the_one_that_is_taken_runs_here() -> None:
    assert qemu.version(run(*qemu.program(), "--version")) >= qemu.OLDEST
