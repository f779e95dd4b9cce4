"""Plan files on the stick: written for this machine, read back strictly, refused in sentences."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.engine.bus import Bus
from appliance.engine.services import Services
from appliance.errors import ApplianceError, ExportFailed, Refused
from appliance.host.run import RealHost
from appliance.model.plan import PatchKind, PatchRequest, Plan, Request, UnattendedPlan, Verb
from appliance.model.service_messages import GetPlanFiles, PlanFiles, PlanSaved, SavePlanFile
from appliance.workflow.export import Exporter
from appliance.workflow.places import Places
from appliance.workflow.plan_files import read_plan_file
from tests.unit.report.samples import record

MACHINE = record().machine
NGINX = Request(verb=Verb.REHEARSE, patch=PatchRequest(kind=PatchKind.PACKAGES, packages=("nginx",)))


class Remembering(Places):
    def plan(self, run: str) -> Plan:
        return replace(record().plan, request=NGINX)


def services(tmp_path: Path, stick: bool = True) -> Services:
    places = Remembering(tmp_path / "run", tmp_path / "stick")
    places.data.mkdir(exist_ok=True)
    host = RealHost()
    return Services(host, Bus(), places, Exporter(host, places, lambda _: stick))


def listed(found: Services) -> PlanFiles:
    answer = found.handle(GetPlanFiles(), lambda: MACHINE)
    assert isinstance(answer, PlanFiles)
    return answer


def test_what_was_chosen_is_kept_for_this_machine_and_read_back(tmp_path: Path) -> None:
    here = services(tmp_path)
    saved = here.handle(SavePlanFile(name="june.json", request=NGINX, keep=False), lambda: MACHINE)
    assert isinstance(saved, PlanSaved) and saved.argument == "twinboot.plan=june.json"
    content = (tmp_path / "stick/plans/june.json").read_bytes()
    assert saved.sha256 == hashlib.sha256(content).hexdigest()
    want = UnattendedPlan(schema=1, serial=MACHINE.identity, request=NGINX, keep=False)
    assert read_plan_file(content, "june.json") == want
    (file,) = listed(here).files
    assert (file.name, file.serial, file.why_not) == ("june.json", MACHINE.identity, "")
    assert file.request == replace(NGINX, auto_keep=False)
    assert file.command_line == "twinboot rehearse --packages nginx"


def test_a_promotion_keeps_the_rehearsal_of_its_run_and_that_it_promotes(tmp_path: Path) -> None:
    here = services(tmp_path)
    promote = Request(verb=Verb.PROMOTE, run="tb1", force_bad=True)
    here.handle(SavePlanFile(name="june", request=promote, promote=True), lambda: MACHINE)
    plan = read_plan_file((tmp_path / "stick/plans/june.json").read_bytes(), "june")
    assert plan.request == replace(NGINX, promote=True, force_bad=True)
    (file,) = listed(here).files
    assert file.promote and file.request is not None and not file.request.promote


@pytest.mark.parametrize(
    ("name", "request_", "said"),
    [
        ("", NGINX, "is no name for a plan file"),
        ("../boot", NGINX, "is no name for a plan file"),
        ("con", NGINX, "is no name for a plan file"),
        ("x" * 61, NGINX, "is no name for a plan file"),
        ("hand", Request(verb=Verb.REHEARSE, patch=PatchRequest(kind=PatchKind.BY_HAND)), "needs a person"),
        ("old", Request(verb=Verb.RETIRE, run="tb1"), "retire needs a person"),
    ],
)
def test_what_can_not_be_kept_is_a_sentence_and_no_file(
    tmp_path: Path, name: str, request_: Request, said: str
) -> None:
    with pytest.raises(Refused) as refused:
        services(tmp_path).handle(SavePlanFile(name=name, request=request_), lambda: MACHINE)
    assert said in " ".join(refused.value.reasons)
    assert not list(tmp_path.rglob("*.json"))


def test_a_plan_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    here = services(tmp_path)
    here.handle(SavePlanFile(name="june", request=NGINX), lambda: MACHINE)
    before = (tmp_path / "stick/plans/june.json").read_bytes()
    with pytest.raises(Refused, match="already has a plan june"):
        here.handle(SavePlanFile(name="june", request=NGINX, promote=True), lambda: MACHINE)
    assert (tmp_path / "stick/plans/june.json").read_bytes() == before


def test_without_a_stick_nothing_is_kept_and_the_list_says_so(tmp_path: Path) -> None:
    here = services(tmp_path, stick=False)
    with pytest.raises(ExportFailed, match="There is no stick"):
        here.handle(SavePlanFile(name="june", request=NGINX), lambda: MACHINE)
    assert listed(here) == PlanFiles(folder=str(tmp_path / "stick/plans"), stick=False)


def test_a_stick_that_takes_nothing_is_one_clear_error(tmp_path: Path) -> None:
    here = services(tmp_path)
    (tmp_path / "stick/plans").write_text("a file where the folder should be")
    with pytest.raises(ApplianceError) as failed:
        here.handle(SavePlanFile(name="june", request=NGINX), lambda: MACHINE)
    assert failed.value.code == "EXPORT-01" and "plan file" in failed.value.what
    assert "command line" in failed.value.next_actions[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{}", "missing required field"),
        (b"nonsense", "does not read"),
        (b'{"schema":2,"serial":"any","request":{"verb":"rehearse"}}', "version 2"),
        (b'{"schema":1,"serial":"OTHER-7","request":{"verb":"rehearse"}}', "is for OTHER-7"),
    ],
)
def test_a_plan_that_does_not_read_or_fit_says_why(tmp_path: Path, content: bytes, said: str) -> None:
    here = services(tmp_path)
    (tmp_path / "stick/plans").mkdir()
    (tmp_path / "stick/plans/x.json").write_bytes(content)
    (file,) = listed(here).files
    assert said in file.why_not
