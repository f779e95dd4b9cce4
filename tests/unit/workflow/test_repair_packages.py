"""Finishing packages: in the twin where it boots, off-line where not, and never called whole when half so."""

from __future__ import annotations

import contextlib

import pytest

from appliance.errors import PatchFailed
from appliance.model.plan import RepairKind
from appliance.patching.apt_repair import finish, undo
from appliance.patching.apt_undo import Change, Transaction
from appliance.patching.base import Applied, Mark, Setting, Sources
from appliance.workflow.steps import packages
from tests.unit.workflow.test_repair_plan import plan
from tests.unit.workflow.test_repair_steps import DEAD, scene


class Manager:
    """A package manager that is whole after so many of its looks."""

    def __init__(self, *audits: tuple[str, ...]) -> None:
        self.audits = list(audits)

    def begin(self) -> Mark:
        return Mark(())

    def audit(self) -> tuple[str, ...]:
        return self.audits.pop(0)

    def sources(self) -> Sources:
        return Sources(("deb.debian.org",))

    def collect(self, mark: Mark) -> Applied:
        return Applied(())

    def installed(self) -> tuple[tuple[str, str], ...]:
        return (("ledger", "1.0"),)


HALF = ("Package ledger is half configured.",)


def managed(monkeypatch: pytest.MonkeyPatch, *audits: tuple[str, ...]) -> list[str]:
    """Programs run, by their names, with where."""
    ran: list[str] = []
    monkeypatch.setattr(packages, "choose", lambda guest, setting: Manager(*audits))
    monkeypatch.setattr(packages, "write_preferences", lambda guest, security: None)
    for where in ("in_twin", "offline"):
        run = lambda argv, what, where=where: ran.append(f"{where}: {what}") or 0  # noqa: E731
        monkeypatch.setattr(packages, where, lambda *_, run=run: run)
    return ran


def test_packages_are_finished_in_a_twin_that_boots_and_from_its_sources_only_where_needed(
    tmp_path, monkeypatch
) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.FINISH_PACKAGES))
    here.ground.work.save("watch", "")
    ran = managed(monkeypatch, (), ())
    here.do(packages.FinishPackages, "finish-packages")
    assert ran == ["in_twin: dpkg --configure", "in_twin: apt-get -f install"]
    assert here.twin.did == []
    ran = managed(monkeypatch, HALF, ())
    here.do(packages.FinishPackages, "finish-packages")
    assert ran[2:] == ["in_twin: apt-get update", "in_twin: apt-get -f install"]
    assert here.twin.did == ["open ('deb.debian.org',)", "close"]


@pytest.mark.parametrize("watched", [DEAD, None])
def test_packages_of_a_copy_that_does_not_boot_are_finished_off_line(
    tmp_path, monkeypatch, watched: str | None
) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.FINISH_PACKAGES))
    if watched is not None:
        here.ground.work.save("watch", watched)
    monkeypatch.setattr(packages, "opened", lambda host, twin, system: contextlib.nullcontext(None))
    ran = managed(monkeypatch, ())
    here.do(packages.FinishPackages, "finish-packages")
    assert here.twin.did == ["stop"]
    assert ran == ["offline: dpkg --configure", "offline: apt-get -f install"]


def test_packages_that_stay_half_done_end_the_repair_by_name(tmp_path, monkeypatch) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.FINISH_PACKAGES))
    here.ground.work.save("watch", "")
    managed(monkeypatch, HALF, HALF)
    with pytest.raises(PatchFailed, match="ledger is half configured"):
        here.do(packages.FinishPackages, "finish-packages")
    assert here.twin.did[-1] == "close", "the twin is cut off again whatever came of it"


@pytest.mark.parametrize(("watched", "where", "network"), [("", "in_twin", True), (DEAD, "offline", False)])
def test_an_undo_brings_back_what_was_before_and_looks_whether_it_did(
    tmp_path, monkeypatch, watched: str, where: str, network: bool
) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.UNDO_PACKAGES))
    here.ground.work.save("watch", watched)
    monkeypatch.setattr(packages, "opened", lambda host, twin, system: contextlib.nullcontext(None))
    change = Change("ledger", "amd64", "1.0", "1.4")
    wanted = Transaction("2026-11-25 18:16:24", "apt-get upgrade", (change,), ("grub-pc",))
    monkeypatch.setattr(packages, "read_last", lambda guest: wanted)
    asked: list[bool] = []

    def words(guest: object, found: Transaction, *, network: bool) -> tuple[str, ...]:
        asked.append(network)
        return (change.word,)

    monkeypatch.setattr(packages, "undo_words", words)
    ran = managed(monkeypatch, (), ())
    here.do(packages.UndoPackages, "undo-packages")
    lists = [f"{where}: apt-get update"] if network else []
    assert ran == [*lists, f"{where}: dpkg --configure", f"{where}: apt-get install"]
    assert asked == [network] and "not undone: grub-pc" in here.text
    monkeypatch.setattr(Manager, "installed", lambda self: (("ledger", "1.4"),))
    with pytest.raises(PatchFailed, match=r"ledger is 1\.4, not 1\.0"):
        here.do(packages.UndoPackages, "undo-packages")
    assert ("close" in here.twin.did) is network, "the twin is cut off again"


def test_the_commands_ask_nothing_and_need_no_network() -> None:
    ran: list[tuple[str, ...]] = []
    finish(lambda argv, what: ran.append(argv) or 100)
    configure, install = (" ".join(argv) for argv in ran)
    assert configure.endswith("dpkg --configure -a --force-confdef --force-confold")
    assert "DEBIAN_FRONTEND=noninteractive" in configure and "DEBIAN_FRONTEND=noninteractive" in install
    assert install.endswith("--no-download -f install"), "the second is tried although the first failed"
    undo(lambda argv, what: ran.append(argv) or 0, Setting(), (), ("ledger:amd64=1.0", "more:amd64-"))
    undo(lambda argv, what: ran.append(argv) or 0, Setting(proxy="http://p"), ("h",), ("ledger:amd64=1.0",))
    local, fetched = (" ".join(argv) for argv in (ran[3], ran[5]))
    assert "--no-download --allow-downgrades" in local and local.endswith("ledger:amd64=1.0 more:amd64-")
    assert "--no-download" not in fetched and "http_proxy=http://p" in fetched
