"""An initrd packed inside the twin is held against the metal, and made anew before the proof boot."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from appliance.boot.artifacts import find_artifacts
from appliance.boot.drivers import RootStack
from appliance.boot.initrd_maker import DRACUT
from appliance.errors import BootConfigFailed, Cancelled, CommandFailed
from appliance.model.events import Event, Line
from appliance.twin.guest import GuestOutput
from appliance.workflow.runner import Context
from appliance.workflow.steps import initrd

VERSION = "6.12.1"
IMAGE = f"initrd.img-{VERSION}"
LACKS = ("The new initrd lacks the driver ahci, which this machine's root disk needs.",)


class Trial:
    """A trial volume whose dracut writes `made`; the gate is content with an initrd of the text "metal"."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.files = root, root / "var/lib/twinboot/boot"
        self.made: str | BaseException = "metal"
        self.status = 0
        self.ran: list[tuple[str, ...]] = []
        self.told: list[Event] = []
        self.ctx = Context(None, self.told.append, threading.Event())  # type: ignore[arg-type]
        for folder in ("usr/bin", "boot", f"usr/lib/modules/{VERSION}/kernel", "var/lib/dpkg/info"):
            (root / folder).mkdir(parents=True)
        (root / "usr/bin/dracut").touch()
        (root / f"usr/lib/modules/{VERSION}/kernel/ahci.ko.xz").touch()
        (root / "var/lib/dpkg/info/linux.list").write_text(f"/boot/vmlinuz-{VERSION}\n")
        self.files.mkdir(parents=True)
        (self.files / f"vmlinuz-{VERSION}").write_text("kernel")
        self.initrd.write_text("twin")
        stack = RootStack(("ahci", "ext4"), ())
        monkeypatch.setattr(initrd, "root_stack_of", lambda host, ground: stack)
        monkeypatch.setattr(initrd, "why_not_on_the_metal", self._gate)
        monkeypatch.setattr(initrd, "opened_at", self._opened)
        monkeypatch.setattr(initrd, "initrd_names", lambda host, path: ("init",))

    @property
    def initrd(self) -> Path:
        return self.files / IMAGE

    def _gate(self, host: object, ground: object, root: Path, artifacts: object) -> tuple[str, ...]:
        text = self.initrd.read_text()
        if text == "damaged":
            raise BootConfigFailed("The initrd does not unpack.")
        return () if text == "metal" else LACKS

    def _opened(self, host: object, root: Path, boot: Path) -> contextlib.nullcontext[Trial]:
        assert (root, boot) == (self.root, self.files)
        return contextlib.nullcontext(self)

    def exec(self, argv: tuple[str, ...], *, timeout: float) -> GuestOutput:
        self.ran.append(argv)
        if isinstance(self.made, BaseException):
            raise self.made
        (self.root / "boot" / IMAGE).write_text("bound")
        if self.made:
            self.initrd.write_text(self.made)
        return GuestOutput(self.status, b"", b"dracut: it failed\n" if self.status else b"")

    def fit(self) -> None:
        initrd.fit_for_the_metal(self.ctx, None, self.root, self.files)  # type: ignore[arg-type]

    @property
    def warnings(self) -> list[str]:
        return [e.text for e in self.told if isinstance(e, Line) and e.level == "warning"]


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    return Trial(tmp_path, monkeypatch)


def test_one_that_holds_every_driver_is_left_alone(trial: Trial) -> None:
    trial.initrd.write_text("metal")
    trial.fit()
    assert not trial.ran and not trial.told


@pytest.mark.parametrize("before", ["twin", "damaged"])
def test_one_that_only_the_twin_could_boot_is_made_anew_for_the_metal(trial: Trial, before: str) -> None:
    trial.initrd.write_text(before)
    trial.fit()
    assert trial.ran == [DRACUT.argv(VERSION, IMAGE, ("ahci",))], "built in or not there is not asked for"
    assert trial.initrd.read_text() == "metal" and not trial.warnings
    assert {p.name for p in trial.files.iterdir()} == {f"vmlinuz-{VERSION}", IMAGE}


@pytest.mark.parametrize(
    ("made", "status", "said"),
    [
        ("twin", 0, LACKS[0]),
        ("damaged", 0, "does not unpack"),
        ("metal", 1, "could not be built by dracut: dracut: it failed"),
        ("", 1, "could not be built by dracut"),
        (CommandFailed("unshare took longer than 3600 s"), 0, "took longer"),
    ],
)
def test_where_that_does_not_help_it_stays_as_the_twin_left_it(
    trial: Trial, made: str | BaseException, status: int, said: str
) -> None:
    trial.made, trial.status = made, status
    trial.fit()
    assert trial.initrd.read_text() == "twin"
    (warning,) = trial.warnings
    assert said in warning and warning.startswith("it cannot be promoted as it is: ")
    assert find_artifacts(trial.root, trial.files).version == VERSION
    assert {p.name for p in trial.files.iterdir()} == {f"vmlinuz-{VERSION}", IMAGE}


def test_a_cancel_is_no_failed_build(trial: Trial) -> None:
    trial.made = Cancelled("stopped")
    with pytest.raises(Cancelled):
        trial.fit()
    assert not trial.warnings
