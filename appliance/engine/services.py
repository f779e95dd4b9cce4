"""What the appliance does beside runs: export, plan files, network, shell, ssh, keyboard."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from msgspec.structs import replace

from appliance.engine.bus import Bus
from appliance.errors import ApplianceError, ExportFailed, Refused
from appliance.host.run import Host
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model.events import Line, ServiceProgress
from appliance.model.machine import Machine
from appliance.model.plan import Request, Verb
from appliance.workflow.export import Exporter
from appliance.workflow.keyboard import Keyboard
from appliance.workflow.network import NetworkDesk, site_proxy
from appliance.workflow.places import Places
from appliance.workflow.plan_files import list_plan_files, save_plan_file
from appliance.workflow.shell import Shells
from appliance.workflow.ssh import Ssh
from appliance.workflow.stick import on_stick

TELL_EVERY = 0.25
"""Seconds between two words on how far something is."""


class Services:
    """Answers the service messages; holds what lasts as long as this start of the appliance."""

    def __init__(self, host: Host, bus: Bus, places: Places, exporter: Exporter | None = None) -> None:
        self.host = host
        self.bus = bus
        self.places = places
        self.network = NetworkDesk(host, places.runtime)
        self._exporting = threading.Lock()
        self.shells = Shells(places.runtime)
        self.ssh = Ssh(host, places.runtime)
        self.keyboard = Keyboard(host, places.runtime)
        self.exporter = exporter or Exporter(host, places)

    def handle(self, say: object, machine: Callable[[], Machine]) -> s.AnyServiceReply | m.Accepted:
        """Raises ApplianceError; Refused for a message this engine does not know.

        `machine` is asked only where it matters: a machine that does not read must not keep anybody from its
        network, a shell or the log.
        """
        match say:
            case s.Export():
                return self.export(_readable(machine), say.run, say.to)
            case s.GetPlanFiles():
                return list_plan_files(self.places.data, self.exporter.is_stick(self.places.data), machine())
            case s.SavePlanFile():
                return self.save_plan(machine(), say)
            case s.GetNetwork():
                return self.network.show()
            case s.SetNetwork():
                return self.network.set(say)
            case s.SetProxy():
                return self.network.set_proxy(say.proxy)
            case s.Blink():
                self.network.blink(say.link)
                return m.Accepted()
            case s.GetStick():
                return on_stick(self.places.data)
            case s.OpenShell():
                self.say(f"{say.client} opens a root shell")
                return self.shells.prepare(say.client)
            case s.ShellClosed():
                self.say(f"the root shell ended with status {say.status}; its log is {say.log}")
                return m.Accepted()
            case s.GetSsh():
                return self.ssh.state()
            case s.SetSsh():
                self.say(f"ssh is turned {'on' if say.on else 'off'}")
                return self.ssh.turn_on() if say.on else self.ssh.turn_off()
            case s.GetKeyboard():
                return s.KeyboardIs(code=self.keyboard.current())
            case s.SetKeyboard():
                return s.KeyboardIs(code=self.keyboard.choose(say.code))
            case _:
                raise Refused((f"The engine does not know {type(say).__name__}.",))

    def say(self, text: str) -> None:
        self.bus.publish(Line(source="log", text=text))

    def export(self, machine: Machine | None, run: str, to: str) -> s.Exported:
        """One at a time. Raises ExportFailed while another terminal exports."""
        if not self._exporting.acquire(blocking=False):
            raise ExportFailed("Another terminal is exporting.", next_actions=("Wait, then export again.",))
        try:
            return self._export(machine, run, to)
        finally:
            self._exporting.release()

    def _export(self, machine: Machine | None, run: str, to: str) -> s.Exported:
        proxy = site_proxy(self.places.runtime)
        teller = Teller(self.bus, "export")
        return self.exporter.export(machine, run, to, self.bus.kept(), teller, proxy)

    def to_stick(self, machine: Machine, run: str) -> None:
        """The record of `run` to the stick; that this did not work stops nothing, and is said."""
        try:
            done = self.export(machine, run, s.STICK)
            self.bus.publish(Line(source="run", text=f"The report is on the stick: {done.where}"))
        except ApplianceError as error:
            text = f"No report on the stick ({error.code}): {error.what}"
            self.bus.publish(Line(source="run", text=text, level="error"))

    def save_plan(self, machine: Machine, say: s.SavePlanFile) -> s.PlanSaved:
        self.exporter.stick()
        rehearsal: Request = say.request
        if say.request.verb is Verb.PROMOTE:
            rehearsed = self.places.plan(say.request.run).request
            rehearsal = replace(rehearsed, force_bad=say.request.force_bad)
        return save_plan_file(self.places.data, machine, say, rehearsal)


def _readable(machine: Callable[[], Machine]) -> Machine | None:
    try:
        return machine()
    except ApplianceError:
        return None


class Teller:
    """Publishes progress, at most four times a second and always the end."""

    def __init__(self, bus: Bus, service: str) -> None:
        self.bus, self.service = bus, service
        self._said = 0.0

    def __call__(self, words: str, done: int, total: int, unit: str) -> None:
        if done < total and time.monotonic() - self._said < TELL_EVERY:
            return
        self._said = time.monotonic()
        self.bus.publish(
            ServiceProgress(service=self.service, words=words, done=done, total=total, unit=unit)
        )
