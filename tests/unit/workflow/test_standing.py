"""What the loader offers, what was done, and how long the room lasts: told as far as it is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.shapes import BootState, Entry, LoaderView
from appliance.model.machine import Machine
from appliance.model.standing import PoolSample
from appliance.workflow import standing
from appliance.workflow.journal import Journal
from tests.unit.workflow.test_retirement import FOUND

DAY = standing.DAY
TRIAL = Entry(
    id="twinboot-trial-tb1",
    title="Trial of tb1",
    kernel="twinboot/tb1/files/vmlinuz-6.1.0-40-amd64",
    root="/n",
)
OLD = Entry(
    id="twinboot-previous", title="Previous system", kernel="twinboot/tb1/old/vmlinuz-6.1.0-13", root="/o"
)
OWN = Entry(id="gnulinux-simple", title="Debian GNU/Linux", kernel="vmlinuz-6.1.0-13", root="/o")
RESCUE = Entry(id="rescue", title="Debian (recovery mode)", kernel="vmlinuz-6.1.0-13", root="/o")


def view(state: BootState, following: Entry, **words: object) -> LoaderView:
    known = LoaderView(
        state=state,
        run="tb1",
        once=state is BootState.ARMED,
        own=OWN,
        next_boot=following,
        fallback=OLD,
        entries=(TRIAL, OLD),
        menu=(OWN, RESCUE),
        runs=("tb1",),
    )
    return replace(known, **words)


def test_entries_stand_as_the_loader_takes_them() -> None:
    told = standing.choices(view(BootState.ARMED, TRIAL))
    assert [(c.title, c.state, c.boots_next, c.fallback, c.ours) for c in told] == [
        ("Trial of tb1", "TRIAL, one try", True, False, True),
        ("Previous system", "the old system", False, True, True),
        ("Debian GNU/Linux", "the loader's default", False, False, False),
        ("Debian (recovery mode)", "left alone", False, False, False),
    ]
    assert (told[0].kernel, told[0].root) == ("6.1.0-40-amd64", "/n")


@pytest.mark.parametrize(
    ("state", "following", "first", "trial"),
    [
        (BootState.TRIAL, OLD, "Previous system", "TRIAL, had its try"),
        (BootState.STAGED, OWN, "Debian GNU/Linux", "staged"),
        (BootState.ROLLED_BACK, OLD, "Previous system", "not used"),
    ],
)
def test_each_state_says_what_becomes_of_the_trial(
    state: BootState, following: Entry, first: str, trial: str
) -> None:
    told = standing.choices(view(state, following))
    assert told[0].title == first and told[0].boots_next
    assert next(c.state for c in told if c.title == "Trial of tb1") == trial


def test_an_entry_whose_file_is_missing_is_broken() -> None:
    told = standing.choices(view(BootState.ARMED, OLD, missing=(TRIAL.kernel,)))
    assert next(c.state for c in told if c.title == "Trial of tb1") == "BROKEN: a file is missing"


def test_a_loader_that_could_not_be_read_offers_nothing() -> None:
    told = standing.stand(FOUND, None, (), ())
    assert (told.loader, told.choices) == ("", ())


def filled(percent: float) -> tuple[Machine, int]:
    group = FOUND.volume_groups[0]
    lvs = tuple(replace(lv, data_percent=percent) if lv.segtype == "thin-pool" else lv for lv in group.lvs)
    size = next(lv.size for lv in lvs if lv.segtype == "thin-pool")
    return replace(FOUND, volume_groups=(replace(group, lvs=lvs),)), size


def sample(at: float, size: int, percent: float) -> PoolSample:
    return PoolSample(at=at, pool="vg0/pool", size=size, used=int(size * percent / 100))


def test_days_left_at_the_rate_of_the_last_week() -> None:
    found, size = filled(50)
    noted = (sample(0, size, 1), sample(4 * DAY, size, 40), sample(9.5 * DAY, size, 49))
    (rate,) = standing.rates(found, noted, at=10 * DAY)
    assert rate.seconds == 6 * DAY
    assert rate.days == pytest.approx(30, rel=0.01)


@pytest.mark.parametrize(
    ("noted", "per_day"),
    [((), None), (((9.5, 10.0),), None), (((8.0, 60.0),), -5), (((1.0, 41.0),), 1)],
    ids=["never noted", "younger than a day", "emptier than before", "long ago"],
)
def test_what_cannot_be_told_is_not_guessed(
    noted: tuple[tuple[float, float], ...], per_day: float | None
) -> None:
    found, size = filled(50)
    (rate,) = standing.rates(found, [sample(d * DAY, size, p) for d, p in noted], at=10 * DAY)
    if per_day is None:
        assert (rate.per_day, rate.days) == (None, None)
    else:
        assert rate.per_day == pytest.approx(size * per_day / 100, rel=0.01)
        assert (rate.days is None) == (per_day <= 0)


def test_a_pool_that_was_grown_starts_afresh() -> None:
    found, size = filled(50)
    (rate,) = standing.rates(found, (sample(0, size // 2, 90),), at=10 * DAY)
    assert rate.per_day is None


def test_notes_are_kept_and_damage_only_makes_them_fewer(tmp_path: Path) -> None:
    found, size = filled(50)
    file = tmp_path / "pools.jsonl"
    standing.note_pools(file, found)
    file.write_bytes(b"rubbish\n" + file.read_bytes() + b'{"at": 1')
    (noted,) = standing.noted_pools(file)
    assert (noted.pool, noted.size, noted.used) == ("vg0/pool", size, size // 2)
    standing.note_pools(tmp_path / "no/such/folder/x", found)
    assert standing.noted_pools(tmp_path / "none") == ()


def test_the_history_has_the_newest_act_first_and_says_why(tmp_path: Path) -> None:
    for name, *records in (
        ("tb1/rehearse-1", ("plan", ""), ("done", "")),
        ("tb1/promote-1", ("plan", ""), ("failed", "BOOT-01 does not read back")),
        ("tb2/rehearse-1", ("plan", ""), ("begin", "")),
    ):
        journal = Journal.open(tmp_path / name / "journal.jsonl")
        for what, detail in records:
            journal.add(what, "", detail)
    with (tmp_path / "tb2/rehearse-1/journal.jsonl").open("ab") as torn:
        torn.write(b'{"what":')
    told = standing.history(tmp_path)
    assert [(a.run, a.verb, a.outcome, a.detail) for a in told] == [
        ("tb2", "rehearse", "going on", ""),
        ("tb1", "promote", "failed", "BOOT-01 does not read back"),
        ("tb1", "rehearse", "done", ""),
    ]
    assert (tmp_path / "tb2/rehearse-1/journal.jsonl").read_bytes().endswith(b'{"what":'), "only looked at"
    (tmp_path / "tb1/promote-1/journal.jsonl").write_bytes(b"rubbish\n")
    assert [a.outcome for a in standing.history(tmp_path) if a.verb == "promote"] == ["damaged record"]


def test_what_needs_a_hand_is_said_before() -> None:
    alone = " ".join(standing.falls_back(replace(FOUND, bmc="")))
    assert "panics restarts after 30 seconds" in alone and "within 10 minutes" in alone
    assert "somebody must stand at the machine" in alone
    far = " ".join(standing.falls_back(replace(FOUND, bmc="iDRAC 9")))
    assert "(iDRAC 9) can give that from afar" in far
