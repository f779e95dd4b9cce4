"""Of a bundle for many machines a twin gets the packages its own system needs, and every index whole."""

from __future__ import annotations

import hashlib
import shutil
from email.utils import formatdate
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import Refused
from appliance.host.run import RealHost
from appliance.model.bundle import MANIFEST, Manifest, archive_folder, read_manifest
from appliance.model.codec import to_json
from appliance.model.plan import PatchKind, PatchRequest, Plan, Request, Verb
from appliance.model.wanted import Wanted
from appliance.office.apt import PrivateApt
from appliance.workflow import catalogue
from appliance.workflow.descent import descend
from appliance.workflow.places import Places
from appliance.workflow.steps.ground import Ground
from appliance.workflow.steps.twins import PROOF, WORK, files_for
from appliance.workflow.workplace import Workplace
from tests.lab.repository import RELEASE
from tests.unit.office.conftest import Office, office, pool
from tests.unit.workflow.test_rehearse_plan import machine

__all__ = ["office", "pool"]
MINE, ROOT = machine().identity, "/dev/mapper/vg0-root"
LEDGER = PatchRequest(kind=PatchKind.PACKAGES, packages=("ledger",), bundle="june")
SPARE = "till_1.1_all.deb"


def mine(office: Office, **changes: object) -> Wanted:
    """The recorded machine's own list: it wants ledger alone."""
    words = {"kind": PatchKind.PACKAGES, "packages": ("ledger",)} | changes
    return replace(office.wants(MINE, **words), system=ROOT)


@pytest.fixture
def made(office: Office, tmp_path: Path) -> Office:
    """A bundle for two on the stick: this machine, and one that wants till as well."""
    office.offer(("ledger", "1.1"), ("till", "1.1"))
    office.bundle = tmp_path / "stick/bundles/june"
    office.bundle.parent.mkdir(parents=True)
    assert office.make(mine(office), office.wants("SN-2")).missing == ()
    return office


def plan(office: Office, patch: PatchRequest = LEDGER, now: Wanted | None = None) -> Plan:
    apt = (now or mine(office)).apt
    places = Places(office.bundle.parents[2] / "run", office.bundle.parents[1])
    request = Request(verb=Verb.REHEARSE, patch=patch)
    found = machine()
    return catalogue.build_plan(
        found, request, descend(found, None, ()), RealHost(), places, {}, lambda _: apt
    )


def ground(office: Office, made_plan: Plan) -> Ground:
    work = Workplace(machine(), "tb1", office.bundle.parents[2] / "run", data=office.bundle.parents[1])
    return Ground(made_plan, work)


def laid_out(files: dict[str, bytes | Path], target: Path) -> Path:
    """What the twin finds under "bundle"."""
    for name, file in files.items():
        if isinstance(file, Path) and name.startswith("bundle/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target / name)
    return target / "bundle"


def test_the_twin_gets_exactly_what_its_own_list_needs_and_the_proof_nothing(made: Office) -> None:
    here = ground(made, plan(made))
    assert here.whole.own_part
    whole = {f"bundle/{p.relative_to(made.bundle)}" for p in made.bundle.rglob("*") if p.is_file()}
    (spare,) = (path for path in whole if path.endswith(SPARE))
    assert set(files_for(here, WORK)) == {"health.sh", *whole} - {spare}
    assert set(files_for(here, PROOF)) == {"health.sh"}
    assert any(path.endswith("InRelease") for path in whole) and f"bundle/{MANIFEST}" in whole


def test_room_and_memory_are_reckoned_for_that_part_alone(made: Office) -> None:
    (till,) = made.bundle.rglob(SPARE)
    till.write_bytes(bytes(till.stat().st_size))
    with till.open("r+b") as file:
        file.truncate(1 << 42)
    assert plan(made).own_part, "what only others need may be larger than any memory"


@pytest.mark.parametrize("shape", ["dists", "flat"])
def test_apt_takes_the_indexes_as_they_were_signed_and_misses_no_file_of_its_own(
    office: Office, tmp_path: Path, shape: str
) -> None:
    archive = office.offer(("ledger", "1.1"), ("till", "1.1"))
    (source,) = office.wants().apt.sources
    if shape == "flat":
        flatten(office, archive)
        source = replace(source, suite="./", components=())
    office.bundle = tmp_path / "stick/bundles/june"
    office.bundle.parent.mkdir(parents=True)
    wanted = mine(office, sources=(source,))
    assert office.make(wanted, office.wants("SN-2", sources=(source,))).missing == ()

    part = laid_out(dict(files_for(ground(office, plan(office, now=wanted)), WORK)), tmp_path / "twin")
    local = replace(source, uri=f"file:{part / archive_folder(source.uri)}")
    twin = replace(wanted, apt=replace(wanted.apt, sources=(local,)))
    apt = PrivateApt(RealHost(), tmp_path / "apt", twin, {})
    apt.lay_out()
    assert apt.update() == (), "signature and hashes hold"
    assert len(apt.indexes()) == 1
    fetch = ("apt-get", "-y", "-qq", "--reinstall", "--download-only", "install")
    assert apt._run(*fetch, "ledger", timeout=60).status == 0
    without = apt._run(*fetch, "till", timeout=60)
    assert without.status == 100 and SPARE in without.stderr, "the others' package is listed and not there"


def flatten(office: Office, archive: Path) -> None:
    """The same archive without dists/."""
    index = (archive / "dists/bookworm/main/binary-amd64/Packages").read_bytes()
    shutil.rmtree(archive / "dists")
    (archive / "Packages").write_bytes(index)
    text = RELEASE.format(suite="./", date=formatdate(usegmt=True)).replace("Components: main\n", "")
    (archive / "Release").write_text(f"{text} {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n")
    office.pool._sign(archive / "Release")


def rewrite(office: Office, **changes: object) -> None:
    path = office.bundle / MANIFEST
    found: Manifest = read_manifest(path.read_bytes(), MANIFEST)
    first, *rest = (m for m in sorted(found.machines, key=lambda m: m.identity != MINE))
    path.write_bytes(to_json(replace(found, machines=(replace(first, **changes), *rest))))


@pytest.mark.parametrize(
    "patch",
    [
        replace(LEDGER, kind=PatchKind.ALL, packages=()),
        replace(LEDGER, kind=PatchKind.SECURITY, packages=()),
        replace(LEDGER, packages=("ledger", "till")),
        replace(LEDGER, kind=PatchKind.BY_HAND, packages=()),
    ],
    ids=lambda patch: f"{patch.kind.value} {' '.join(patch.packages)}",
)
def test_asked_for_more_than_its_list_the_twin_gets_the_whole_bundle(
    made: Office, patch: PatchRequest
) -> None:
    here = ground(made, plan(made, patch))
    assert not here.whole.own_part
    assert files_for(here, WORK)["bundle"] == made.bundle


def test_where_packages_have_changed_since_the_list_it_gets_the_whole_one(made: Office) -> None:
    installed = made.wants().apt.installed
    changed = mine(made, installed=(replace(installed[0], version="1.0.1"), *installed[1:]))
    assert not plan(made, now=changed).own_part


@pytest.mark.parametrize(
    "changes", [{"missing": ("x: 404",)}, {"identity": "SN-9"}], ids=["missing", "other"]
)
def test_so_it_does_where_the_list_is_not_whole_or_somebody_elses(
    made: Office, changes: dict[str, object]
) -> None:
    rewrite(made, **changes)
    assert not plan(made).own_part


def test_a_bundle_for_this_machine_alone_goes_as_it_is(office: Office, tmp_path: Path) -> None:
    office.offer(("ledger", "1.1"), ("till", "1.1"))
    office.bundle = tmp_path / "stick/bundles/june"
    office.bundle.parent.mkdir(parents=True)
    office.make(mine(office))
    assert not plan(office).own_part


def test_a_bundle_that_was_exchanged_since_the_plan_is_not_cut_by_what_is_not_there(made: Office) -> None:
    here = ground(made, plan(made))
    rewrite(made, identity="SN-9")
    files = files_for(here, WORK)
    assert any(name.endswith(SPARE) for name in files), "it is nobody's own any more"
    (made.bundle / MANIFEST).unlink()
    assert files_for(here, WORK)["bundle"] == made.bundle
    (made.bundle / MANIFEST).write_text("{}")
    with pytest.raises(Refused, match="does not say what it is"):
        files_for(here, WORK)
