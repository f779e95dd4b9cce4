"""What the command line prints of a status, a plan and a refusal."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance import show
from appliance.errors import Refused
from appliance.model.events import Progress
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import Role
from appliance.model.messages import RunView, Status
from appliance.model.plan import Loss, Request, Verb
from appliance.model.standing import BootChoice, DoneAct, PoolRate, Standing
from appliance.workflow.rehearse import build_plan
from tests.fixtures.machines.derive import load
from tests.unit.workflow.test_rehearse_plan import machine

PLAN = build_plan(machine(), Request(verb=Verb.REHEARSE, emulate=True), Lineage())
KNOWN = Standing(
    loader="tb1 is armed: one try",
    choices=(
        BootChoice(title="Trial of tb1\x1b[2J", root="/n", kernel="6.1.0-51", state="TRIAL", boots_next=True),
        BootChoice(title="Previous system", root="/o", kernel="6.1.0-49", state="old", fallback=True),
    ),
    history=(DoneAct(at=0.0, run="tb1", verb="promote", outcome="failed", detail="BOOT-01 no room"),),
    pools=(PoolRate(pool="vg0/pool", size=20 << 30, used=8 << 30),),
)
STATUS = Status(
    machine=None, lineage=Lineage(nodes=(Node(volume="root", state=None),)), operator="", standing=KNOWN
)


def test_status_tells_entries_space_and_history() -> None:
    said = show.status(STATUS)
    assert "The loader finds: tb1 is armed: one try." in said
    assert "* Trial of tb1" in said and "= Previous system" in said and "\x1b" not in said
    assert "vg0/pool: 8.0 GiB of 20.0 GiB used; days left: unknown" in said
    assert "1970-01-01 00:00 UTC  tb1    promote   failed (BOOT-01 no room)" in said


@pytest.mark.parametrize(
    ("pool", "days"),
    [
        (PoolRate(pool="p", size=2, used=1, per_day=1.0, days=24.9), "days left: 24"),
        (PoolRate(pool="p", size=2, used=1, per_day=-1.0), "days left: it does not grow"),
    ],
)
def test_days_left(pool: PoolRate, days: str) -> None:
    assert days in show.status(replace(STATUS, standing=Standing(pools=(pool,))))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "  512 of 900 MiB"),
        ({"left": 31.4}, "  512 of 900 MiB, about 31 s left"),
        ({"left": 31.4, "rate": 12.34}, "  512 of 900 MiB, 12.3 MiB/s, about 31 s left"),
    ],
)
def test_how_far_it_is(words: dict[str, float], said: str) -> None:
    happened = Progress(step="trial", done=512.25, total=900.3, unit="MiB", **words)
    assert show.event(happened).partition(" ")[2] == said


@pytest.mark.parametrize(
    ("words", "said"), [({}, "going on"), ({"finished": True}, "finished"), ({"gate": "confirm"}, "waits: ")]
)
def test_a_run_is_going_on_waits_or_has_finished(words: dict[str, object], said: str) -> None:
    view = RunView(run="tb1", verb="rehearse", title="Rehearsal", plan=PLAN)
    assert f"Run         tb1 Rehearsal: {said}" in show.status(
        replace(STATUS, running=replace(view, **words))
    )


def test_what_a_roll_back_leaves_behind_is_in_its_plan() -> None:
    loss = Loss(where="/srv", bytes=1 << 30, paths=("/srv/a",), databases=("/srv/pg",), safety="vg0/s")
    said = show.plan(replace(PLAN, losses=(loss, Loss(where="/x", note="could not be read"))))
    for part in (
        "/srv, about 1.0 GiB: /srv/a",
        "a data base lies there: /srv/pg",
        "vg0/s",
        "/x, could not be read",
    ):
        assert part in said


def test_a_plan_says_what_it_needs_and_what_there_is() -> None:
    assert "room: about 0.3 GiB of 1.8 GiB free (to the 80 % mark) in vg0/pool" in show.plan(PLAN)
    assert "room:" not in show.plan(replace(PLAN, expected_bytes=0))


def test_what_a_roll_back_with_data_takes_away_is_said_with_its_place() -> None:
    loss = Loss(where="/srv", bytes=1 << 30, paths=("/srv/a",), safety="vg0/s", undone="vg0/u")
    said = show.plan(replace(PLAN, losses=(loss,)))
    assert "taken away by going back: /srv, about 1.0 GiB: /srv/a" in said
    assert "as it is now, kept in: vg0/u" in said and "left behind" not in said


def test_a_refusal_says_what_is_to_be_read_as_well() -> None:
    said = show.error(Refused(("No KVM.",), ("The clock is wrong.",)))
    assert said.splitlines()[:3] == ["REFUSED-01:", "  - No KVM.", "  note: The clock is wrong."]


def test_a_kept_run_is_marked() -> None:
    tree = Lineage(nodes=(Node(volume="root-tb1", state=State.KEPT, run="tb1", boots_next=True),))
    assert "* root-tb1           tb1    KEPT" in show.lineage(tree)


def test_a_machine_says_what_was_seen_of_its_kind_and_names_its_entries() -> None:
    known = load("thin-uefi")
    said = show.machine(known)
    assert "          BOOTED BY US: test machines promoted such a system and took it back\n" in said
    assert "          packages by apt\n" in said
    assert "          entry  * Debian GNU/Linux\n" in said
    assert "          entry    UEFI Firmware Settings" in said
    (system,) = known.systems
    other = replace(system, os_id="fedora", loader=replace(system.loader, bls=True), package_manager="")
    said = show.machine(replace(known, systems=(other,)))
    assert "          ONLY RECOGNISED: we have never promoted such a system on a machine\n" in said
    assert "          packages by ?\n" in said
    assert "          loader GRUB with BLS entries 2.06" in said
    array = replace(
        system.root, role=Role.BOOT, target="/boot", vg="", lv="", device="/dev/mapper/x", array="m:1"
    )
    said = show.machine(replace(known, systems=(replace(system, volumes=(*system.volumes, array)),)))
    assert "          boot        /boot        m:1 ext4\n" in said


def test_what_is_outdated_is_not_told() -> None:
    said = show.status(replace(STATUS, outdated=True))
    assert "Next boot   being read again ..." in said and "Fallback    being read again ..." in said
