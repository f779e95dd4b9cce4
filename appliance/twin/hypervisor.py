"""The twin's virtual machine and its network, through libvirt. This and `lines` alone know libvirt's API."""

from __future__ import annotations

import contextlib
import enum
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu  # type: ignore[import-untyped]

from appliance.errors import TwinFailed
from appliance.twin.lines import ConsoleLine, LibvirtChannel
from appliance.twin.picture import png_from_ppm

URI = "qemu:///system"
STATUS = Path("/var/lib/libvirt/dnsmasq")
"""Where libvirt notes the addresses on its bridges, with or without dnsmasq; it does not make the folder."""

BRIDGE = "virbr-twin"
NETWORK_XML = """<network>
  <name>twinboot</name>
  <bridge name='{bridge}' stp='off' delay='0'/>
  <dns enable='no'/>
  <ip address='{address}' prefix='30'/>
</network>
"""
"""No <forward>: nothing is routed. No <dhcp>: libvirt starts no dnsmasq."""


EVENT_DELAY = 5.0
"""Seconds to wait for libvirt's word that a domain has started, after it said so by returning."""

HELD = 80
"""Milliseconds that a key is held down: a twin in an emulated machine reads its keyboard late."""

ENDINGS = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: "shut down",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: "destroyed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: "failed",
}


class PowerState(enum.Enum):
    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Load:
    """`cpu` is processor time used since the start, in seconds, of `cpus` processors; memory is in bytes:
    what the twin's process holds, of the `most` it may have."""

    cpu: float
    cpus: int
    memory: int
    most: int


@dataclass(frozen=True, slots=True)
class BlockStats:
    """Bytes since the domain's start."""

    read: int
    written: int


_loop_started = threading.Lock()
_loop_running = False


def _start_events() -> None:
    """libvirt's event loop, once per process: without it a dead libvirtd is never noticed (keep-alive)."""
    global _loop_running
    with _loop_started:
        if _loop_running:
            return
        libvirt.virEventRegisterDefaultImpl()
        libvirt.registerErrorHandler(lambda _context, _error: None, None)

        def spin() -> None:
            while True:
                libvirt.virEventRunDefaultImpl()

        threading.Thread(target=spin, name="libvirt-events", daemon=True).start()
        _loop_running = True


class Hypervisor:
    """A connection to libvirt. Every method raises TwinFailed with libvirt's own words."""

    def __init__(self, uri: str = URI) -> None:
        self._uri = uri
        self._connection: Any = None
        self._lives = threading.Condition()
        self._stopped: dict[str, str] = {}
        self._started: set[str] = set()

    # Connection.

    def open(self) -> Hypervisor:
        """Connect, where that is not done yet or the connection has died."""
        if self._connection is not None and self._connection.isAlive():
            return self
        _start_events()
        try:
            self._connection = libvirt.open(self._uri)
            if self._uri.startswith("qemu:"):
                # libvirt's other drivers live in this process and know no keep-alive.
                self._connection.setKeepAlive(5, 6)
            self._connection.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_event, None
            )
        except libvirt.libvirtError as error:
            raise TwinFailed(f"libvirt does not answer: {error}.") from error
        return self

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                connection.close()
            except libvirt.libvirtError as error:
                raise TwinFailed(f"libvirt did not let go: {error}.") from error

    def _on_event(self, _conn: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        name = domain.name()
        with self._lives:
            if event == libvirt.VIR_DOMAIN_EVENT_STARTED:
                self._stopped.pop(name, None)
                self._started.add(name)
                self._lives.notify_all()
            elif event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
                self._stopped[name] = ENDINGS.get(detail, "ended")

    def _domain(self, name: str) -> Any:
        """The domain, or None where there is none."""
        try:
            return self.open()._connection.lookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise TwinFailed(f"libvirt can not say whether {name} runs: {error}.") from error

    def _running(self, name: str) -> Any:
        domain = self._domain(name)
        if domain is None:
            raise TwinFailed(f"The twin {name} is not running ({self.how_it_ended(name)}).")
        return domain

    # The machine.

    def start(self, name: str, xml: str, limit: float = 120.0) -> None:
        """Make and start the transient domain `name`. One left over is destroyed first."""
        self.destroy(name)
        with self._lives:
            self._stopped.pop(name, None)
            self._started.discard(name)
        failure: list[Exception] = []

        def create() -> None:
            try:
                self.open()._connection.createXML(xml, 0)
            except libvirt.libvirtError as error:
                failure.append(error)

        thread = threading.Thread(target=create, name="libvirt-start", daemon=True)
        thread.start()
        thread.join(limit)
        if thread.is_alive():
            raise TwinFailed(f"libvirt did not start {name} within {limit:.0f} s.")
        if failure:
            raise TwinFailed(f"The twin does not start: {failure[0]}.") from failure[0]
        # Events come late but in order: after "started", the end of an earlier life is no longer under way.
        with self._lives:
            self._lives.wait_for(lambda: name in self._started, EVENT_DELAY)

    def destroy(self, name: str) -> None:
        """Power the twin off at once; nothing happens where it is off."""
        domain = self._domain(name)
        if domain is None:
            return
        try:
            domain.destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                raise TwinFailed(f"The twin can not be switched off: {error}.") from error

    def power_button(self, name: str) -> None:
        """Press the ACPI power button."""
        try:
            self._running(name).shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        except libvirt.libvirtError as error:
            raise TwinFailed(f"The twin's power button does not work: {error}.") from error

    def state(self, name: str) -> PowerState:
        domain = self._domain(name)
        if domain is None:
            return PowerState.OFF
        try:
            state, _reason = domain.state()
        except libvirt.libvirtError:
            return PowerState.OFF
        if state == libvirt.VIR_DOMAIN_PAUSED:
            return PowerState.PAUSED
        return (
            PowerState.OFF
            if state in (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED)
            else PowerState.RUNNING
        )

    def wait_off(
        self,
        name: str,
        limit: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> bool:
        """Whether the twin is off within `limit` seconds of `clock`."""
        end = clock() + limit
        while clock() < end:
            if self.state(name) is PowerState.OFF:
                return True
            sleep(0.5)
        return self.state(name) is PowerState.OFF

    def how_it_ended(self, name: str) -> str:
        """How the domain last stopped: shut down, destroyed, crashed, failed, or "not seen to end"."""
        return self._stopped.get(name, "not seen to end")

    def pause(self, name: str) -> None:
        try:
            self._running(name).suspend()
        except libvirt.libvirtError as error:
            raise TwinFailed(f"The twin can not be paused: {error}.") from error

    def resume(self, name: str) -> None:
        try:
            self._running(name).resume()
        except libvirt.libvirtError as error:
            raise TwinFailed(f"The twin can not go on: {error}.") from error

    def agent(self, name: str) -> LibvirtChannel:
        return LibvirtChannel(self, name)

    def agent_call(self, name: str, request: str, timeout: float) -> str:
        """One line to the guest agent and its answer, both JSON."""
        try:
            answer = libvirt_qemu.qemuAgentCommand(self._running(name), request, max(1, int(timeout)), 0)
        except libvirt.libvirtError as error:
            raise TwinFailed(f"The twin's agent did not do what it was asked: {error}.") from error
        return str(answer)

    def monitor(self, name: str, command: str) -> str:
        """What QEMU's monitor answers to a command that only reads (qemu(1), "QEMU Monitor")."""
        hmp = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        try:
            return str(libvirt_qemu.qemuMonitorCommand(self._running(name), command, hmp))
        except libvirt.libvirtError as error:
            raise TwinFailed(f"QEMU did not answer: {error}.") from error

    def open_console(self, name: str) -> ConsoleLine:
        """The twin's serial line, to type on. Whoever had it before loses it."""
        domain = self._running(name)
        try:
            stream = self.open()._connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
            domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        except libvirt.libvirtError as error:
            raise TwinFailed(f"The twin's serial line can not be opened: {error}.") from error
        return ConsoleLine(stream)

    def press(self, name: str, key: int) -> None:
        """One key of the twin's keyboard, as Linux numbers it; it is let go of again before this returns.

        Its keyboard holds 16 bytes that the twin has not read, a key is two of them.
        """
        try:
            self._running(name).sendKey(libvirt.VIR_KEYCODE_SET_LINUX, HELD, [key], 1, 0)
        except libvirt.libvirtError as error:
            raise TwinFailed(f"The twin's keyboard does not answer: {error}.") from error
        time.sleep(2 * HELD / 1000)

    def screenshot(self, name: str) -> bytes:
        """The twin's screen as PNG."""
        connection = self.open()._connection
        parts: list[bytes] = []
        try:
            stream = connection.newStream()
            kind = self._running(name).screenshot(stream, 0, 0)
            stream.recvAll(lambda _stream, data, _opaque: parts.append(data), None)
            stream.finish()
        except libvirt.libvirtError as error:
            raise TwinFailed(f"The twin's screen can not be read: {error}.") from error
        data = b"".join(parts)
        return data if "png" in str(kind) else png_from_ppm(data)

    def block_stats(self, name: str) -> BlockStats:
        """What all its disks together have read and written since the start (virDomainBlockStats: "")."""
        try:
            _, read, _, written, _ = self._running(name).blockStats("")
        except libvirt.libvirtError as error:
            raise TwinFailed(f"The twin's disks give no figures: {error}.") from error
        return BlockStats(max(0, read), max(0, written))

    def load(self, name: str) -> Load:
        """What the twin uses of this machine at the moment. Raises TwinFailed where it is off."""
        try:
            domain = self._running(name)
            _, most, used, cpus, spent = domain.info()
        except libvirt.libvirtError as error:
            raise TwinFailed(f"The twin gives no figures: {error}.") from error
        with contextlib.suppress(libvirt.libvirtError):  # then what it was given stands for what it holds
            used = domain.memoryStats().get("rss", used)
        return Load(cpu=spent / 1e9, cpus=cpus, memory=used * 1024, most=most * 1024)

    def set_cable(self, name: str, mac: str, plugged: bool) -> None:
        """Plug the network card's cable in, or pull it."""
        xml = (
            f"<interface type='network'><mac address='{mac}'/><source network='twinboot'/>"
            f"<model type='virtio'/><link state='{'up' if plugged else 'down'}'/><rom enabled='no'/>"
            "</interface>"
        )
        try:
            self._running(name).updateDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        except libvirt.libvirtError as error:
            raise TwinFailed(f"The twin's network cable can not be moved: {error}.") from error

    # The network.

    def network_up(self, address: str, name: str = "twinboot") -> None:
        """Bring the isolated network up, anew: a bridge with only the appliance's own `address` on it."""
        self.network_down(name)
        STATUS.mkdir(parents=True, exist_ok=True)
        try:
            xml = NETWORK_XML.format(bridge=BRIDGE, address=address)
            self.open()._connection.networkCreateXML(xml)
        except libvirt.libvirtError as error:
            raise TwinFailed(f"The twin's network does not start: {error}.") from error

    def network_down(self, name: str = "twinboot") -> None:
        """Take the network down; nothing happens where it is down."""
        try:
            self.open()._connection.networkLookupByName(name).destroy()
        except libvirt.libvirtError as error:
            gone = (libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID)
            if error.get_error_code() not in gone:
                raise TwinFailed(f"The twin's network can not be taken down: {error}.") from error
