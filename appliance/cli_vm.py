"""`twinboot pause`, `resume`, `console`: the VM of a run, as commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from appliance import show
from appliance.errors import Refused
from appliance.model import events as ev
from appliance.session import Session

VERBS = ("pause", "resume", "console")


def add_verbs(verb: Callable[[str, str], argparse.ArgumentParser]) -> None:
    for name, text in zip(
        VERBS,
        (
            "Let the VM of RUN stand still; no time limit counts meanwhile.",
            "Let the VM of RUN go on.",
            "What the VM of RUN says on its serial console, from its start to the run's end.",
        ),
        strict=True,
    ):
        verb(name, text).add_argument("run")


async def act(session: Session, args: argparse.Namespace) -> int:
    """Raises SaidNo, Refused, EngineGone."""
    if args.verb == "pause":
        await session.pause(args.run)
    elif args.verb == "resume":
        await session.resume(args.run)
    else:
        await watch(session, args.run)
    return 0


async def watch(session: Session, run: str) -> None:
    """Print every line of the run's VM, cleaned; read-only. Raises Refused where the run is not going on."""
    going = (await session.status()).running
    if going is None or going.run != run or going.finished:
        raise Refused((f"{run} is not going on.",))
    async for event in session.follow():
        if event.run != run or event.at < going.started:
            continue
        if isinstance(event, ev.Line) and event.source == "vm":
            print(show.clean(event.text), flush=True)
        elif isinstance(event, ev.RunFinished):
            return
