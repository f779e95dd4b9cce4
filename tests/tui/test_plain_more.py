"""The line mode beside the straight way: the VM, boot entries, undo, stick, plan files, export, network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import Busy, ExportFailed
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model import vm_messages as v
from appliance.model.lineage import State
from appliance.model.plan import PatchKind, PatchRequest, Request, Verb
from tests.tui import story
from tests.tui.engine import FakeEngine
from tests.tui.fake_vm import FakeVm
from tests.tui.offers import WANTED
from tests.tui.player import Player
from tests.tui.test_export import DONE
from tests.tui.test_network import FOUND
from tests.tui.test_plain import script
from tests.tui.test_rehearse import full_unless_elsewhere
from tests.tui.test_running import begin
from tests.tui.test_stick import STICK


@pytest.fixture
async def sealed(tmp_path: Path) -> AsyncIterator[Player]:
    """An engine that plays, on a machine with a sealed run."""
    fake = Player(tmp_path / "engine.sock", story.machine(), "good", 5000)
    fake.stick = s.OnStick()
    fake.say_state(State.SEALED)
    await fake.start()
    yield fake
    await fake.stop()


async def test_text_is_found_in_what_the_vm_said_the_newest_first_and_again(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    vm = FakeVm(engine, client="cli")
    boots = [line for boot in (1, 2) for line in (f"boot {boot}", *("." * n for n in range(1, 30)), "done")]
    vm.terminal.feed("\r\n".join(["first", *boots]).encode())
    status, said = await script(
        engine, "vm", "find", "BOOT", "up", "up", "down", "down", "", "find", "nobody", "find", "", "", "quit"
    )
    assert status == 0
    newest, older = said.index("> boot 2"), said.index("> boot 1")
    assert newest < older, "the newest is told first, then further up"
    assert "Line 33 of" in said and "   ..\n" in said[newest:older], "among the lines around it"
    above, below = (
        said.index('"BOOT" is not in the lines above.'),
        said.index('"BOOT" is not in the lines below.'),
    )
    assert older < above < said.index("> boot 2", newest + 1) < below
    assert said.index('"nobody" is not in the lines above.') > below


async def test_nothing_is_found_where_no_vm_runs(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    FakeVm(engine, client="cli").power = "none"
    status, said = await script(engine, "vm", "find", "boot", "", "quit")
    assert status == 0 and "No VM runs." in said


async def test_the_vm_is_looked_at_typed_in_and_paused(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    vm = FakeVm(engine, client="cli")
    vm.terminal.feed(b"ledger login: ")
    status, said = await script(
        engine, "vm", "look", "type", "root", "", ".", "vga", "screenshot", "pause", "resume", "", "quit"
    )
    assert status == 0 and vm.typed == b"root\r\r" and vm.holder == "" and vm.power == "running"
    for words in (
        "VM twinboot-tb1-work, running:",
        "ledger login:",
        "grub rescue>",
        "720x400 pixels",
        "stands still",
    ):
        assert words in said
    assert engine.said(m.Cancel, m.Start, m.Approve) == [] and len(engine.said(v.GiveKeyboard)) == 1


async def test_a_script_that_ends_while_typing_gives_the_keyboard_back(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    vm = FakeVm(engine, client="cli")
    status, _ = await script(engine, "vm", "type", "reboot")
    assert status == 0 and vm.holder == "" and vm.typed == b"reboot\r"


async def test_packages_are_found_by_part_of_their_name_before_they_are_named(sealed: Player) -> None:
    answers = (
        "rehearse",
        "packages",
        "find ssl",
        "find lib",
        "find nobody",
        "openssl ledger",
        "",
        "",
        "quit",
    )
    status, said = await script(sealed, *answers)
    for words in (
        "304 installed; 2 newer, 1 of them security (apt's lists of 2026-11-18).",
        "openssl 3.0.11-1~deb12u2, newer: 3.0.15-1~deb12u1, SECURITY",
        "libmodule-019-perl 1.019-1\n",
        "and 280 more: find with more of the name.",
        "No installed package has that in its name.",
    ):
        assert words in said
    assert "libmodule-020-perl" not in said
    system = sealed.machine.systems[0].id
    assert [(ask.system, ask.find) for ask in sealed.said(s.GetPackages)] == [
        (system, "ssl"), (system, "lib"), (system, "nobody"),
    ]  # fmt: skip
    (asked,) = sealed.said(m.MakePlan)
    assert asked.request.patch.packages == ("openssl", "ledger") and status == 0


async def test_packages_that_can_not_be_looked_for_are_an_error_and_the_menu_goes_on(sealed: Player) -> None:
    def busy(say: s.GetPackages) -> m.AnyReply:
        raise Busy("A run is at work on the disks.")

    sealed.script[s.GetPackages] = busy
    status, said = await script(sealed, "rehearse", "packages", "find ssl", "quit")
    assert "What happened: A run is at work on the disks." in said
    assert status == Busy.exit_code and sealed.said(m.MakePlan) == []


async def test_boot_entries_history_space_and_undo(sealed: Player) -> None:
    sealed.status = replace(sealed.status, standing=story.standing())
    status, said = await script(sealed, "boot", "undo", "", "undo", "0001", "quit")
    for words in ("Trial of tb1", "BOOT-01 no room", "Days left: 24, at", "Nothing was done."):
        assert words in said
    starts = sealed.said(m.Start)
    assert [start.plan.request.verb for start in starts] == [Verb.UNDO] and status == 0


async def test_what_the_stick_has_is_offered_and_checks_are_left_out(sealed: Player) -> None:
    sealed.stick = STICK
    answers = ("rehearse", "bundle", "june", "", "20-web 30-mail", "", "rehearse", "nothing", "99-none")
    status, said = await script(sealed, *answers)
    assert "Folder on the stick (june, may):" in said and "Checks of the stick: 10-ledger" in said
    (asked,) = [call.request for call in sealed.said(m.MakePlan)]
    assert asked.patch == PatchRequest(kind=PatchKind.ALL, bundle="june")
    assert asked.skip_checks == ("20-web", "30-mail")
    assert status == 2 and '"99-none" is not possible here' in said


async def test_plan_files_are_saved_listed_and_run(sealed: Player) -> None:
    june = s.PlanFile(name="june.json", request=Request(verb=Verb.REHEARSE), command_line="twinboot rehearse")
    other = s.PlanFile(name="other.json", why_not="The plan other.json is for X.")
    sealed.script[s.GetPlanFiles] = lambda say: s.PlanFiles(folder="x", stick=True, files=(june, other))
    saved = s.PlanSaved(path="/x/june.json", sha256="ab" * 32, argument="twinboot.plan=june.json")
    sealed.script[s.SavePlanFile] = lambda say: saved
    status, said = await script(
        sealed, "plans", "june.json", "yes", "rehearse", "all", "save", "june", "yes", "", "quit"
    )
    assert status == 0 and "is for X." in said and "twinboot.plan=june.json" in said
    assert len(sealed.said(m.Start)) == 1
    want = PatchRequest(kind=PatchKind.ALL)
    (kept,) = sealed.said(s.SavePlanFile)
    assert (kept.name, kept.promote, kept.request.patch) == ("june", True, want)


async def test_what_would_be_fetched_is_written_for_an_office(sealed: Player) -> None:
    sealed.script[s.WriteWanted] = lambda say: WANTED
    status, said = await script(
        sealed, "wanted", "security", "wanted", "packages", "openssl nginx", "wanted", "packages", "", "quit"
    )
    told = " ".join(said.split())
    assert status == 0 and WANTED.path in told and "bundle make LIST --stick" in told
    assert "412 packages, 3 sources, 5 keys; no password" in told and f"[!] {WANTED.unknown[0]}" in told
    assert "Nothing was named." in said
    system = sealed.machine.systems[0].id
    assert sealed.said(s.WriteWanted) == [
        s.WriteWanted(system=system, kind=PatchKind.SECURITY),
        s.WriteWanted(system=system, kind=PatchKind.PACKAGES, packages=("openssl", "nginx")),
    ]

    def fails(say: s.WriteWanted) -> m.AnyReply:
        raise ExportFailed("There is no stick: it was pulled.")

    sealed.script[s.WriteWanted] = fails
    status, said = await script(sealed, "wanted", "all", "quit")
    assert status == ExportFailed.exit_code and "it was pulled" in said


async def test_export_and_network(sealed: Player) -> None:
    sealed.script[s.Export] = lambda say: DONE
    sealed.script[s.GetNetwork] = sealed.script[s.SetNetwork] = sealed.script[s.SetProxy] = lambda say: FOUND
    status, said = await script(
        sealed, "export", "tb1", "", "export", "log", "http://me", "network", "set", "eno2", "192.0.2.10/24",
        "192.0.2.1", "", "7", "network", "proxy", "http://p:3128", "network", "blink", "eno1", "quit",
    )  # fmt: skip
    assert status == 0
    assert sealed.said(s.Export) == [s.Export(run="tb1"), s.Export(to="http://me")]
    port = s.SetNetwork(link="eno2", address="192.0.2.10/24", gateway="192.0.2.1", vlan="7")
    asked = sealed.said(s.SetNetwork, s.SetProxy, s.Blink)
    assert asked == [port, s.SetProxy(proxy="http://p:3128"), s.Blink(link="eno1")]
    for words in ("12 places that held a secret are masked", "Port eno2", "NO CABLE", "10000 Mbit/s"):
        assert words in said

    def fails(say: s.Export) -> m.AnyReply:
        raise ExportFailed("There is no stick: it was pulled.")

    sealed.script[s.Export] = fails
    status, said = await script(sealed, "export", "log", "stick", "quit")
    assert status == ExportFailed.exit_code and "it was pulled" in said


async def test_no_room_is_no_dead_end_on_plain_lines(engine: FakeEngine) -> None:
    engine.script[m.MakePlan] = lambda say: full_unless_elsewhere(say, engine.machine)
    _, said = await script(engine, "rehearse", "nothing", "ram", "", "quit")
    assert "needs 3284 MiB free" in said and "Make the swap volume smaller. Price: swap." in said
    assert "Nothing is written to this machine: the copy elsewhere is thrown away." in said
    first, second = (say.request for say in engine.said(m.MakePlan))
    assert second == replace(first, rehearse_only=True, store="ram")
    assert not engine.said(m.Start)


async def test_the_way_elsewhere_need_not_be_taken(engine: FakeEngine) -> None:
    engine.script[m.MakePlan] = lambda say: full_unless_elsewhere(say, engine.machine)
    _, said = await script(engine, "rehearse", "nothing", "", "quit")
    assert said.count("needs 3284 MiB free") == 1 and "Nothing was done." in said
    assert len(engine.said(m.MakePlan)) == 1
