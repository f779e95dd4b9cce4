"""What the bench says of its figures: ratios against the run's own rival, and what is computed marked so."""

from __future__ import annotations

from tests.lab.figures import Figures, Kept, Snapshot, Start, extrapolated

MEASURED = (Snapshot(4, 10.0, 20.0), Snapshot(20, 11.0, 100.0))


def test_sixty_gigabytes_lie_on_the_line_through_both_measured_volumes() -> None:
    assert extrapolated(*MEASURED) == Snapshot(60, 13.5, 300.0, computed=True)


def test_every_start_is_told_beside_the_rival_and_the_computed_row_says_so() -> None:
    starts = (Start("Debian", 50.0, 40.0), Start("console", 60.0, 55.0))
    text = Figures(
        starts, MEASURED, (Kept("btrfs", 12.0, 15.0),), 400, 2_500_000, 238_000_000, 176_000_000
    ).text()
    rows = text.splitlines()
    assert rows[2].split() == ["console", "60.0", "55.0", "1.20x"]
    assert "60 GB (computed)                            13.5         300.0   22.2x" in rows
    assert "20 against 4 GB                            1.10x         5.00x" in rows
    assert "LVM thin                        10.0        11.0   1.10x" in rows
    assert "btrfs                           12.0        15.0   1.25x" in rows
    assert "a full copy                     20.0       100.0   5.00x" in rows
    assert "RAM used at the console    400 MiB (target 450)" in rows
    assert "written at promotion       2.5 MB" in rows
