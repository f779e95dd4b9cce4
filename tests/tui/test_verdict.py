"""The verdict: what got worse and why, what was not tested, packages, files, data."""

from __future__ import annotations

from appliance.errors import Refused
from appliance.model import messages as m
from appliance.model.verdict import Result, Verdict
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine


def judged(engine: FakeEngine, verdict: Verdict | None) -> None:
    engine.script[m.GetRecord] = lambda say: m.RecordOf(
        run=say.run, verdict=verdict, text="stopped at step 3"
    )


async def test_worse_stands_first_with_its_why_and_fix(engine: FakeEngine) -> None:
    judged(engine, story.verdict(Result.FAIL))
    async with desk(engine) as here:
        await here.press("v")
        await here.sees(
            "tb1: FAIL, 1 worse, 7 of 9 services could be tested", "1 worse, 9 same, 2 NOT TESTED"
        )
        await here.sees(
            "> WORSE      service ledger", "active", "failed", "Why: ledger.service: main process exited"
        )
        await here.sees("Fix: Rehearse again without ledger 1.2", "KVM, seal frozen, proof boot passed")
        await here.press("down")
        await here.sees("Why: It ran in neither boot of the twin.")
    assert engine.said(m.GetRecord) == [m.GetRecord(run="tb1")]


async def test_same_checks_fold_and_unfold(engine: FakeEngine) -> None:
    judged(engine, story.verdict())
    async with desk(engine) as here:
        await here.press("v")
        await here.sees("more that are the same (F unfolds)")
        assert "service cron" not in here.text
        await here.press("f")
        await here.sees("service cron")


async def test_packages_files_and_data_have_their_views(engine: FakeEngine) -> None:
    judged(engine, story.verdict(migrated=True))
    async with desk(engine) as here:
        await here.press("v")
        await here.sees("[!] The patch wrote to data volumes")
        await here.press("tab")
        await here.sees(
            "linux-image-6.1.0-51-amd64  new -> 6.1.129-1  NEW KERNEL security", "libc6", "security"
        )
        await here.sees("Not applied: boot loader: grub-efi-amd64")
        await here.press("3")
        await here.sees("UNEXPLAINED  added    /var/lib/ledger/seen", "Kept as the site has them: /etc/nginx")
        await here.press("4")
        await here.sees("/srv: 3.2 MiB written", "/srv/ledger/data.v2", "does not roll")


async def test_changed_configuration_is_read_file_by_file(engine: FakeEngine) -> None:
    judged(engine, story.verdict())
    async with desk(engine) as here:
        await here.press("v", "5")
        await here.sees(
            "[5 config 3]", "> kept     +1 -1       /etc/nginx/nginx.conf", "The site's own version"
        )
        await here.press("down")
        await here.sees("> changed  +2 -1       /etc/ledger/ledger.conf", "2 secrets are hidden here.")
        await here.press("enter")
        await here.sees(
            "changed, +2 -1, 2 of 3 files", " -format = 1", " +compress = yes", "password = [masked]"
        )
        await here.press("n")
        await here.sees("--- /etc/shadow", "Not shown: it holds secrets.")
        await here.press("n")
        await here.sees("This is what the package's new version", "+worker_processes auto;")
        await here.press("b")
        await here.sees("--- /etc/shadow")
        await here.press("escape", "3")
        await here.sees("> UNEXPLAINED")
        assert "read the change" not in here.text
        await here.press("down", "down")
        await here.sees("> package      changed  /etc/ledger/ledger.conf", "Enter read the change")
        await here.press("enter")
        await here.sees("changed, +2 -1, 2 of 3 files")
    assert engine.said(m.Start, m.Approve, m.Cancel, m.Power) == []


async def test_a_wide_screen_shows_the_reason_beside_the_list(engine: FakeEngine) -> None:
    judged(engine, story.verdict(Result.FAIL))
    async with desk(engine, size=(132, 43)) as here:
        await here.press("v")
        await here.sees("> WORSE      service ledger", "| Why: ledger.service: main process exited")
        row = next(r for r in here.text.splitlines() if "> WORSE" in r)
        assert "|" in row and row.index("|") > 60
        await here.press("5", "down")
        await here.sees("| +format = 2")
        await here.press("1")
        await here.sees("service ledger")


async def test_a_run_without_a_verdict_says_so_and_cannot_be_promoted(engine: FakeEngine) -> None:
    judged(engine, None)
    async with desk(engine) as here:
        await here.press("v")
        await here.sees("This run reached no verdict", "stopped at step 3")
        await here.press("p")
        assert "P promote" not in here.text
    assert engine.said(m.MakePlan) == []


async def test_a_record_that_cannot_be_read_is_an_error_not_a_crash(engine: FakeEngine) -> None:
    def gone(say: m.GetRecord) -> m.RecordOf:
        raise Refused(("There is no run tb1 on this machine.",))

    engine.script[m.GetRecord] = gone
    async with desk(engine) as here:
        await here.press("v")
        await here.sees("[X] NOT DONE", "There is no run tb1")
        await here.press("escape")
        await here.sees("The record cannot be read")


async def test_hostile_guest_text_never_reaches_the_terminal(engine: FakeEngine) -> None:
    bad = "ev\x1b[2Jil\x07\u202e\x9b31m\u200bunit"
    base = story.verdict(Result.FAIL)
    worse = base.checks[6]
    judged(
        engine,
        Verdict(
            result=Result.FAIL,
            checks=(
                type(worse)(
                    name=f"service {bad}", outcome=worse.outcome, before=bad, after=bad, why=bad, fix=bad
                ),
            ),
        ),
    )
    async with desk(engine) as here:
        await here.press("v")
        await here.sees("service evil", "Why: evil")
        assert not {c for c in here.text if (ord(c) < 32 and c != "\n") or ord(c) >= 127}
