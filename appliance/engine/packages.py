"""What is installed on the machine: read once from the system's own volume, then told in parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from appliance.engine.runs import Runs
from appliance.errors import Busy, Refused
from appliance.host.run import Host
from appliance.model.machine import InstalledSystem, Machine
from appliance.model.plan import fingerprint
from appliance.model.service_messages import GetPackages, PackageList
from appliance.model.wanted import AptSetup
from appliance.probe.packages import PackageTable, read_packages
from appliance.workflow.packages import listing, sizes
from appliance.workflow.stand_in import Held, read_initrd

Found = TypeVar("Found")


class PackageDesk:
    """Keeps what it read as long as the machine's disks and volumes are those it was read on: the installed
    system does not run meanwhile."""

    def __init__(self, host: Host, runs: Runs) -> None:
        self.host, self.runs = host, runs
        self._machine = ""
        self._tables: dict[str, PackageTable] = {}
        self._initrds: dict[str, Held] = {}
        self._lock = threading.Lock()

    def look(self, say: GetPackages, machine: Machine) -> PackageList:
        """Raises Refused for a system that is not there, Busy while a run is at work on the disks."""
        with self._lock:
            return listing(self._table(say.system, machine), say.find)

    def sizes(self, system: str, machine: Machine) -> Mapping[str, int]:
        """What is known of packages' sizes, without reading anything: nothing where nobody has looked."""
        with self._lock:
            known = self._tables.get(system) if self._machine == fingerprint(machine) else None
            return sizes(known) if known is not None else {}

    def setup(self, system: str, machine: Machine) -> AptSetup:
        """What decides what that system's apt would fetch. Raises as `look` does."""
        with self._lock:
            return self._table(system, machine).setup

    def initrd(self, system: str, machine: Machine) -> Held:
        """What that system's initrd holds. Raises as `look` does."""
        with self._lock:
            self._forget_another(machine)
            if system not in self._initrds:
                self._initrds[system] = self._read(read_initrd, system, machine)
            return self._initrds[system]

    def _table(self, system: str, machine: Machine) -> PackageTable:
        self._forget_another(machine)
        if system not in self._tables:
            self._tables[system] = self._read(read_packages, system, machine)
        return self._tables[system]

    def _forget_another(self, machine: Machine) -> None:
        if self._machine != (now := fingerprint(machine)):
            self._machine, self._tables, self._initrds = now, {}, {}

    def _read(
        self, look: Callable[[Host, Machine, InstalledSystem], Found], name: str, machine: Machine
    ) -> Found:
        system = machine.system(name)
        if system is None:
            raise Refused((f"There is no installed system {name} here.",))
        going = self.runs.going
        twin = going is not None and going.at_hand
        if twin or not self.runs.disks.acquire(blocking=False):
            raise Busy("A run is at work on the disks, which the installed system has to be read from.")
        try:
            return look(self.host, machine, system)
        finally:
            self.runs.disks.release()
