"""A clock that an empty battery set back is told before the package manager stumbles over it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.probe.clock import SLACK, WROTE, of_clock
from appliance.probe.tree import Tree

NOW = 1795910400.0  # 2026-11-29


def wrote(root: Path, path: str, at: float) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    os.utime(file, (at, at))


@pytest.mark.parametrize("path", WROTE)
def test_a_clock_before_what_the_system_wrote_last_is_told(tmp_path: Path, path: str) -> None:
    for other in WROTE:
        wrote(tmp_path, other, NOW - 2 * SLACK)
    wrote(tmp_path, path, NOW)
    (found,) = of_clock(Tree(tmp_path), NOW - 2 * SLACK)
    assert (found.code, found.refuses) == ("clock-behind", False)
    assert found.sentence.startswith(
        "This machine's clock says 2026-11-27, but its system wrote to its disk on 2026-11-29:"
    )
    assert of_clock(Tree(tmp_path), NOW - SLACK) == (), "it may keep local time"
    assert of_clock(Tree(tmp_path), NOW) == ()


def test_a_system_that_has_written_nothing_says_nothing_of_the_clock(tmp_path: Path) -> None:
    assert of_clock(Tree(tmp_path), 0.0) == ()
