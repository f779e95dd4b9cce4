"""Both systems held against the machine's own devices: what each is asked, and what the gate does with it."""

from __future__ import annotations

import contextlib
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.checks import devices, network_names
from appliance.errors import Refused
from appliance.model.codec import from_json, to_json
from appliance.model.events import Event, Line
from appliance.model.metal import Card, DeviceFate, Fate
from appliance.model.verdict import CheckResult, Facts, Outcome, Result, Verdict
from appliance.twin.udev_names import Name
from appliance.workflow.runner import Context
from appliance.workflow.steps import boot, hardware
from appliance.workflow.steps.hardware import Booted, Hardware, look_at_hardware
from tests.unit.checks.test_devices import NEW, OLD, RECORDED, VIRTIO

MAC = "52:54:00:7b:00:01"
CARD = Card(link="eth0", mac=MAC, place="0000:00:03.0", driver="virtio_net")
FACTS = Facts(
    target="multi-user.target",
    target_reached=True,
    kernel=OLD,
    root="/dev/mapper/vg0-root",
    command_line="root=/dev/mapper/vg0-root ro",
    boot_seconds=9.0,
)
STEP = SimpleNamespace(id="metal", title="Will it boot on the metal?")


class Metal:
    """The machine: one card. What each system's udev calls it is in `called`, by the system's root."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.old, self.new = folder / "old", folder / "new"
        for root, version in ((self.old, OLD), (self.new, NEW)):
            shutil.copytree(RECORDED / version, root / "usr/lib/modules" / version)
            (root / "etc/network").mkdir(parents=True)
            (root / "etc/network/interfaces").write_text("auto lan\niface lan inet dhcp\n")
        self.called = {self.old: "lan", self.new: "lan"}
        self.lines: list[tuple[Path, str]] = []
        monkeypatch.setattr(hardware, "read_devices", lambda host: (VIRTIO,))
        monkeypatch.setattr(hardware, "read_cards", lambda: (CARD,))
        monkeypatch.setattr(hardware, "firmware_of", lambda *_: {})
        monkeypatch.setattr(hardware, "names_in", self._names)

    def _names(self, host: object, root: Path, line: str, cards: tuple[Card, ...]) -> dict[str, Name]:
        self.lines.append((root, line))
        name = self.called[root]
        return {card.link: Name(name) for card in cards if name}

    def look(self) -> Hardware:
        before, after = Booted(self.old, OLD, "ro"), Booted(self.new, NEW, "ro net.ifnames=0")
        return look_at_hardware(None, before, after)  # type: ignore[arg-type]


@pytest.fixture
def metal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metal:
    return Metal(tmp_path, monkeypatch)


def test_nothing_changed_is_the_same_in_two_checks(metal: Metal) -> None:
    found = metal.look()
    assert [(c.name, c.outcome) for c in found.checks] == [
        (devices.NAME, Outcome.SAME),
        (network_names.NAME, Outcome.SAME),
    ]
    assert [(d.place, d.fate) for d in found.devices] == [("0000:00:03.0", Fate.SAME)]
    assert found.unreachable == ()
    assert metal.lines == [(metal.old, "ro"), (metal.new, "ro net.ifnames=0")], "each by its own command line"


def test_a_new_name_is_worse_and_makes_it_unreachable(metal: Metal) -> None:
    metal.called[metal.new] = "lan9"
    found = metal.look()
    assert found.checks[1].outcome is Outcome.WORSE
    assert "is called lan9" in found.unreachable[0]


def test_a_kernel_without_the_card_s_driver_is_worse_in_both(metal: Metal) -> None:
    index = metal.new / "usr/lib/modules" / NEW / "modules.alias"
    index.write_text("")
    found = metal.look()
    assert [check.outcome for check in found.checks] == [Outcome.WORSE, Outcome.WORSE]
    assert "has no driver in the patched system: The kernel 6.1.0-56-amd64" in found.unreachable[0]


def test_a_system_whose_modules_do_not_read_is_not_tested(metal: Metal) -> None:
    shutil.rmtree(metal.new / "usr/lib/modules" / NEW)
    found = metal.look()
    assert (found.devices, found.unreachable) == ((), ())
    assert [check.outcome for check in found.checks] == [Outcome.NOT_TESTED, Outcome.SAME]
    assert found.checks[0].why == "There are no modules of the kernel 6.1.0-56-amd64."


def test_without_a_control_boot_the_newest_kernel_that_has_its_modules_counts(metal: Metal) -> None:
    work = SimpleNamespace(
        load_or=lambda name, kind, otherwise: otherwise,
        load=lambda name, kind: FACTS,
    )
    kernels = tuple(SimpleNamespace(version=v) for v in ("6.9.9", OLD))
    ground = SimpleNamespace(work=work, system=SimpleNamespace(kernels=kernels))
    found = hardware.look_at_both(None, ground, metal.old, metal.new, NEW)  # type: ignore[arg-type]
    assert found.checks[0].outcome is Outcome.SAME
    assert metal.lines == [(metal.old, ""), (metal.new, FACTS.command_line)]


# The gate.


def gate(monkeypatch: pytest.MonkeyPatch, found: Hardware, lacks: tuple[str, ...] = ()) -> list[Event]:
    """CheckMetal on a machine where all else is well but `lacks`; what it told."""
    told: list[Event] = []

    @contextlib.contextmanager
    def opened(*_: object) -> object:  # type: ignore[misc]
        yield Path("/nowhere")

    staged = SimpleNamespace(artifacts=SimpleNamespace(version=NEW))
    monkeypatch.setattr(boot, "trial_root", opened)
    monkeypatch.setattr(boot, "machine_boot_to_read", opened)
    monkeypatch.setattr(boot, "staged_system", lambda *_: staged)
    monkeypatch.setattr(boot, "why_not_on_the_metal", lambda *_: lacks)
    monkeypatch.setattr(boot, "why_not_kept", lambda *_: ())
    monkeypatch.setattr(boot, "why_no_image", lambda *_: ())
    monkeypatch.setattr(boot, "why_not_read", lambda *_: ())
    monkeypatch.setattr(boot, "loader_of", lambda *_: SimpleNamespace(why_not=lambda *_: ()))
    asked: list[object] = []
    monkeypatch.setattr(boot, "look_before_trial", lambda *words: asked.append(words[-1]) or found)
    context = Context(None, told.append, threading.Event())  # type: ignore[arg-type]
    boot.CheckMetal(STEP, None).do(context)  # type: ignore[arg-type]
    assert asked == [NEW], "the kernel that is staged"
    return told


def check(outcome: Outcome) -> CheckResult:
    return CheckResult(name="network names on this machine", outcome=outcome, before="lan", after="lan9")


def test_the_gate_refuses_what_would_not_be_reached_whatever_was_forced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Hardware((), (check(Outcome.WORSE),), ("It would not be reached.",))
    with pytest.raises(Refused) as refused:
        gate(monkeypatch, found, ("The new initrd lacks the driver ahci.",))
    assert refused.value.reasons == ("The new initrd lacks the driver ahci.", "It would not be reached.")


def test_the_gate_tells_what_else_it_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    told = gate(monkeypatch, Hardware((), (check(Outcome.NOT_TESTED),), ()))
    assert "network names on this machine: NOT TESTED, lan9" in [e.text for e in told if isinstance(e, Line)]


# The verdict's shape.


def test_devices_go_through_json_and_a_verdict_of_before_has_none() -> None:
    fate = DeviceFate(place="1", name="Card", fate=Fate.OTHER, before="a", after="b", why="It changed.")
    verdict = Verdict(result=Result.PASS, checks=(), devices=(fate,))
    assert from_json(to_json(verdict), Verdict, "verdict.json") == verdict
    assert from_json(b'{"result":"PASS","checks":[]}', Verdict, "verdict.json").devices == ()
