"""The real console without hardware: on a recorded machine, or a recorded run played back.

    python -m tests.tui.play [MACHINE]          e.g. thin-uefi; without a name a list is offered
    python -m tests.tui.play --run FILE         the record of a run: its folder or the exported archive

Nothing of this computer is read or written, and no rights are needed: the engine is played.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import ApplianceError
from appliance.model.codec import from_json
from appliance.model.lineage import State
from appliance.model.machine import Machine
from tests.tui.clock import Clock
from tests.tui.player import ENDINGS, ERRORS, Player
from tests.tui.replay import Act, Replay, opened
from tests.tui.story import MACHINES
from tui import app as script
from tui import terminal

STATES = ("SEALED", "ARMED", "TRIAL", "KEPT")


def names() -> list[str]:
    """The recorded machines, the two everything else derives from first."""
    found = sorted(p.stem for p in MACHINES.glob("*.json"))
    return sorted(found, key=lambda name: not name.startswith("thin-"))


def read_machine(name: str) -> Machine:
    """A recorded machine by name or by file. Raises SystemExit with the names there are."""
    path = Path(name) if name.endswith(".json") else MACHINES / f"{name}.json"
    if not path.is_file():
        raise SystemExit(f'There is no recorded machine "{name}". There are: {", ".join(names())}.')
    machine: Machine = from_json(path.read_bytes(), Machine, str(path))
    return machine


def in_a_line(name: str) -> str:
    """What a recorded machine is, for the list."""
    machine = read_machine(name)
    systems = len(machine.systems)
    kvm = "KVM" if machine.kvm else "no KVM"
    facts = f"{machine.firmware.value.upper()}, {systems} system{'' if systems == 1 else 's'}, {kvm}"
    troubles = [t for t in (*machine.trouble, *(t for s in machine.systems for t in s.trouble)) if t.refuses]
    return f"{name:20} {facts}{', refused: ' + troubles[0].code if troubles else ''}"


def choose_machine(ask: bool) -> str:
    """Offer the list and read a number; without a terminal the first one is taken."""
    known = names()
    if not ask:
        return known[0]
    print("Recorded machines:")
    for number, name in enumerate(known, 1):
        print(f"  {number:2}  {in_a_line(name)}")
    while True:
        said = input(f"Which one, 1 to {len(known)} [1]: ").strip() or "1"
        if said in known:
            return said
        if said.isdigit() and 1 <= int(said) <= len(known):
            return known[int(said) - 1]
        print("Type one of the numbers.")


async def show(options: argparse.Namespace, socket: Path) -> None:
    from tui.console import Console

    name, mode = script.choose(options)
    await Console(name, mode, socket).run_async(mouse=False)


async def play(options: argparse.Namespace, machine: Machine) -> None:
    """The console on a machine whose engine plays what it is told to do."""
    with tempfile.TemporaryDirectory() as folder:
        client, _ = script.choose(options)
        socket = Path(folder) / "engine.sock"
        engine = Player(socket, machine, options.ending, options.pace or 20.0, options.error, client)
        await engine.start()
        if options.state:
            engine.say_state(State(options.state))
        found = asyncio.create_task(engine.recover())
        await show(options, engine.path)
        found.cancel()
        await engine.stop()


async def replay(options: argparse.Namespace, acts: Sequence[Act]) -> None:
    """The console as it was while the acts were recorded, its clock too."""
    pace = 20.0 if options.pace is None else options.pace
    clock = Clock(acts[0].record.started, pace)
    with tempfile.TemporaryDirectory() as folder, clock.told():
        engine = Replay(Path(folder) / "engine.sock", acts, pace, clock)
        await engine.start()
        playing = asyncio.create_task(engine.play())
        await show(options, engine.path)
        playing.cancel()
        await engine.stop()


def parser() -> argparse.ArgumentParser:
    result = script._parser()
    result.prog, result.description = "python -m tests.tui.play", "The console without hardware."
    result.add_argument("machine", nargs="?", default="", help=f"one of {', '.join(names())}")
    result.add_argument("--run", type=Path, metavar="FILE", help="play back this record of a run")
    result.add_argument("--pace", type=float, help="times as fast as it was or would be (20); 0: at once")
    result.add_argument("--ending", choices=ENDINGS, default="good", help="how a rehearsal ends")
    result.add_argument("--error", choices=sorted(ERRORS), default="", help="the error a run stops with")
    result.add_argument("--state", choices=STATES, default="", help="what is there already")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        if options.run is None:
            machine = read_machine(options.machine or choose_machine(sys.stdin.isatty()))
            script.prepare(terminal.choose_mode(terminal.own_name(), os.environ.get("TERM", ""), "utf-8"))
            asyncio.run(play(options, machine))
            return 0
        with opened(options.run) as acts:
            script.prepare(terminal.choose_mode(terminal.own_name(), os.environ.get("TERM", ""), "utf-8"))
            asyncio.run(replay(options, acts))
        return 0
    except ApplianceError as error:
        print(f"{error.code}: {error.what}", file=sys.stderr)
        return error.exit_code
    except (EOFError, KeyboardInterrupt):
        return 130


if __name__ == "__main__":
    sys.exit(main())
