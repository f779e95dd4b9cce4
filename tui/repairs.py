"""The repairs a technician can choose from, and what is known of the failure. Pure: model in, words out."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.model.lineage import Lineage, Node
from appliance.model.plan import RepairKind


@dataclass(frozen=True)
class Attempt:
    """One thing to try; `about` says when it helps. `watchable`: the copy may be booted first as it is."""

    kind: RepairKind
    title: str
    about: str
    watchable: bool = True


ATTEMPTS = (
    Attempt(
        RepairKind.INITRD,
        "Build the initrd anew",
        "When the kernel starts and finds no root volume, or panics. The copy's own tools build the initrd "
        "of its newest kernel.",
    ),
    Attempt(
        RepairKind.OLDER_KERNEL,
        "Boot the kernel before the newest",
        "When it worked until a new kernel came. The copy stays with the older kernel until a file in it "
        "is deleted; the verdict names the file.",
    ),
    Attempt(
        RepairKind.FSCK,
        "Check and mend the root file system",
        "After a power cut or disk errors: e2fsck -f -y or xfs_repair on the copy, before anything mounts "
        "it. What it throws away is still in the original.",
        watchable=False,
    ),
    Attempt(
        RepairKind.FINISH_PACKAGES,
        "Finish the last package transaction",
        "When an update was cut short: dpkg --configure -a and apt-get -f install, in the twin where it "
        "boots, else off-line.",
    ),
    Attempt(
        RepairKind.UNDO_PACKAGES,
        "Undo the last package transaction",
        "When it worked before the last update: apt's history names the versions, which must still be "
        "downloaded or offered by the system's sources.",
    ),
    Attempt(
        RepairKind.BY_HAND,
        "By hand",
        "The twin is started and waits as it is, booted or not, with its console for you to work in; then "
        "you say that you are done.",
        watchable=False,
    ),
)
NOTHING_KNOWN = (
    "No boot in the twin has failed here yet. A rehearsal that changes nothing (N on Home) shows whether "
    "this system would boot."
)


def broken(lineage: Lineage | None) -> Node | None:
    """The newest run that found this system not booting well."""
    found = [n for n in (lineage.nodes if lineage else ()) if n.finding]
    return max(found, key=lambda n: n.made, default=None)


def known(lineage: Lineage | None) -> str:
    """What is known of the failure, as a sentence."""
    node = broken(lineage)
    return f"{node.run}: {node.finding}" if node else NOTHING_KNOWN
