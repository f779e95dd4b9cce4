"""The figures of one bench run, and how they are told: always beside a rival's of the same run."""

from __future__ import annotations

from dataclasses import dataclass

COMPUTED = 60
"""GB, of the volume that is computed from the two that were measured."""
RAM_TARGET = 450
STICK_TARGET = 240
ROOT_TARGET = 180
START_TARGET = 1.2


@dataclass(frozen=True, slots=True)
class Start:
    """How long a machine took to its first usable screen, in seconds by the clock and of processor time."""

    what: str
    seconds: float
    processor: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Seconds from the snapshot's beginning to the twin's power-on, and for a full copy; the volume in GB."""

    gigabytes: int
    power_on: float
    copy: float
    computed: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """How long the way to the twin's power-on is, in seconds, for a small and a large volume of a storage."""

    storage: str
    small: float
    large: float


@dataclass(frozen=True, slots=True)
class Figures:
    """`starts` begin with the rival they are measured against, `storages` are of the two volumes' sizes.
    `ram` in MiB; the three last in bytes."""

    starts: tuple[Start, ...]
    snapshots: tuple[Snapshot, Snapshot]
    storages: tuple[Kept, ...]
    ram: int
    written: int
    stick: int
    root: int

    def text(self) -> str:
        return "\n\n".join(
            (
                starts_table(self.starts),
                snapshots_table(self.snapshots),
                storages_table(self.storages, self.snapshots),
                self._sizes(),
            ),
        )

    def _sizes(self) -> str:
        return "\n".join(
            (
                f"RAM used at the console    {self.ram} MiB (target {RAM_TARGET})",
                f"written at promotion       {self.written / 1e6:.1f} MB",
                f"stick                      {self.stick / 1e6:.0f} MB (target {STICK_TARGET})",
                f"root                       {self.root / 1e6:.0f} MB (target {ROOT_TARGET})",
            )
        )


def starts_table(starts: tuple[Start, ...]) -> str:
    rival = starts[0]
    rows = [f"{'power-on to':34}{'seconds':>9}{'CPU s':>8}{'against the first':>19} (target {START_TARGET})"]
    rows += [
        f"{s.what:34}{s.seconds:9.1f}{s.processor:8.1f}{s.seconds / rival.seconds:18.2f}x" for s in starts
    ]
    return "\n".join(rows)


def snapshots_table(measured: tuple[Snapshot, Snapshot]) -> str:
    rows = [f"{'volume':24}{'to the twin power-on, s':>24}{'full copy, s':>14}{'ratio':>8}"]
    for one in (*measured, extrapolated(*measured)):
        name = f"{one.gigabytes} GB{' (computed)' if one.computed else ''}"
        rows.append(f"{name:24}{one.power_on:24.1f}{one.copy:14.1f}{one.copy / one.power_on:7.1f}x")
    low, high = measured
    grown = f"{high.gigabytes} against {low.gigabytes} GB"
    rows.append(f"{grown:24}{high.power_on / low.power_on:23.2f}x{high.copy / low.copy:13.2f}x")
    return "\n".join(rows)


def storages_table(storages: tuple[Kept, ...], measured: tuple[Snapshot, Snapshot]) -> str:
    """What each way to keep a root costs, as one against the other; last, what a full copy would."""
    low, high = measured
    sizes = f"{low.gigabytes} GB", f"{high.gigabytes} GB"
    rows = [f"{'to the twin power-on, s':24}{sizes[0]:>12}{sizes[1]:>12}{'ratio':>8}"]
    every = (
        Kept("LVM thin", low.power_on, high.power_on),
        *storages,
        Kept("a full copy", low.copy, high.copy),
    )
    rows += [f"{k.storage:24}{k.small:12.1f}{k.large:12.1f}{k.large / k.small:7.2f}x" for k in every]
    return "\n".join(rows)


def extrapolated(low: Snapshot, high: Snapshot) -> Snapshot:
    """A volume of COMPUTED GB on the straight lines through both measured ones."""
    more = (COMPUTED - high.gigabytes) / (high.gigabytes - low.gigabytes)
    return Snapshot(
        COMPUTED,
        high.power_on + more * (high.power_on - low.power_on),
        high.copy + more * (high.copy - low.copy),
        computed=True,
    )
