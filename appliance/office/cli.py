"""`twinboot bundle make`: arguments, progress on standard error, the result as text or JSON."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import ApplianceError, Cancelled, Refused
from appliance.host.run import RealHost
from appliance.model.codec import to_pretty_json
from appliance.model.plain import plain
from appliance.model.wanted import Wanted, read_wanted
from appliance.office.apt import parse_mirrors
from appliance.office.fetch import Pace
from appliance.office.folder import on_the_stick
from appliance.office.make import BundleMade, make

HELP = """\
Run it on any Debian or Ubuntu with internet; root is not needed. The lists come from `twinboot wanted` on the
machines. One bundle serves all of them; the archives' signatures are checked here and again in each twin.

examples:
  twinboot bundle make /media/*/TWINBOOT/wanted/*.json --stick june    onto the stick, bundles/june
  twinboot bundle make web1.json db1.json --output /srv/june    into a folder; copy it to bundles/ later
  twinboot bundle make web1.json --output june --mirror http://archive.example=http://mirror.office

Stopped, it is run again with the same words and goes on. Run later, it brings the bundle up to date.

exit codes: 0 all that was wanted is there, 1 something is missing (it says what), 2 wrong arguments,
            3 refused (nothing fetched), 130 stopped
"""
LINE_EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""
MOST_BYTES = 1 << 26
"""Of one list; a machine with 5000 packages writes 3 MB."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parses and runs; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        made = _make(arguments)
    except ApplianceError as error:
        _say(f"\n{error.code}: {error.what}\nWhat is safe: {error.safe}")
        for number, action in enumerate(error.next_actions, 1):
            _say(f"  {number}. {action}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("\nStopped. What was fetched so far stays; the same command goes on from there.")
        return Cancelled.exit_code
    print(to_pretty_json(made) if arguments.json else told(made))
    return 1 if made.missing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="twinboot bundle",
        description="Fetches what machines without internet want, with signed indexes, into one bundle.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="action", required=True, metavar="make")
    sub = verbs.add_parser(
        "make",
        help="make a bundle, or bring one up to date",
        epilog=HELP,
        formatter_class=parser.formatter_class,
    )
    sub.add_argument("lists", nargs="+", type=Path, metavar="LIST", help="what `twinboot wanted` wrote")
    where = sub.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--output", type=Path, metavar="DIR", help="the bundle's own folder, new or an earlier one"
    )
    today = time.strftime("%Y-%m-%d")
    where.add_argument(
        "--stick", nargs="?", const=today, metavar="NAME", help=f"bundles/NAME on the mounted stick ({today})"
    )
    sub.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="FROM=TO",
        help="fetch from TO what the lists name as FROM, the beginning of an archive's address",
    )
    sub.add_argument("--json", action="store_true", help="the result as JSON")
    return parser


def _make(arguments: argparse.Namespace) -> BundleMade:
    host = RealHost()
    mirrors = parse_mirrors(tuple(arguments.mirror))
    lists = [read_list(path) for path in arguments.lists]
    folder = arguments.output.absolute() if arguments.output else on_the_stick(host, arguments.stick)
    return make(host, lists, folder, mirrors, _say, Bar())


def read_list(path: Path) -> Wanted:
    """Raises Refused where it cannot be read, DamagedData where it is no list."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise Refused((f"{path} cannot be read: {error.strerror}.",)) from None
    if len(content) > MOST_BYTES:
        raise Refused((f"{path} is larger than any list is.",))
    return read_wanted(content, path.name)


def told(made: BundleMade) -> str:
    lines = [
        f"Bundle    {made.folder}",
        f"Holds     {made.files} files, {made.size / (1 << 20):.1f} MiB, for {made.machines} machines"
        f"; {made.fetched / (1 << 20):.1f} MiB fetched now",
        *(f"MISSING   {plain(sentence)}" for sentence in made.missing),
        f"Next      take it to the stick as bundles/{Path(made.folder).name}, then on the machine:",
        f"          twinboot rehearse --all --bundle {Path(made.folder).name}",
    ]
    return "\n".join(lines)


class Bar:
    """Bytes, rate and time left on standard error: a line that changes on a terminal, else one at times."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._said = 0.0

    def __call__(self, path: str, done: int, total: int) -> None:
        words = self._pace.words(done, total)
        if sys.stderr.isatty():
            text = f"{words}  {plain(path.rpartition('/')[2])}"[:78]
            print(f"\r{text:78}", end="\n" if done >= total else "", file=sys.stderr, flush=True)
        elif done >= total or time.monotonic() - self._said >= LINE_EVERY:
            self._said = time.monotonic()
            _say(words)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
