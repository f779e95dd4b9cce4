"""The console without hardware: recorded machines, and recorded runs to the state they ended in."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.engine.runs import EventFile
from appliance.errors import DamagedData, Refused
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.lineage import State
from appliance.model.plan import PatchKind, PatchRequest, Plan, Request, Verb
from appliance.model.verdict import Verdict
from appliance.report import bundle
from appliance.report.record import Record, failure_of, steps_of, write_record
from tests.tui import play, story
from tests.tui.clock import Clock
from tests.tui.conftest import desk
from tests.tui.player import Player
from tests.tui.replay import Replay, opened

BEGAN = 1_795_344_000.0


def recorded(folder: Path, verb: Verb, said: list[e.AnyEvent], verdict: Verdict | None, began: float) -> None:
    """One act's folder as the engine leaves it: the events as they came, then the record."""
    folder.mkdir(parents=True)
    plan: Plan = story.plan(story.machine(), Request(verb=verb, run="" if verb is Verb.REHEARSE else "tb1"))
    store = EventFile(folder / "events.jsonl")
    for number, event in enumerate(said, 1):
        store.add(replace(event, at=began + number * 7, seq=number))
    record = Record(
        run="tb1",
        title=f"{verb.value.capitalize()} tb1",
        version="0.1.0",
        started=began,
        finished=began + 7 * len(said),
        outcome="done",
        machine=story.machine(),
        plan=plan,
        verdict=verdict,
        steps=steps_of(said),
        failure=failure_of(said),
    )
    write_record(record, folder)


def rehearsed(folder: Path) -> Path:
    """The record of a rehearsal and of the promotion after it, exported as one archive."""
    plan = story.plan(story.machine(), Request(verb=Verb.REHEARSE))
    said = [*story.rehearsal_events(plan), *story.ending("tb1")]
    recorded(folder / "tb1/rehearse-1", Verb.REHEARSE, said, story.verdict(), BEGAN)
    promotion = story.plan(story.machine(), Request(verb=Verb.PROMOTE, run="tb1"))
    steps = tuple((s.id, s.title, s.weight) for s in promotion.steps)
    started = e.RunStarted(run="tb1", title="Promote tb1", steps=steps)
    waiting = e.Waiting(run="tb1", gate="confirm", sentence="Boot this machine from tb1?")
    armed = e.StateChanged(run="tb1", state=State.ARMED)
    said = [started, waiting, started, armed, e.RunFinished(run="tb1", outcome="done")]
    recorded(folder / "tb1/promote-1", Verb.PROMOTE, said, None, BEGAN + 86_400)
    archive = folder / "tb1.tar.gz"
    bundle.pack(bundle.parts_of(folder / "tb1"), archive, "tb1")
    return archive


async def test_a_recorded_run_plays_to_the_state_it_ended_in(tmp_path: Path) -> None:
    clock = Clock(BEGAN)
    with opened(rehearsed(tmp_path)) as acts, clock.told():
        engine = Replay(tmp_path / "replay.sock", acts, 0, clock)
        await engine.start()
        async with desk(engine) as here:
            await here.sees("Rehearse tb1", "Check space")
            await engine.play()
            await here.sees("Finished  Promote tb1", "Armed: the next boot tries it once")
            await here.press("escape")
            await here.sees("tb1-trial", "ARMED", "* boots next", "Previous system")
            await here.press("v")
            await here.sees("PASS, 7 of 9 services could be tested")
            await here.press("p")
            await here.sees("This is a recorded run", "nothing can be started")
        await engine.stop()
    assert engine.status.running is not None and engine.status.running.finished
    assert clock.time() == max(event.at for act in acts for event in act.events)


@pytest.mark.parametrize("shape", ["tb1", "tb1/rehearse-1", "tb1/rehearse-1/events.jsonl"])
def test_a_folder_or_its_events_are_a_record_too(tmp_path: Path, shape: str) -> None:
    rehearsed(tmp_path)
    with opened(tmp_path / shape) as acts:
        assert acts[0].record.plan.request.verb.value == "rehearse"
        assert len(acts) == (2 if shape == "tb1" else 1)
        assert acts[0].events[-1].at == BEGAN + 7 * len(acts[0].events)
        assert "RESULT" in acts[0].report


@pytest.mark.parametrize("content", [b"", b"not an archive"])
def test_what_is_no_record_is_said_so(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.tar.gz").write_bytes(content)
    with pytest.raises(DamagedData, match="not a recorded run"), opened(tmp_path / "x.tar.gz"):
        pass
    assert play.main(["--run", str(tmp_path)]) == 1
    assert "not the record of a run" in capsys.readouterr().err


async def test_a_recorded_failure_is_shown_and_leaves_nothing(tmp_path: Path) -> None:
    plan = story.plan(story.machine(), Request(verb=Verb.REHEARSE))
    snapped = e.StateChanged(run="tb1", state=State.SNAPPED)
    said = [*story.rehearsal_events(plan, until="patch"), snapped, *story.failure("tb1")]
    recorded(tmp_path / "tb1/rehearse-1", Verb.REHEARSE, said, None, BEGAN)
    clock = Clock(BEGAN)
    with opened(tmp_path) as acts, clock.told():
        engine = Replay(tmp_path / "replay.sock", acts, 0, clock)
        await engine.start()
        async with desk(engine) as here:
            await engine.play()
            await here.sees("STOPPED", "SPACE-01", "What is safe")
            await here.press("escape", "escape")
            await here.sees("What this machine can start")
            assert "SNAPPED" not in here.text
        await engine.stop()


def test_every_recorded_machine_is_offered_in_a_line() -> None:
    assert {"thin-uefi", "thin-bios", "two-systems", "no-kvm", "no-space", "hibernated", "degraded"} < set(
        play.names()
    )
    for name in play.names():
        assert len(play.in_a_line(name)) < 76, name
    with pytest.raises(SystemExit, match='no recorded machine "thin"'):
        play.read_machine("thin")


def test_the_list_takes_a_number_a_name_or_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["99", "two-systems", "2", ""])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    assert [play.choose_machine(True) for _ in range(3)] == ["two-systems", "thin-uefi", "thin-bios"]
    assert "Type one of the numbers." in capsys.readouterr().out


async def test_everything_beside_runs_is_answered_too(tmp_path: Path) -> None:
    engine = Player(tmp_path / "play.sock", story.machine(), "good", 100)
    await engine.start()
    async with desk(engine) as here:
        for keys, words in (
            (("a", "n"), ("eno1", "192.0.2.15/24")),
            (("enter", *"192.0.2.99/24", "enter"), ("The port was set.",)),
            (("escape", "f", "down"), ("june.json", "is for X.")),
            (("escape", "x"), ("the stick",)),
            (("enter",), ("12 secrets",)),
            (("escape", "escape", "n", "c"), ("10-ledger",)),
            (("escape", "escape", "n", "enter"), ("type yes",)),
            ((*"yes", "enter"), ("Step 5 of 16",)),
            (("w",), ("READ ONLY", "nginx.service")),
            (("i", *"ls", "enter"), ("root@ledger:~#",)),
            (("ctrl+right_square_bracket", "p"), ("PAUSED",)),
        ):
            await here.press(*keys)
            await here.sees(*words)
            if "Step 5 of 16" in words:
                engine.pace = 20  # a busy machine still finds the twin there
            if "nginx.service" in words:
                engine.pace = 0.1  # and it stays until the end
    await engine.stop()


async def test_an_untouched_machine_has_the_entries_of_its_own_loader(tmp_path: Path) -> None:
    machine = story.machine()
    engine = Player(tmp_path / "play.sock", machine, "good", 100)
    await engine.start()
    async with desk(engine) as here:
        await here.press("b", "2")
        await here.sees("[2 entries 1]", "nothing of Twinboot is in /boot", "the loader's default")
        await here.sees(f"> * {machine.systems[0].os_name}", machine.systems[0].kernels[0].version)
        await here.press("4")
        await here.sees("vg0/pool: ", "of 3.0 GiB used (20%)")
    await engine.stop()


async def test_an_unfinished_job_is_cleaned_away_before_anything_else(tmp_path: Path) -> None:
    engine = Player(tmp_path / "play.sock", story.machine("unfinished-job"), "good", 2000)
    await engine.start()
    async with desk(engine) as here:
        await engine.recover()
        await here.press("r")
        await here.sees("what the run had made was removed")
        await here.press("escape")
        await here.until(lambda: "tb1" not in here.text, "the leftovers gone")
    await engine.stop()


async def test_any_error_can_be_seen_at_the_step_it_stops(tmp_path: Path) -> None:
    engine = Player(tmp_path / "play.sock", story.machine(), "good", 5000, error="RESCUE-01")
    await engine.start()
    async with desk(engine) as here:
        await here.press("n", "enter")
        await here.sees("type yes")
        await here.press("y", "e", "s", "enter")
        await here.sees("RESCUE-01", "What is safe", "Export everything to the stick.")
    await engine.stop()


@pytest.mark.parametrize(
    ("name", "request_", "words"),
    [
        ("thin-bios", Request(verb=Verb.REHEARSE), "Change nothing, only test the reboot"),
        (
            "thin-bios",
            Request(verb=Verb.REHEARSE, patch=PatchRequest(kind=PatchKind.ALL)),
            "Install all pending updates",
        ),
        ("ubuntu-thick", Request(verb=Verb.REHEARSE), "Take the snapshot"),
    ],
)
def test_the_plan_that_is_played_is_the_one_that_was_chosen(
    tmp_path: Path, name: str, request_: Request, words: str
) -> None:
    engine = Player(tmp_path / "play.sock", story.machine(name), "good", 100)
    made = engine.make_plan(m.MakePlan(request=request_)).plan
    assert words in [step.title for step in made.steps]
    assert made.request == request_ and made.system == engine.machine.systems[0]


def test_a_machine_without_room_is_refused_as_the_engine_refuses_it(tmp_path: Path) -> None:
    engine = Player(tmp_path / "play.sock", story.machine("no-space"), "good", 100)
    with pytest.raises(Refused, match="MiB free outside its thin pool"):
        engine.make_plan(m.MakePlan(request=Request(verb=Verb.REHEARSE)))
