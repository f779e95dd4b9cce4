"""One twin, from its disks to its last power-off: what the workflow calls."""

from __future__ import annotations

import contextlib
import functools
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from appliance.errors import Cancelled, TwinFailed
from appliance.host.run import Host, read, write
from appliance.model.machine import Firmware
from appliance.twin import network, quiet, restore, vga
from appliance.twin.console import dead_end, follow, tail
from appliance.twin.devices import TwinDevices, prefix_of
from appliance.twin.domain import Direct, DomainSpec, domain_xml, local_mac
from appliance.twin.guest import Frozen, Guest
from appliance.twin.hypervisor import Hypervisor, PowerState
from appliance.twin.layout import plan_layout
from appliance.twin.lines import ConsoleLine
from appliance.twin.nvram import write_vars
from appliance.twin.pausing import PausableChannel, Pausing
from appliance.twin.segments import TwinLayout
from appliance.twin.setup import Limits, TwinSetup, archive_runtime, disk_spec, is_slow, place_ours
from appliance.twin.sizing import available_memory, twin_cpus, twin_memory
from appliance.twin.terminal import Terminal
from appliance.twin.tools import Tools, build_tools
from appliance.twin.unlocking import NothingAsked, OnTheLine, Unlocking
from appliance.twin.unlocking_screen import OnTheScreen
from appliance.twin.variables import TwinVariables

RUN = Path("/run/twinboot")
DIRECT = "direct"
"""The folder of a twin's own with what is started there without its loader."""


class Twin:
    """prepare → start → wait_for_agent → guest … → reboot … → power_off → teardown.

    Every method raises TwinFailed or CommandFailed; `teardown` clears up after any of them, and twice.
    `cancelled` is asked while a long wait goes on: true ends it with Cancelled. `direct` is asked before each
    start what is started where the twin's own loader and initrd can not start it.
    """

    def __init__(
        self,
        host: Host,
        hypervisor: Hypervisor,
        setup: TwinSetup,
        limits: Limits | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        direct: Callable[[Twin], Direct] | None = None,
    ) -> None:
        self.cancelled = cancelled
        self.direct = direct
        self.host = host
        self.hypervisor = hypervisor
        self.setup = setup
        self.limits = limits or Limits()
        self.layout: TwinLayout = plan_layout(setup.machine, setup.system)
        self.name = f"twinboot-{setup.run}-{setup.part}"
        self.folder = RUN / setup.run / setup.part
        self.mac = local_mac(self.name)
        self.tools = Tools()
        self.terminal = Terminal()
        self.pausing = Pausing(lambda: self.cancelled())
        self.proxy = network.Proxy(host, self.folder / "proxy")
        self.devices = TwinDevices(
            host=host,
            prefix=prefix_of(setup.run, setup.part),
            layout=self.layout,
            volumes=setup.volumes,
            scratch=setup.scratch,
            folder=self.folder / "lvm",
        )
        self.unlocking = self._unlocking()
        self._left_out: tuple[str, ...] = ()
        self._said_before = 0
        self._freeze: Frozen | None = None
        self._direct: Direct | None = None

    # What callers read.

    @property
    def guest(self) -> Guest:
        """Inside the twin, once its agent answers."""
        channel = PausableChannel(self.hypervisor.agent(self.name), self.pausing)
        return Guest(channel, clock=self.pausing.clock)

    def clock(self) -> float:
        """Seconds for time limits on the twin's work: they stand still while it does."""
        return self.pausing.clock()

    @property
    def console_log(self) -> Path:
        """All the twin said on its serial line; stays after `teardown`."""
        return self.folder / "console.log"

    @property
    def boot_device(self) -> str:
        """The twin's /boot while it is off. Mount it, and unmount it before the next start."""
        return self.devices.boot_device

    @property
    def esp_device(self) -> str:
        return self.devices.esp_device

    @property
    def variables(self) -> TwinVariables:
        """What leads the twin's systemd-boot, while it is off."""
        return TwinVariables(self._vars)

    @property
    def root_device(self) -> str:
        """The twin's root while it is off, to be mounted like `boot_device`."""
        return self.volume_device(self.setup.system.root.name)

    def volume_device(self, lv: str) -> str:
        """The twin's volume `lv` while it is off: its snapshot itself is claimed by the twin's disk."""
        return self.devices.volume(lv)

    @property
    def accel(self) -> str:
        """What the verdict says: "KVM" or "emulated"."""
        return "emulated" if self.setup.emulate else "KVM"

    @functools.cached_property
    def slow(self) -> bool:
        """Whether its times and the stalls of its kernel say nothing of the machine."""
        return is_slow(self.host, self.setup)

    @property
    def left_behind(self) -> tuple[str, ...]:
        """Run-time state too big to be put back at seal: to be said in the verdict."""
        return self._left_out

    def state(self) -> PowerState:
        return self.hypervisor.state(self.name)

    def screenshot(self) -> bytes:
        """The twin's screen as PNG."""
        return self.hypervisor.screenshot(self.name)

    def vga_text(self) -> tuple[str, ...]:
        """25 lines of the VGA text screen; none where the screen shows a picture."""
        if vga.png_size(self.screenshot()) not in vga.TEXT_SIZES:
            return ()
        return vga.text_of(self.hypervisor.monitor(self.name, vga.DUMP))

    def open_console(self) -> ConsoleLine:
        """The serial line, to type on."""
        return self.hypervisor.open_console(self.name)

    def follow_console(self, tell: Callable[[str], None], stop: threading.Event) -> threading.Thread:
        """Draw the serial console on `terminal`, and hand every line to `tell`, until `stop` is set."""
        return follow(self.console_log, tell, stop, feed=self.terminal.feed)

    def pause(self) -> None:
        """Let the VM stand still. Raises Refused, TwinFailed."""
        self.pausing.pause(lambda: self.hypervisor.pause(self.name))

    def resume(self) -> float:
        """Let it go on; seconds it stood still. Raises Refused, TwinFailed."""
        return self.pausing.resume(lambda: self.hypervisor.resume(self.name))

    # From nothing to running.

    def prepare(self) -> None:
        """Build disks, tools disk and variable store, and put our unit and the quiet rules into the root."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.console_log.touch()
        files = dict(self.setup.files)
        if self.setup.base:
            files[restore.ARCHIVE] = archive = self.folder / restore.ARCHIVE
            self._left_out = archive_runtime(self.host, self.setup, archive)
        place_ours(self.host, self.setup, self.folder / "root", slow=self.slow)
        build_tools(self.host, self._tools_image, self.folder / "gather", files)
        (self.folder / restore.ARCHIVE).unlink(missing_ok=True)
        if self.setup.machine.firmware is Firmware.UEFI:
            write_vars(self.setup.machine, self.setup.system, self._vars)
        self.devices.build()

    def start(self) -> None:
        """Power on. The twin must be off."""
        self.pausing.forget()
        self._direct = self.direct(self) if self.direct is not None else None
        self.devices.flush()
        self._said_before = self.console_log.stat().st_size if self.console_log.exists() else 0
        self.unlocking.begin()
        if self.setup.network:
            self.hypervisor.network_up(network.APPLIANCE)
        self.hypervisor.start(self.name, domain_xml(self.spec()), self.limits.start)

    def wait_for_agent(self, limit: float = 0.0) -> float:
        """Wait until the twin's agent answers; seconds waited. Raises TwinFailed with its last words."""
        try:
            usual = self.limits.slow_boot if self.slow else self.limits.boot
            seconds = self.guest.wait(limit or usual, self._still_booting)
            self.unlocking.end()
            return seconds
        except TwinFailed as error:
            last = " / ".join(tail(self.console_log, 5))
            what = f"{error.what} It last said: {last or 'nothing'}"
            raise TwinFailed(what, next_actions=error.next_actions) from error

    def reboot(self, limit: float = 0.0) -> float:
        """Shut down cleanly, start again, wait for the agent; seconds from power-on to the agent's answer."""
        self.power_off()
        self.start()
        return self.wait_for_agent(limit)

    def power_off(self) -> None:
        """Shut down cleanly. Where it does not end in time it is switched off hard and TwinFailed raised."""
        if self.state() is PowerState.OFF:
            return
        self.guest.shutdown()
        half = self.limits.shutdown / 2
        if not self.hypervisor.wait_off(self.name, half, self._pause, self.clock):
            self.hypervisor.power_button(self.name)
            if not self.hypervisor.wait_off(self.name, half, self._pause, self.clock):
                self.hypervisor.destroy(self.name)
                raise TwinFailed(f"The twin did not shut down within {self.limits.shutdown:.0f} s.")
        self.devices.flush()

    def stop(self) -> None:
        """Off, whatever state it is in: shut down where its agent answers, else its plug is pulled."""
        if self.state() is not PowerState.OFF:
            if self.guest.ping():
                with contextlib.suppress(TwinFailed):  # it was switched off hard in the end
                    self.power_off()
            else:
                self.hypervisor.destroy(self.name)
        self.devices.flush()

    def teardown(self) -> None:
        """Switch off and remove everything but the console's log and the caller's own snapshots."""
        self.unlocking.end()
        self.hypervisor.destroy(self.name)
        self.pausing.forget()
        self.proxy.stop()
        if self.setup.network:
            self.hypervisor.network_down()
        self._unmount()
        self.devices.teardown()
        for path in (self._tools_image, self._vars, self.folder / restore.ARCHIVE):
            path.unlink(missing_ok=True)
        for folder in ("lvm", "gather", "proxy", DIRECT):
            shutil.rmtree(self.folder / folder, ignore_errors=True)

    def _still_on(self) -> bool:
        self._check_cancel()
        return self.state() is not PowerState.OFF

    def _still_booting(self) -> bool:
        """False once it is off; TwinFailed where its console says that nothing more will come."""
        if end := dead_end(self.console_log, self._said_before):
            raise TwinFailed(f"The twin does not boot: {end}.")
        self.unlocking.look()
        return self._still_on()

    def _pause(self, seconds: float) -> None:
        self._check_cancel()
        time.sleep(seconds)

    def _check_cancel(self) -> None:
        if self.cancelled():
            raise Cancelled("The operator stopped the run while the twin was at work.")

    def _unmount(self) -> None:
        """What a step of this run that was killed may have left mounted, the innermost first (findmnt(8))."""
        below = f"{self.folder.parent}/"
        listed = self.host.run(read("findmnt", "-r", "-n", "-o", "TARGET", timeout=60)).stdout.splitlines()
        for place in reversed([place for place in listed if place.startswith(below)]):
            self.host.run(write("umount", place, timeout=120))

    # While it runs.

    def open_network(self, hosts: tuple[str, ...], upstream: str = "") -> str:
        """Let the twin reach exactly `hosts` ("name" or "name:port") by the proxy whose URL is returned."""
        url = self.proxy.start(hosts, upstream)
        self.hypervisor.set_cable(self.name, self.mac, plugged=True)
        network.plug_in(self.guest, self.mac)
        return url

    def close_network(self) -> tuple[str, ...]:
        """Pull the cable and stop the proxy; what it denied."""
        if self.state() is not PowerState.OFF:
            self.hypervisor.set_cable(self.name, self.mac, plugged=False)
        self.proxy.stop()
        return self.proxy.denied()

    def clean_before_seal(self) -> None:
        """Put run-time state back to the origin's, remove all of ours from the root, and prove it."""
        if self.setup.base:
            archive = self.tools.file(restore.ARCHIVE)
            restore.restore(self.guest, archive, self._left_out)
        quiet.remove(self.guest)

    def pull_plug(self) -> None:
        """Switch off hard. Within `while_frozen` it stays frozen for good: its disks are whole."""
        if self._freeze is not None:
            self._freeze.stays(self.guest.is_frozen())
        self.hypervisor.destroy(self.name)
        self.devices.flush()

    def while_frozen(self, act: Callable[[], None]) -> bool:
        """Run `act` (take the snapshot) with the file systems frozen; whether they were frozen throughout.

        A twin that is off has nothing left to write: that is as good as frozen.
        """
        if self.state() is PowerState.OFF:
            act()
            return True
        sentence = "The twin's file systems are frozen for a snapshot: pause again in a minute."
        with self.pausing.undisturbed(sentence), self.guest.frozen(self.limits.freeze) as freeze:
            self._freeze = freeze
            try:
                act()
            finally:
                self._freeze = None
        return freeze.held

    # How it is made.

    def spec(self) -> DomainSpec:
        """The domain, sized for what is free at this moment."""
        setup, machine = self.setup, self.setup.machine
        by_path = {disk.path: disk for disk in machine.disks}
        pairs, by = zip(self.layout.disks, self.devices.disks, strict=True), setup.stand_ins
        return DomainSpec(
            name=self.name,
            firmware=machine.firmware,
            uuid=machine.uuid,
            serial=machine.serial,
            vendor=machine.vendor,
            product=machine.product,
            memory=twin_memory(machine, available_memory(), setup.memory),
            cpus=twin_cpus(machine),
            disks=tuple(disk_spec(by_path[d.path], node, by.get(d.path, "")) for d, node in pairs),
            tools=str(self._tools_image),
            log_file=str(self.console_log),
            mac=self.mac,
            network="twinboot" if setup.network else "",
            vars_file=str(self._vars) if machine.firmware is Firmware.UEFI else "",
            emulate=setup.emulate,
            direct=self._direct,
            first=start.disk if (start := self.layout.boot or self.layout.esp) else 0,
        )

    def _unlocking(self) -> Unlocking:
        if not self.layout.encrypted:
            return NothingAsked()
        if self.setup.asks_on_screen:
            return OnTheScreen(self.name, self.hypervisor, self.clock)
        return OnTheLine(self.console_log, self.open_console)

    @property
    def _tools_image(self) -> Path:
        return self.folder / "tools.img"

    @property
    def _vars(self) -> Path:
        return self.folder / "vars.fd"
