"""The facade: nothing is mounted under a running twin, nothing waits for ever, all is cleared up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import Cancelled, TwinFailed
from appliance.host.run import Command
from appliance.twin import twin as twin_module
from appliance.twin import unlocking_screen
from appliance.twin.domain import Direct
from appliance.twin.hypervisor import BlockStats, Load, PowerState
from appliance.twin.setup import Limits, TwinSetup
from appliance.twin.twin import DIRECT, Twin
from appliance.twin.unlocking_screen import ENTER
from tests.unit.twin.fake_guest import FakeAgent
from tests.unit.twin.fake_mapper import FakeMapper
from tests.unit.twin.machines import encrypted, made

MACHINE = made({"root": 20, "srv": 10}, {}, {"swap": 4}, [60])
LIMITS = Limits(start=5, boot=3, slow_boot=60, shutdown=0.2, freeze=5)


class Desk(FakeMapper):
    """FakeMapper with `mounts`, the places something is mounted at, and the `kind` of machine it runs on."""

    def __init__(self) -> None:
        super().__init__()
        self.mounts: set[str] = set()
        self.kind = "none"

    def _systemd_detect_virt(self, argv: list[str], command: Command) -> str:
        return f"{self.kind}\n"

    def _findmnt(self, argv: list[str], command: Command) -> str:
        return "".join(f"{place}\n" for place in ("/", "/run", *sorted(self.mounts)))

    def _umount(self, argv: list[str], command: Command) -> None:
        self.mounts.remove(argv[-1])
        assert not any(m.startswith(f"{argv[-1]}/") for m in self.mounts), "what is above goes last"

    def _systemctl(self, argv: list[str], command: Command) -> str:
        return ""

    def _losetup(self, argv: list[str], command: Command) -> str:
        return super()._losetup(argv, command)


class FakeHypervisor:
    """One domain: on or off. `obeys`: the guest shuts down when asked; `button`: the power button works."""

    def __init__(self, agent: FakeAgent, obeys: bool = True, button: bool = True) -> None:
        self.fake, self.obeys, self.button = agent, obeys, button
        self.on, self.did = False, []

    def agent(self, name: str) -> FakeAgent:
        hypervisor = self

        class Channel:
            def call(self, command: str, arguments: dict[str, object], timeout: float) -> object:
                if command == "guest-shutdown" and hypervisor.obeys:
                    hypervisor.on = False
                return hypervisor.fake.call(command, arguments, timeout)

        return Channel()  # type: ignore[return-value]

    def start(self, name: str, xml: str, limit: float) -> None:
        assert not self.on
        self.did.append("start")
        self.on = True

    def destroy(self, name: str) -> None:
        self.did.append("destroy")
        self.on = False

    def power_button(self, name: str) -> None:
        self.did.append("button")
        if self.button:
            self.on = False

    def state(self, name: str) -> PowerState:
        return PowerState.RUNNING if self.on else PowerState.OFF

    def wait_off(
        self, name: str, limit: float, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> bool:
        sleep(0.01)
        return not self.on

    def network_up(self, address: str) -> None:
        self.did.append("network up")

    def network_down(self) -> None:
        self.did.append("network down")


class Asking(FakeHypervisor):
    """One whose initrd asks for the passphrase of its disk; its agent answers once it was told."""

    def __init__(self, log: Path) -> None:
        super().__init__(FakeAgent())
        self.log, self.told = log, list[bytes]()

    def start(self, name: str, xml: str, limit: float) -> None:
        super().start(name, xml, limit)
        self.waits = True
        self.log.write_text(self.log.read_text() + "Please unlock disk vda4_crypt: ")

    def agent(self, name: str) -> FakeAgent:
        channel = super().agent(name)
        answer = channel.call

        def call(command: str, arguments: dict[str, object], timeout: float) -> object:
            if self.waits:
                raise TwinFailed("silent")
            return answer(command, arguments, timeout)

        channel.call = call  # type: ignore[method-assign]
        return channel

    def open_console(self, name: str) -> Asking:
        return self

    def send(self, data: bytes) -> None:
        self.told.append(data)
        self.waits = False

    def close(self) -> None:
        self.did.append("let go of the line")


class AskingOnScreen(Asking):
    """The same by its keyboard: it does nothing until Enter is pressed."""

    def __init__(self, log: Path) -> None:
        super().__init__(log)
        self.pressed = list[int]()

    def load(self, name: str) -> Load:
        return Load(cpu=1.0, cpus=1, memory=0, most=0)

    def block_stats(self, name: str) -> BlockStats:
        return BlockStats(read=1 << 20, written=0)

    def press(self, name: str, key: int) -> None:
        self.pressed.append(key)
        self.waits = self.waits and key != ENTER


@pytest.fixture
def desk() -> Desk:
    return Desk()


def _twin(desk: Desk, hypervisor: FakeHypervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Twin:
    monkeypatch.setattr(twin_module, "RUN", tmp_path)
    volumes = {"root": "/dev/mapper/vg0-work", "srv": "/dev/mapper/vg0-srv--work"}
    setup = TwinSetup(
        machine=MACHINE, system=MACHINE.systems[0], run="tb1", part="work", volumes=volumes,
        scratch="/dev/mapper/vg0-scratch",
    )  # fmt: skip
    twin = Twin(desk, hypervisor, setup, LIMITS)  # type: ignore[arg-type]
    twin.folder.mkdir(parents=True)
    return twin


def _encrypted(desk: Desk, hypervisor: FakeHypervisor, tmp_path: Path, *, on_screen: bool) -> Twin:
    machine = encrypted(MACHINE)
    setup = TwinSetup(
        machine=machine, system=machine.systems[0], run="tb1", part="work", volumes={},
        scratch="/dev/mapper/vg0-scratch", asks_on_screen=on_screen,
    )  # fmt: skip
    twin = Twin(desk, hypervisor, setup, LIMITS)  # type: ignore[arg-type]
    twin.folder.mkdir(parents=True)
    twin.console_log.touch()
    return twin


def test_an_encrypted_disk_is_unlocked_at_each_start(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(twin_module, "RUN", tmp_path)
    hypervisor = Asking(tmp_path / "tb1/work/console.log")
    twin = _encrypted(desk, hypervisor, tmp_path, on_screen=False)
    for starts in (1, 2):
        twin.start()
        twin.wait_for_agent()
        assert hypervisor.told == [b"    \n"] * starts
        assert hypervisor.did.count("let go of the line") == starts
        twin.power_off()


def test_one_that_asks_on_its_screen_is_told_by_its_keyboard(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(twin_module, "RUN", tmp_path)
    monkeypatch.setattr(unlocking_screen, "QUIET", 0.0)
    hypervisor = AskingOnScreen(tmp_path / "tb1/work/console.log")
    twin = _encrypted(desk, hypervisor, tmp_path, on_screen=True)
    for starts in (1, 2):
        twin.start()
        twin.wait_for_agent()
        assert hypervisor.pressed == [57, 57, 57, 57, 28] * starts
        assert hypervisor.told == []
        twin.power_off()


def test_a_clean_shutdown(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    hypervisor = FakeHypervisor(FakeAgent())
    twin = _twin(desk, hypervisor, tmp_path, monkeypatch)
    twin.devices.build()
    twin.start()
    twin.power_off()
    twin.power_off()
    assert hypervisor.did == ["network up", "start"]
    assert desk.commands[-1][:2] == ("blockdev", "--flushbufs"), "caches dropped before anybody mounts"


def test_the_power_button_is_the_second_way(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    hypervisor = FakeHypervisor(FakeAgent(), obeys=False)
    twin = _twin(desk, hypervisor, tmp_path, monkeypatch)
    twin.start()
    twin.power_off()
    assert hypervisor.did[-1] == "button"


def test_a_twin_that_does_not_stop_is_switched_off_and_said(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    hypervisor = FakeHypervisor(FakeAgent(), obeys=False, button=False)
    twin = _twin(desk, hypervisor, tmp_path, monkeypatch)
    twin.start()
    with pytest.raises(TwinFailed, match="did not shut down"):
        twin.power_off()
    assert not hypervisor.on


def test_a_twin_that_dies_while_booting_is_said_with_its_last_words(
    desk: Desk, tmp_path: Path, monkeypatch
) -> None:
    hypervisor = FakeHypervisor(FakeAgent(silent=10**6))
    twin = _twin(desk, hypervisor, tmp_path, monkeypatch)
    twin.console_log.write_text("Kernel panic - not syncing: VFS\n")
    with pytest.raises(TwinFailed, match="Kernel panic"):
        twin.wait_for_agent()


def test_a_panic_ends_the_wait_at_once_and_only_this_boots_panic(
    desk: Desk, tmp_path: Path, monkeypatch
) -> None:
    hypervisor = FakeHypervisor(FakeAgent(silent=1))
    twin = _twin(desk, hypervisor, tmp_path, monkeypatch)
    twin.console_log.write_text("Kernel panic - not syncing: VFS\n")
    twin.start()
    assert twin.wait_for_agent() >= 0, "the panic is of the boot before"
    hypervisor.fake.silent = 10**6
    with twin.console_log.open("a") as log:
        log.write("Kernel panic - not syncing: again\n")
    with pytest.raises(TwinFailed, match=r"does not boot: its kernel panics \(again\)"):
        twin.wait_for_agent()


def test_stop_shuts_down_where_it_can_and_pulls_the_plug_where_it_cannot(
    desk: Desk, tmp_path: Path, monkeypatch
) -> None:
    hypervisor = FakeHypervisor(FakeAgent())
    twin = _twin(desk, hypervisor, tmp_path, monkeypatch)
    twin.start()
    twin.stop()
    assert "destroy" not in hypervisor.did and not hypervisor.on
    hypervisor.on, hypervisor.fake.silent = True, 10**6
    twin.stop()
    assert hypervisor.did[-1] == "destroy" and not hypervisor.on
    twin.stop()


def test_a_twin_that_is_off_needs_no_freezing(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    twin = _twin(desk, FakeHypervisor(FakeAgent(silent=10**6)), tmp_path, monkeypatch)
    acted: list[bool] = []
    assert twin.while_frozen(lambda: acted.append(True)) and acted == [True]


@pytest.mark.parametrize("kind, enough", [("none", False), ("qemu", True)])
def test_on_a_virtual_appliance_a_twin_may_boot_for_longer(
    desk: Desk, tmp_path: Path, monkeypatch, kind: str, enough: bool
) -> None:
    """The agent answers after what is too long for a twin under KVM on real hardware."""
    desk.kind = kind
    twin = _twin(desk, FakeHypervisor(FakeAgent()), tmp_path, monkeypatch)
    given: list[float] = []
    monkeypatch.setattr("appliance.twin.guest.Guest.wait", lambda _, limit, __: given.append(limit) or limit)
    assert twin.wait_for_agent() == (60 if enough else 3)
    assert twin.wait_for_agent(7) == 7


def test_cancel_ends_every_wait(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    hypervisor = FakeHypervisor(FakeAgent(silent=10**6), obeys=False, button=False)
    twin = _twin(desk, hypervisor, tmp_path, monkeypatch)
    twin.start()
    twin.cancelled = lambda: True
    with pytest.raises(Cancelled):
        twin.wait_for_agent()
    with pytest.raises(Cancelled):
        twin.power_off()


def test_teardown_after_a_prepare_that_was_killed(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    hypervisor = FakeHypervisor(FakeAgent())
    twin = _twin(desk, hypervisor, tmp_path, monkeypatch)
    twin.devices.build()
    others = str(tmp_path / "tb10/work/root")
    copy = [str(twin.folder / f"copy{at}") for at in ("", "/boot", "/boot/efi", "/run")]
    desk.mounts = {str(twin.folder / "root"), str(tmp_path / "tb1/twin-boot"), *copy, others}
    (twin.folder / "tools.img").write_bytes(b"x")
    twin.console_log.write_text("kept")
    twin.teardown()
    twin.teardown()
    assert desk.mounts == {others}, "another run's mounts stay"
    assert not desk.tables and not desk.loops
    assert not (twin.folder / "tools.img").exists()
    assert twin.console_log.read_text() == "kept"


def test_volumes_are_mounted_through_devices_of_their_own(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    twin = _twin(desk, FakeHypervisor(FakeAgent()), tmp_path, monkeypatch)
    twin.devices.build()
    for lv in ("root", "srv"):
        assert twin.volume_device(lv).removeprefix("/dev/mapper/") in desk.tables
    assert twin.root_device == twin.volume_device("root")


def test_the_seal_is_frozen_only_where_it_was(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    agent = FakeAgent()
    twin = _twin(desk, FakeHypervisor(agent), tmp_path, monkeypatch)
    twin.start()
    seen: list[bool] = []
    assert twin.while_frozen(lambda: seen.append(agent.frozen)) is True
    assert seen == [True]

    def thaws() -> None:
        agent.frozen = False

    assert twin.while_frozen(thaws) is False


def test_a_twin_whose_plug_is_pulled_while_frozen_stays_frozen(
    desk: Desk, tmp_path: Path, monkeypatch
) -> None:
    agent = FakeAgent()
    hypervisor = FakeHypervisor(agent)
    twin = _twin(desk, hypervisor, tmp_path, monkeypatch)
    twin.start()
    assert twin.while_frozen(twin.pull_plug) is True
    assert hypervisor.did[-1] == "destroy" and not hypervisor.on
    assert agent.frozen, "nobody thawed it: it never wrote again"


def test_a_twin_that_thawed_before_its_plug_was_pulled_is_not_called_frozen(
    desk: Desk, tmp_path: Path, monkeypatch
) -> None:
    agent = FakeAgent()
    hypervisor = FakeHypervisor(agent)
    twin = _twin(desk, hypervisor, tmp_path, monkeypatch)
    twin.start()

    def thawed_then_off() -> None:
        agent.frozen = False
        twin.pull_plug()

    assert twin.while_frozen(thawed_then_off) is False
    assert not hypervisor.on


def test_the_plug_of_a_twin_that_is_off_may_be_pulled(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    twin = _twin(desk, FakeHypervisor(FakeAgent(silent=10**6)), tmp_path, monkeypatch)
    assert twin.while_frozen(twin.pull_plug) is True


def test_the_twin_is_the_machine_in_the_specification(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(twin_module, "available_memory", lambda: 4096)
    twin = _twin(desk, FakeHypervisor(FakeAgent()), tmp_path, monkeypatch)
    spec = twin.spec()
    assert [disk.path for disk in spec.disks] == list(twin.devices.disks)
    assert spec.firmware is MACHINE.firmware
    assert twin.layout.boot is not None and spec.first == twin.layout.boot.disk
    assert spec.name == "twinboot-tb1-work"


class Reading(FakeHypervisor):
    """Keeps what it is told to start."""

    def start(self, name: str, xml: str, limit: float) -> None:
        super().start(name, xml, limit)
        self.did.append(xml)


def test_what_starts_without_its_loader_is_asked_for_before_each_start(
    desk: Desk, tmp_path: Path, monkeypatch
) -> None:
    hypervisor = Reading(FakeAgent())
    twin = _twin(desk, hypervisor, tmp_path, monkeypatch)
    lines = iter(("first", "second"))

    def ask(asked: Twin) -> Direct:
        assert asked is twin and not hypervisor.on, "its /boot can still be read"
        (asked.folder / DIRECT).mkdir(exist_ok=True)
        return Direct("/kernel", "/initrd", next(lines))

    twin.direct = ask
    twin.start()
    hypervisor.on = False
    twin.start()
    found = [text for text in hypervisor.did if text.startswith("<domain")]
    assert ["first" in text for text in found] == [True, False]
    assert "<cmdline>second</cmdline>" in found[1]
    twin.teardown()
    assert not (twin.folder / DIRECT).exists()
