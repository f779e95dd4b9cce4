"""The one privileged process: serves the session, runs the workflow."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import sys
import threading
import traceback

from appliance.engine.bus import Bus
from appliance.engine.desk import Desk
from appliance.engine.runs import Runs
from appliance.engine.server import Server
from appliance.engine.unattended import Unattended
from appliance.engine.vm import VmDesk
from appliance.errors import ApplianceError, Busy
from appliance.host.lock import locked
from appliance.host.run import Command, Effect, Output, RealHost
from appliance.model.events import Line
from appliance.session import socket_path
from appliance.workflow.places import Places


class CommandLog:
    """Tells the stream of every command, and counts those that may have written to the machine."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.writes = 0

    def __call__(self, command: Command, output: Output, seconds: float) -> None:
        if command.effect is Effect.WRITE:
            self.writes += 1
        elif command.often and output.status in command.ok:
            return
        level = "info" if output.status in command.ok else "error"
        text = f"{command.effect.value} {brief(command)} [{output.status}] {seconds:.1f} s"
        self.bus.publish(
            Line(source="disk" if command.effect is Effect.WRITE else "log", text=text, level=level)
        )
        if output.status not in command.ok:
            for line in output.stderr.splitlines()[-5:]:
                self.bus.publish(Line(source="log", text=line, level="error"))


def brief(command: Command) -> str:
    """The command without LVM's isolated configuration, the same few hundred characters every time."""
    words = list(command.argv)
    if "--config" in words:
        del words[words.index("--config") : words.index("--config") + 2]
    return shlex.join(words)


def main() -> int:
    """Entry point of `twinboot-engine`: recover first, then serve until SIGTERM."""
    places = Places()
    try:
        # A second engine would take the run that the first is at work on for one that was cut short.
        with locked(places.runtime / "engine.lock", "The engine"):
            return _work(places)
    except Busy as error:
        print(error.what, file=sys.stderr)
        return error.exit_code


def _work(places: Places) -> int:
    bus = Bus()
    log = CommandLog(bus)
    host = RealHost(log)
    runs = Runs(host, bus, places)
    desk = Desk(host, bus, runs, places, lambda: log.writes)
    opened = threading.Event()
    runs.recovered.clear()

    def begin() -> None:
        """Off the socket's thread: clients see what recovery does while it does it."""
        try:
            opened.wait(30)
            try:
                runs.recover_unfinished(desk.machine())
            finally:
                runs.recovered.set()
            desk.forget()
            Unattended(host, bus, desk, runs, places).run()
        except ApplianceError as error:
            bus.publish(Line(source="log", level="error", text=f"{error.code} {error.what}"))
        except Exception:  # noqa: BLE001  silence would be taken for a machine at rest
            bus.publish(Line(source="log", level="error", text=traceback.format_exc()))

    threading.Thread(target=begin, name="begin", daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(Server(bus, desk, VmDesk(bus, runs)), opened))
    return 0


async def _serve(server: Server, opened: threading.Event) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(server.listen(socket_path()))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    opened.set()
    with contextlib.suppress(asyncio.CancelledError):
        await task
