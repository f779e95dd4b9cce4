"""A run on a plain terminal: its events are printed, its gates asked, and Ctrl-C cancels it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator

from appliance import show
from appliance.errors import ApplianceError, Cancelled, Refused
from appliance.model import events as ev
from appliance.model.codec import to_json
from appliance.model.plan import Plan
from appliance.model.verdict import Result
from appliance.session import Session


@contextlib.contextmanager
def ctrl_c() -> Iterator[asyncio.Event]:
    """While this holds, Ctrl-C sets the event instead of ending the program, while a run starts as well."""
    pressed, loop = asyncio.Event(), asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGINT, pressed.set)
    try:
        yield pressed
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)


async def carry_out(session: Session, plan: Plan, args: argparse.Namespace) -> int:
    """Start the plan and follow it to its end; the exit status. Raises Cancelled where Ctrl-C came before."""
    if not args.json:
        print(show.plan(plan), flush=True)
    with ctrl_c() as pressed:
        since = (await session.status()).last_seq
        if pressed.is_set():
            raise Cancelled("Ctrl-C was pressed.", safe="Nothing was started.")
        accepted = await session.start(plan)
        return await _to_the_end(session, accepted.run, since, args, pressed)


async def approve(session: Session, args: argparse.Namespace) -> int:
    """Pass the gate at which a run waits, whoever started it, and follow it to its end; the exit status."""
    status = await session.status()
    going = status.running
    if going is None or going.run != args.run or not going.gate:
        raise Refused((f"{args.run} does not wait for anybody.",))
    with ctrl_c() as pressed:
        cancelling = asyncio.create_task(_cancel(session, args.run, pressed))
        await _pass_gate(session, args.run, going.gate, going.gate_sentence, args, cancelling)
        cancelling.cancel()
        return await _to_the_end(session, args.run, status.last_seq, args, pressed)


async def _to_the_end(
    session: Session, run: str, since: int, args: argparse.Namespace, pressed: asyncio.Event
) -> int:
    cancelling = asyncio.create_task(_cancel(session, run, pressed))
    failed, verdict = False, Result.PASS
    async for event in session.follow(since):
        if event.run not in ("", run):
            continue
        if args.json or args.verbose or not show.is_chatter(event):
            print(to_json(event).decode() if args.json else show.event(event), flush=True)
        if isinstance(event, ev.Waiting):
            await _pass_gate(session, run, event.gate, event.sentence, args, cancelling)
        failed = failed or isinstance(event, ev.Failed)
        if isinstance(event, ev.VerdictReached):
            verdict = event.verdict.result
        if isinstance(event, ev.RunFinished):
            break
    cancelling.cancel()
    if not args.json:
        print((await session.record(run)).text)
    return 1 if failed or verdict is Result.FAIL else 0


async def _cancel(session: Session, run: str, pressed: asyncio.Event) -> None:
    """Cancel the run at Ctrl-C. Where the engine refuses, say why; the next Ctrl-C tries again."""
    while True:
        await pressed.wait()
        pressed.clear()
        try:
            return await session.cancel(run)
        except ApplianceError as error:
            print(show.error(error), file=sys.stderr)


async def _pass_gate(
    session: Session,
    run: str,
    gate: str,
    sentence: str,
    args: argparse.Namespace,
    cancelling: asyncio.Task[None],
) -> None:
    """Approve with --confirm, or with what a person types; a Ctrl-C meanwhile leaves the gate to the cancel.

    Raises Cancelled where there is neither.
    """
    typed = getattr(args, "confirm", "")
    if not typed and sys.stdin.isatty():
        answer = asyncio.create_task(_typed(f"{sentence} Type to confirm: "))
        await asyncio.wait({answer, cancelling}, return_when=asyncio.FIRST_COMPLETED)
        if cancelling.done():
            answer.cancel()
            return
        typed = answer.result()
    if not typed:
        raise Cancelled(
            f"The run waits: {sentence}",
            safe="Nothing goes on before somebody approves it.",
            next_actions=(f"twinboot approve {run} --confirm XXXX", f"twinboot cancel {run}"),
        )
    await session.approve(run, gate, typed)


async def _typed(prompt: str) -> str:
    """One line of the terminal, without a thread: a thread in input() would keep the program from ending."""
    print(prompt, end="", flush=True)
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sys.stdin, ready.set)
    try:
        await ready.wait()
        return sys.stdin.readline().strip()
    finally:
        loop.remove_reader(sys.stdin)
