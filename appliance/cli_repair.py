"""`twinboot repair`: its arguments, and the request they make."""

from __future__ import annotations

import argparse

from appliance.model.plan import RepairKind, Request, Verb

TEXT = "Mend a copy of a system that does not boot well; boot, test and seal it."
REPAIRS = (
    (RepairKind.OLDER_KERNEL, "boot the kernel before the newest, and stay with it"),
    (RepairKind.INITRD, "build the initrd of the newest kernel anew"),
    (RepairKind.FSCK, "check and mend the root file system (e2fsck -f -y, xfs_repair)"),
    (RepairKind.FINISH_PACKAGES, "dpkg --configure -a, apt-get -f install"),
    (RepairKind.UNDO_PACKAGES, "the versions before the last apt transaction, downloads or sources allowing"),
    (RepairKind.BY_HAND, "wait while you work in the twin"),
)
EXAMPLES = """\
What is mended, tested and sealed is a copy, which promote boots. The original stays as it is.

examples:
  twinboot repair --initrd                  watch it fail in the twin, build its initrd anew, boot, test, seal
  twinboot repair --fsck                    mend the copy's file system before anything mounts it
  twinboot repair --older-kernel --dry-run  the plan, with every write it would make
  twinboot promote tb2                      boot the machine from the copy that tb2 mended, once, on trial
"""


def arguments(sub: argparse.ArgumentParser) -> None:
    """Add what repair takes besides the arguments of every twin."""
    kind = sub.add_mutually_exclusive_group(required=True)
    for repair, text in REPAIRS:
        kind.add_argument(f"--{repair.value}", dest="repair", action="store_const", const=repair, help=text)
    sub.add_argument("--no-watch", action="store_true", help="do not boot the copy first to see how it fails")
    sub.add_argument("--confirm", default="", help="any word, where you worked by hand")
    sub.epilog = EXAMPLES
    sub.formatter_class = argparse.RawDescriptionHelpFormatter


def request(args: argparse.Namespace) -> Request:
    return Request(
        verb=Verb.REPAIR,
        system=args.system,
        repair=args.repair,
        watch=not args.no_watch,
        emulate=args.emulate,
        memory=args.memory,
    )
