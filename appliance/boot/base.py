"""What promotion asks of a boot loader: one Protocol.

Nothing here is global. The same code stages and arms on the real machine and, for the proof boot, in the
twin's throw-away /boot, so every call is told where /boot is mounted and which device holds it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from appliance.boot.place import Boot
from appliance.boot.shapes import LoaderView, LoaderWords, StagedSystem
from appliance.model.machine import LoaderKind
from appliance.model.plan import Write


class BootLoader(Protocol):
    """Stage, arm, keep, restore; each verb is safe to repeat and safe half-done.

    Every verb reads back as the loader does and raises BootConfigFailed where the disk does not hold what
    was written, Refused where the verb does not fit the state found.
    """

    @property
    def kind(self) -> LoaderKind: ...

    @property
    def words(self) -> LoaderWords: ...

    def why_not(self, boot: Boot, wanted: StagedSystem | None = None) -> tuple[str, ...]:
        """Reasons against promoting on this /boot, as sentences, all at once; with `wanted` also room."""

    def view(self, boot: Boot) -> LoaderView:
        """Read as the loader itself; needs no mount."""

    def writes(self, run: str) -> tuple[Write, ...]:
        """Each write of stage and arm, and what a power cut at it leaves."""

    def name_root(self, boot: Boot, root: Path, home: str, device: str) -> tuple[str, ...]:
        """Make the loader's own tools in the trial volume mounted at `root` name `device` once it is kept.

        `boot` is only read; what was there first goes into the run's folder `home`. Returns the paths
        written, relative to `root`. Safe to repeat."""

    def staged(self, boot: Boot, wanted: StagedSystem) -> bool:
        """Whether the loader's own view holds the complete entry, kernel and initrd with their hashes."""

    def stage(self, boot: Boot, wanted: StagedSystem) -> None:
        """Lay down everything under new names. The next boot stays what it was."""

    def arm(self, boot: Boot, run: str) -> None:
        """The flip, one write: the next boot is the trial, once."""

    def disarm(self, boot: Boot, run: str) -> None:
        """Take the flip back, to what was there when `run` was staged."""

    def keep(self, boot: Boot, run: str) -> None:
        """Ask for keep: the next boot is the trial once more, and the metal keeps itself if it is well."""

    def roll_back(self, boot: Boot, run: str) -> None:
        """One write: from the next boot on the previous system, for good."""

    def restore(self, boot: Boot, run: str, owned: tuple[str, ...] = ()) -> None:
        """Back to the boot files as they were before `run`; what is deleted is ours.

        A loader configuration that boots the run's root (keep had begun, or was rolled back) is put back.
        `owned` names the files of /boot that belong to the system that stays (artifacts.owned_names): after
        keep and roll back, kernels of the system that goes are removed from /boot.
        Refused while the run's own system is the one the next boot takes."""

    def settle(self, boot: Boot, run: str, fsuuid: str) -> None:
        """Retire, first flip: the next boots start the kept system by the UUID of its file system, so that
        its volume may change its name. Only one active device may bear it. A subvolume is named by its id,
        "f-f[#261]"."""

    def settled(self, boot: Boot, run: str, old_root: str, new_root: str) -> None:
        """Retire, last part: the loader's own configuration names `new_root` where it named `old_root`,
        then everything of ours goes."""
