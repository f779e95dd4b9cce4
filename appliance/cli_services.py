"""`twinboot export`, `plans`, `network`: what is asked of the appliance itself, as commands."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable

from appliance import show
from appliance.model import service_messages as s
from appliance.model.codec import to_pretty_json
from appliance.session import Session

NewVerb = Callable[[str, str], argparse.ArgumentParser]
"""Makes the parser of one verb from its name and help text."""


def add_verbs(verb: NewVerb) -> None:
    export = verb(
        "export", "Take the record of RUN away, without secrets; without RUN machine and log alone."
    )
    export.add_argument("run", nargs="?", default="")
    export.add_argument(
        "--to", default=s.STICK, metavar="PLACE", help="stick (default), http(s)://... by PUT, or a /folder"
    )
    verb("plans", "The plan files on the stick; `twinboot run NAME` carries one out here and now.")
    verb("network", "The appliance's own ports: cable, speed, addresses, name servers, proxy.")


async def _export(session: Session, args: argparse.Namespace) -> tuple[s.Reply, str]:
    done = await session.export(args.run, args.to)
    return done, show.exported(done)


async def _plans(session: Session, args: argparse.Namespace) -> tuple[s.Reply, str]:
    found = await session.plan_files()
    return found, show.plan_files(found)


async def _network(session: Session, args: argparse.Namespace) -> tuple[s.Reply, str]:
    found = await session.network()
    return found, show.network(found)


VERBS: dict[str, Callable[[Session, argparse.Namespace], Awaitable[tuple[s.Reply, str]]]] = {
    "export": _export,
    "plans": _plans,
    "network": _network,
}


async def act(session: Session, args: argparse.Namespace) -> int:
    """Ask, and print the answer as text or, with --json, as it came."""
    answer, text = await VERBS[args.verb](session, args)
    print(to_pretty_json(answer) if args.json else text)
    return 0
