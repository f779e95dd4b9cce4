"""Which page a word leads to: every page opens another through here, so that pages do not know each other."""

from __future__ import annotations

from textual.app import App

from appliance.errors import ApplianceError
from appliance.model.plan import PatchKind, Request
from appliance.model.service_messages import Port
from appliance.session import SaidNo
from tui.screens.act import Act
from tui.screens.boot import Boot
from tui.screens.error import ErrorPanel
from tui.screens.export import ExportPage
from tui.screens.keyboard import KeyboardPage
from tui.screens.log import LogPage
from tui.screens.machine import MachinePage
from tui.screens.network import NetworkPage
from tui.screens.operator import OperatorPage
from tui.screens.plans import PlansPage
from tui.screens.port import PortPage
from tui.screens.power import PowerPage
from tui.screens.preflight import Preflight
from tui.screens.rehearse import Rehearse
from tui.screens.repair import Repair
from tui.screens.running import Running
from tui.screens.saveplan import SavePlanPage
from tui.screens.services import ServicesPage
from tui.screens.ssh import SshPage
from tui.screens.sure import Sure
from tui.screens.verdict import VerdictPage
from tui.screens.vm import VmPage
from tui.screens.wanted import WantedPage


class Routes(App[None]):
    """The stack of pages, home at its bottom."""

    def back(self) -> None:
        if len(self.screen_stack) > 1:
            self.pop_screen()

    def home(self) -> None:
        while len(self.screen_stack) > 1:
            self.pop_screen()

    def open_rehearse(self) -> None:
        self.push_screen(Rehearse())

    def open_repair(self) -> None:
        """From anywhere: home, then the repairs, so that Esc leads home."""
        self.home()
        self.push_screen(Repair())

    def open_preflight(self, request: Request) -> None:
        self.push_screen(Preflight(request))

    def open_running(self) -> None:
        """From anywhere: home, then the run, so that Esc leads home."""
        self.home()
        self.push_screen(Running())

    def open_vm(self) -> None:
        self.push_screen(VmPage())

    def finish_by_hand(self) -> None:
        """From the VM back to the run, which asks whether to go on."""
        self.open_running()
        if isinstance(self.screen, Running):
            self.screen.action_go_on()

    def open_verdict(self, run: str) -> None:
        self.push_screen(VerdictPage(run))

    def open_act(self, verb: str, run: str, retire_on: str = "") -> None:
        self.push_screen(Act(verb, run, retire_on))

    def open_boot(self) -> None:
        self.push_screen(Boot())

    def open_machine(self) -> None:
        self.push_screen(MachinePage())

    def open_log(self) -> None:
        self.push_screen(LogPage())

    def open_services(self) -> None:
        self.push_screen(ServicesPage())

    def open_network(self) -> None:
        self.push_screen(NetworkPage())

    def open_port(self, link: Port) -> None:
        self.push_screen(PortPage(link))

    def open_ssh(self) -> None:
        self.push_screen(SshPage())

    def open_keyboard(self, goes_on: bool = False) -> None:
        self.push_screen(KeyboardPage(goes_on))

    def open_plans(self) -> None:
        self.push_screen(PlansPage())

    def open_wanted(self, system: int = 0, kind: PatchKind = PatchKind.ALL) -> None:
        self.push_screen(WantedPage(system, kind))

    def open_save_plan(self, request: Request, command_line: str) -> None:
        self.push_screen(SavePlanPage(request, command_line))

    def open_export(self, run: str = "") -> None:
        self.push_screen(ExportPage(run))

    def open_power(self, armed: bool = False) -> None:
        self.push_screen(PowerPage(armed))

    def show_sure(self, sure: Sure) -> None:
        self.push_screen(sure)

    def show_error(self, error: ApplianceError) -> None:
        self.push_screen(ErrorPanel.of_error(error))

    def show_busy(self, error: SaidNo) -> None:
        self.push_screen(OperatorPage(error.what))

    def show_take_over(self) -> None:
        self.push_screen(OperatorPage(""))
