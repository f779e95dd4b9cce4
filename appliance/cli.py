"""`twinboot …`: parse, call the session, print. The only place with exit codes."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance import cli_follow, cli_repair, cli_services, cli_vm, show
from appliance.errors import ApplianceError, Cancelled, DamagedData, Refused
from appliance.model import messages as m
from appliance.model.codec import from_json, to_pretty_json
from appliance.model.plan import PatchKind, PatchRequest, Plan, Request, Verb
from appliance.model.service_messages import SavePlanFile
from appliance.session import Session, socket_path

EXAMPLES = """examples:
  twinboot inspect                          what is installed here; writes nothing
  twinboot rehearse --nothing               change nothing, only test the reboot
  twinboot rehearse --security              rehearse the pending security updates
  twinboot rehearse --packages nginx ledger --bundle june
  twinboot rehearse --all --rehearse-only --store stick   no room on the machine: the copy lies there
  twinboot rehearse --packages ledger --set /srv    data that it changes goes round with the root
  twinboot rehearse --all --into /dev/sda5  the second root of a plain partition goes into that empty one
  twinboot repair --initrd                  a system that does not boot: mend a copy of it
  twinboot promote tb1                      boot the machine from what tb1 tested, once, on trial
  twinboot rollback tb1                     next boot: the old system
  twinboot rollback tb1 --with-data         and the data as it was before the trial
  twinboot console tb1                      what the twin says while tb1 goes on; pause, resume hold it
  twinboot rehearse --all --dry-run --json > june.json
  twinboot run june.json                    that very plan, on that machine
  twinboot rehearse --security --save june  a plan file on the stick, to be run with nobody there
  twinboot export tb1 --to http://host/in/  the record of tb1, without secrets
  twinboot --plain                          everything by menus on plain lines
  twinboot wanted                           what this machine would fetch, onto the stick
  twinboot bundle make LIST... --stick      fetch it, in an office with internet
  twinboot image build                      make dist/twinboot.img (on a workstation)

exit codes: 0 done, 1 failed or the verdict is FAIL, 2 wrong arguments, 3 refused (nothing written),
            4 another operator, 130 cancelled
"""


WATCHING = frozenset({"inspect", "status", "list"})
CONFIRM = "the last 4 characters of the machine's serial number"
SAVE = "only keep this as a plan file on the stick, to be run with nobody there"
WITH_DATA = "the data, too, as of its safety snapshot; what it holds now is kept in a snapshot"
ENGINE_WAIT = 60
"""Seconds."""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="twinboot",
        description="Rehearse a patch on this machine's own twin, then let the machine become the rehearsal.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.add_argument("--json", action="store_true", help="machine-readable output")
        sub.add_argument("--verbose", action="store_true", help="show every command as well")
        if name not in WATCHING:
            sub.add_argument("--take-over", action="store_true", help="act although another is in control")
        return sub

    verb("inspect", "Show machine, disks and installed systems; writes nothing.").add_argument(
        "--fresh", action="store_true", help="ask the disks again"
    )
    verb("status", "What boots next, what is the fallback, what runs.")
    verb("list", "The lineage: every system volume and its state.")
    _rehearse_arguments(verb("rehearse", "Snapshot, twin, patch, test, seal, proof boot, verdict."))
    cli_repair.arguments(_twin_arguments(verb("repair", cli_repair.TEXT)))
    for name, text in (
        ("promote", "Stage and arm: the next boot is a trial of what RUN tested."),
        ("rollback", "The next boot is the old system; nothing is deleted."),
        ("keep", "Make the trial permanent."),
        ("retire", "Delete the volumes of RUN that are no longer wanted."),
    ):
        sub = verb(name, text)
        sub.add_argument("run", help='the run, e.g. "tb1"')
        sub.add_argument("--dry-run", action="store_true", help="print every write, make none")
        sub.add_argument("--confirm", default="", help=CONFIRM)
        if name == "promote":
            sub.add_argument("--force-bad", action="store_true", help="promote although the verdict is FAIL")
            sub.add_argument("--save", default="", metavar="NAME", help=SAVE)
        if name == "rollback":
            sub.add_argument("--with-data", action="store_true", help=WITH_DATA)
        if name == "keep":
            sub.add_argument(
                "--retire-on", default="", metavar="DATE", help="remind to retire the old system"
            )
    undo = verb("undo", "Delete everything of Twinboot from this machine: volumes, boot files, history.")
    undo.add_argument("--dry-run", action="store_true", help="print every write, make none")
    undo.add_argument("--confirm", default="", help=CONFIRM)
    carry = verb("run", "Carry out a plan file; a machine that is another or has changed refuses it.")
    carry.add_argument(
        "plan", help="what --dry-run --json printed, or a plan of the stick as `plans` names it"
    )
    carry.add_argument("--confirm", default="", help=CONFIRM)
    approval = verb("approve", "Let a run go on that waits for a person, from whichever terminal.")
    approval.add_argument("run")
    approval.add_argument("--confirm", default="", help=f"{CONFIRM}; any word where you worked by hand")
    cancel = verb("cancel", "Stop the run that is going on and remove what it made.")
    cancel.add_argument("run")
    cli_services.add_verbs(verb)
    cli_vm.add_verbs(verb)
    verbs.add_parser(
        "bundle", help="Make a bundle for machines without internet (in an office).", add_help=False
    )
    verbs.add_parser("image", help="Build the bootable image (on a workstation).", add_help=False)
    return top


def _rehearse_arguments(sub: argparse.ArgumentParser) -> None:
    kind = sub.add_mutually_exclusive_group()
    kind.add_argument("--nothing", action="store_true", help="change nothing, only test the reboot (default)")
    kind.add_argument("--all", action="store_true", help="all pending updates")
    kind.add_argument("--security", "--security-only", action="store_true", help="security updates only")
    kind.add_argument("--packages", nargs="+", metavar="NAME", help="these packages, NAME or NAME=VERSION")
    kind.add_argument("--script", metavar="FILE", help="a script on the stick")
    kind.add_argument("--by-hand", action="store_true", help="wait while you work in the twin")
    sub.add_argument("--bundle", default="", metavar="FOLDER", help="patches from this folder of the stick")
    sub.add_argument(
        "--skip-check", action="append", default=[], metavar="NAME", help="leave out this check of the stick"
    )
    sub.add_argument(
        "--set",
        dest="added",
        action="append",
        default=[],
        metavar="PLACE",
        help="this data volume (/srv) goes round with the root: tested, promoted and given back in one",
    )
    sub.add_argument(
        "--into",
        default="",
        metavar="PARTITION",
        help="the second root goes into this empty partition (/dev/sda5), where the root is one itself",
    )
    sub.add_argument(
        "--allow-unsigned", action="store_true", help="accept an unsigned bundle; the report says so"
    )
    sub.add_argument("--save", default="", metavar="NAME", help=SAVE)
    sub.add_argument(
        "--rehearse-only", action="store_true", help="write nothing to this machine; nothing can be promoted"
    )
    sub.add_argument(
        "--store", default="", metavar="PLACE", help="where that copy lies: stick, ram, or a USB partition"
    )
    _twin_arguments(sub)


def _twin_arguments(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
    sub.add_argument("--system", default="", help="which installed system, as inspect names it")
    sub.add_argument("--emulate", action="store_true", help="go on without KVM, many times slower")
    sub.add_argument("--memory", type=int, default=0, metavar="MIB", help="memory of the twin")
    sub.add_argument("--dry-run", action="store_true", help="print every write, make none")
    return sub


def patch_request(args: argparse.Namespace) -> PatchRequest:
    kind = PatchKind.NOTHING
    for name, value in (
        ("all", PatchKind.ALL),
        ("security", PatchKind.SECURITY),
        ("packages", PatchKind.PACKAGES),
        ("script", PatchKind.SCRIPT),
        ("by_hand", PatchKind.BY_HAND),
    ):
        # An empty name is a mistake to be refused, not the wish to change nothing.
        if getattr(args, name) not in (None, False):
            kind = value
    return PatchRequest(
        kind=kind,
        packages=tuple(args.packages or ()),
        script=args.script or "",
        bundle=args.bundle,
        allow_unsigned=args.allow_unsigned,
    )


def request(args: argparse.Namespace) -> Request:
    verb = Verb(args.verb)
    if verb is Verb.REHEARSE:
        return Request(
            verb=verb,
            system=args.system,
            patch=patch_request(args),
            skip_checks=tuple(args.skip_check),
            emulate=args.emulate,
            memory=args.memory,
            rehearse_only=args.rehearse_only,
            store=args.store,
            added=tuple(args.added),
            into=args.into,
        )
    if verb is Verb.REPAIR:
        return cli_repair.request(args)
    return Request(
        verb=verb,
        run=getattr(args, "run", ""),
        force_bad=getattr(args, "force_bad", False),
        retire_on=getattr(args, "retire_on", ""),
        with_data=getattr(args, "with_data", False),
    )


async def act(session: Session, args: argparse.Namespace) -> int:
    """Plan, and carry the plan out; with --dry-run only say what it would write (--json: as a plan file)."""
    planned = await session.plan(request(args))
    if getattr(args, "save", ""):
        promote = args.verb == Verb.PROMOTE.value
        say = SavePlanFile(name=args.save, request=request(args), promote=promote)
        print(show.plan_saved(await session.save_plan_file(say)))
        return 0
    if not args.dry_run:
        return await cli_follow.carry_out(session, planned.plan, args)
    accepted = await session.start(planned.plan, dry=True)
    if args.json:
        print(to_pretty_json(planned.plan))
    else:
        print(show.plan(planned.plan), show.would(accepted.would), sep="\n")
    return 0


def read_plan(path: str) -> Plan:
    """A plan file as --dry-run --json prints it. Raises DamagedData naming the key that is wrong."""
    try:
        plan: Plan = from_json(Path(path).read_bytes(), Plan, path)
    except OSError as error:
        raise DamagedData(f"{path} can not be read: {error.strerror}.") from None
    return plan


async def plan_named(session: Session, name: str) -> Plan:
    """The plan in the file `name`, or a fresh one of what a plan file on the stick asks for."""
    if "/" not in name and not Path(name).exists():
        found = await session.plan_files()
        listed = next((f for f in found.files if name in (f.name, f.name.removesuffix(".json"))), None)
        if listed is not None:
            if listed.request is None or listed.why_not:
                raise Refused((listed.why_not,))
            return (await session.plan(listed.request)).plan
    return read_plan(name)


def client_name() -> str:
    """How others see who is in control: "cli on ttyS1", plain "cli" in a script."""
    return f"cli on {os.path.basename(os.ttyname(0))}" if os.isatty(0) else "cli"


async def reach(client: str) -> Session:
    """A session; waits up to a minute for an engine that is just starting. Raises EngineGone.

    Without the socket's folder this is no appliance, and there is nothing to wait for.
    """
    path = socket_path()
    for _ in range(ENGINE_WAIT):
        if path.exists() or not path.parent.is_dir():
            break
        await asyncio.sleep(1)
    return Session(client)


async def run(args: argparse.Namespace) -> int:
    async with await reach(client_name()) as session:
        if getattr(args, "take_over", False):
            await session.take_over()
        if args.verb == "inspect":
            machine = await session.inspect(args.fresh)
            print(to_pretty_json(machine) if args.json else show.machine(machine))
        elif args.verb in ("status", "list"):
            status = await session.status()
            whole = args.verb == "status"
            value: m.Status | object = status if whole else status.lineage
            text = show.status(status) if whole else show.lineage(status.lineage)
            print(to_pretty_json(value) if args.json else text)
        elif args.verb == "cancel":
            await session.cancel(args.run)
        elif args.verb in cli_services.VERBS:
            return await cli_services.act(session, args)
        elif args.verb in cli_vm.VERBS:
            return await cli_vm.act(session, args)
        elif args.verb == "approve":
            return await cli_follow.approve(session, args)
        elif args.verb == "run":
            return await cli_follow.carry_out(session, await plan_named(session, args.plan), args)
        else:
            return await act(session, args)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `twinboot`."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--plain"]:
        # The console is no part of this program: this process becomes it.
        os.execv(sys.executable, [sys.executable, "-m", "tui.app", *words])
    if words[:1] == ["image"]:
        from appliance.image.cli import main as image_main

        return image_main(words[1:])
    if words[:1] == ["bundle"]:
        from appliance.office.cli import main as office_main

        return office_main(words[1:])
    try:
        return asyncio.run(run(parser().parse_args(words)))
    except ApplianceError as error:
        print(show.error(error), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return Cancelled.exit_code
