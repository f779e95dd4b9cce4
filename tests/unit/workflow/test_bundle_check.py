"""A bundle is held against the machine while planning: what lacks, is old, foreign or a stranger's."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.errors import Busy, CommandFailed, Refused
from appliance.host.run import Command, Host, Output, RealHost
from appliance.model.bundle import MANIFEST, BundleMachine, Manifest, read_manifest, state_of
from appliance.model.codec import to_json
from appliance.model.plan import PatchKind, PatchRequest, Request, Verb
from appliance.model.wanted import AptSetup, ReadRelease
from appliance.workflow import catalogue
from appliance.workflow.bundle_check import Finding, Owner, binary, check_bundle
from appliance.workflow.descent import descend
from appliance.workflow.places import Places
from tests.unit.office.conftest import Office, office, pool
from tests.unit.workflow.test_rehearse_plan import machine

__all__ = ["office", "pool"]
ROOT = "/dev/mapper/vg0-root"
ALL = PatchRequest(kind=PatchKind.ALL, bundle="june")
NOW = 1_900_000_000.0
OLD = "Wed, 01 Jan 2025 00:00:00 UTC"


@pytest.fixture
def made(office: Office) -> Office:
    """A bundle for SN-1, which wants ledger and till."""
    office.offer(("ledger", "1.1"), ("till", "1.1"))
    office.make(office.wants())
    return office


def owner(office: Office, **changes: object) -> Owner:
    return Owner("SN-1", "/dev/vg/root", office.wants(**changes).apt)


def check(
    office: Office, request: PatchRequest = ALL, who: Owner | None = None, host: Host | None = None
) -> Finding:
    return check_bundle(host or RealHost(), office.bundle, who or owner(office), request, NOW)


def rewrite(office: Office, change: Callable[[Manifest], Manifest]) -> None:
    path = office.bundle / MANIFEST
    path.write_bytes(to_json(change(read_manifest(path.read_bytes(), MANIFEST))))


def mine(office: Office) -> BundleMachine:
    return read_manifest((office.bundle / MANIFEST).read_bytes(), MANIFEST).machines[0]


def test_a_bundle_that_fits_is_not_talked_about(made: Office) -> None:
    assert check(made) == Finding()


def test_packages_that_are_not_there_or_half_there_refuse(made: Office) -> None:
    paths = sorted(made.bundle.rglob("*.deb"))
    paths[0].unlink()
    paths[1].write_bytes(b"half")
    assert check(made).reasons == (
        "The bundle lacks 2 of the 2 packages wanted here: ledger_1.1_all.deb, till_1.1_all.deb.",
    )


def test_what_the_office_could_not_fetch_is_passed_on(made: Office) -> None:
    rewrite(made, lambda m: replace(m, machines=(replace(m.machines[0], missing=("x: 404",)),)))
    assert check(made) == Finding((), ("Not in the bundle: x: 404",))


def test_a_bundle_that_was_not_finished_is_refused(made: Office) -> None:
    rewrite(made, lambda m: replace(m, complete=False))
    assert check(made).reasons[0].startswith("The bundle was not finished")
    (made.bundle / MANIFEST).write_text("{}")
    assert "does not say what it is" in check(made).reasons[0]


def test_what_has_changed_since_the_list_is_said(made: Office) -> None:
    installed = made.wants().apt.installed
    changed = owner(made, installed=(replace(installed[0], version="1.0.1"), *installed[1:]))
    assert check(made, who=changed).warnings == (
        "Packages here have changed since the list of 1970-01-01: the bundle may lack some.",
    )
    assert state_of(changed.apt) != mine(made).state


def test_a_request_the_list_did_not_make_is_said(made: Office) -> None:
    named = PatchRequest(kind=PatchKind.PACKAGES, packages=("till=1.1", "nginx:amd64"), bundle="june")
    assert check(made, named).warnings == ("The list did not ask for nginx: the bundle may not have it.",)
    rewrite(made, lambda m: replace(m, machines=(replace(m.machines[0], kind=PatchKind.SECURITY),)))
    assert check(made).warnings == (
        "The list was written for security updates only: the bundle may lack other updates.",
    )


def test_a_bundle_of_others_is_named_so(made: Office) -> None:
    other = Owner("SN-9", "/dev/vg/root", made.wants().apt)
    assert "made for sn-1, not for this system" in check(made, who=other).warnings[0]
    elsewhere = replace(made.wants().apt.sources[0], uri="http://elsewhere.example/")
    assert check(made, who=owner(made, sources=(elsewhere,))).reasons == (
        "None of the bundle's archives is a source of this system: it was made for others.",
    )
    assert (
        "no list of packages for riscv64" in check(made, who=owner(made, architecture="riscv64")).reasons[0]
    )


def test_a_key_that_the_system_does_not_have_refuses_or_is_said(made: Office) -> None:
    (reason,) = check(made, who=owner(made, keys=())).reasons
    assert reason.startswith("The index of bookworm is signed by nobody this system trusts (key ")
    assert reason.endswith("allow unsigned packages to use it.")
    allowed = check(made, replace(ALL, allow_unsigned=True), owner(made, keys=()))
    assert allowed.reasons == () and "taken unsigned, as was allowed" in allowed.warnings[0]


def test_a_signed_index_that_was_changed_refuses(made: Office) -> None:
    release = next(made.bundle.rglob("InRelease"))
    release.write_text(release.read_text().replace("Label: lab", "Label: bal"))
    assert "signed by nobody" in check(made).reasons[0]


def test_where_signatures_cannot_be_checked_it_is_said(made: Office) -> None:
    class Without:
        def run(self, command: Command) -> Output:
            raise CommandFailed(f"{command.argv[0]} could not be started.")

    assert check(made, host=Without()) == Finding(
        (), ("Who signed the index of bookworm could not be checked here; the twin will.",)
    )


def test_an_unsigned_index_is_refused_unless_allowed(made: Office) -> None:
    release = next(made.bundle.rglob("InRelease"))
    release.rename(release.with_name("Release"))
    assert check(made).reasons == ("The index of bookworm is not signed: allow unsigned packages to use it.",)
    assert check(made, replace(ALL, allow_unsigned=True)).reasons == ()


def test_age_and_release_of_the_indexes(made: Office) -> None:
    release = next(made.bundle.rglob("InRelease"))
    head = f"Origin: Debian\nSuite: oldstable\nCodename: trixie\nDate: {OLD}\nValid-Until: {OLD}\n"
    release.write_text(head)
    known = ReadRelease(origin="Debian", suite="oldstable", codename="trixie", date=1_800_000_000)
    allowed = replace(ALL, allow_unsigned=True)
    found = check(made, allowed, owner(made, releases=(known,)))
    assert found.reasons == ("The bundle's bookworm is for trixie; this system is bookworm.",)
    assert found.warnings[1:] == (
        "The bundle's index of bookworm is of 2025-01-01, older than the one this system has read "
        "(2027-01-15).",
        "The bundle's index of bookworm was good until 2025-01-01: newer updates are not in it.",
    )
    release.write_text(head.replace("trixie", "bookworm-security"))
    assert check(made, allowed).reasons == (), "the distribution's other archives of the same release"


def test_plain_debs_and_hand_made_repositories_need_no_manifest(made: Office) -> None:
    (made.bundle / MANIFEST).unlink()
    assert check(made) == Finding()
    for path in sorted(made.bundle.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (made.bundle / "x.deb").write_bytes(b"")
    assert check(made) == Finding()


def test_armoured_keys_read_as_binary() -> None:
    body = base64.encodebytes(b"\x98" * 90).decode()
    kind = "PGP PUBLIC KEY BLOCK-----"
    armour = f"-----BEGIN {kind}\nVersion: 1\n\n{body}=abcd\n-----END {kind}\n"
    assert binary(armour.encode()) == b"\x98" * 90
    assert binary(b"-----BEGIN x-----\n!\n-----END") == b"" and binary(b"\x98x") == b"\x98x"


@given(st.binary(max_size=300))
def test_any_key_file_is_read_or_left_out(data: bytes) -> None:
    binary(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n" + data + b"\n-----END PGP")


@given(manifest=st.binary(max_size=80), release=st.binary(max_size=120))
def test_any_bytes_on_the_stick_end_in_sentences(
    tmp_path_factory: pytest.TempPathFactory, manifest: bytes, release: bytes
) -> None:
    class Silent:
        def run(self, command: Command) -> Output:
            return Output(2, "")

    folder = tmp_path_factory.mktemp("bundle")
    (folder / "dists/x/main/binary-amd64").mkdir(parents=True)
    (folder / "dists/x/main/binary-amd64/Packages").write_bytes(b"")
    (folder / "dists/x/InRelease").write_bytes(release)
    if manifest:
        (folder / MANIFEST).write_bytes(manifest)
    found = check_bundle(Silent(), folder, Owner("x", "y", AptSetup(architecture="amd64")), ALL, NOW)
    assert found.reasons, "nobody has signed it"


def test_it_is_said_while_planning_and_a_busy_disk_only_leaves_it_open(made: Office, tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    made.bundle.rename(tmp_path / "bundles/june")
    places = Places(tmp_path / "run", tmp_path)
    request = Request(verb=Verb.REHEARSE, patch=ALL)
    descent = descend(machine(), None, ())
    asked: list[str] = []

    def setup(system: str) -> AptSetup:
        asked.append(system)
        return made.wants(keys=()).apt

    with pytest.raises(Refused) as caught:
        catalogue.build_plan(machine(), request, descent, RealHost(), places, {}, setup)
    assert asked == [ROOT]
    assert any("signed by nobody this system trusts" in r for r in caught.value.reasons)
    assert any("not for this system" in w for w in caught.value.warnings)

    def busy(_: str) -> AptSetup:
        raise Busy("A run is at work on the disks.")

    plan = catalogue.build_plan(machine(), request, descent, RealHost(), places, {}, busy)
    assert plan.warnings[-1] == (
        "Whether the bundle fits could not be checked: A run is at work on the disks."
    )
