"""The way of a machine without a cable: its list, a bundle made elsewhere, and that bundle in its twin."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import PatchFailed, Refused
from appliance.model.bundle import MANIFEST, read_manifest
from appliance.model.lineage import Lineage
from appliance.model.machine import Machine
from appliance.model.plan import PatchKind, PatchRequest
from appliance.model.service_messages import WriteWanted
from appliance.model.wanted import AptSetup
from appliance.office.cli import main
from appliance.patching.apt import Apt
from appliance.patching.base import Setting
from appliance.probe.packages import table
from appliance.probe.tree import Tree
from appliance.workflow.wanted import write_wanted
from tests.lab.repository import Pool, WebServer
from tests.unit.patching.nspawn import Container
from tests.unit.patching.offers import offer, offer_security
from tests.unit.workflow.test_rehearse_plan import machine

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]
ALL = PatchRequest(kind=PatchKind.ALL)
LAB, SECURITY = "http://10.0.2.100/lab", "http://sec.example/lab"


@pytest.fixture
def archives(tmp_path: Path) -> Iterator[WebServer]:
    """The office's internet: two archives under one roof."""
    (tmp_path / "served").mkdir(exist_ok=True)
    with WebServer({"archives": tmp_path / "served"}) as server:
        yield server


def wanted(guest: Container, folder: Path, kind: PatchKind = PatchKind.ALL, name: str = "") -> Path:
    """The list of the installed system, as the appliance writes it from the volume."""
    found = replace(machine(), identity=name or machine().identity)

    def setup(_: str, __: Machine) -> AptSetup:
        return table(Tree(guest.folder)).setup

    folder.mkdir(exist_ok=True)
    return Path(write_wanted(folder, found, Lineage(nodes=()), WriteWanted(system="", kind=kind), setup).path)


def office(server: WebServer, output: Path, *lists: Path) -> int:
    base = f"http://127.0.0.1:{server.port}/archives"
    mirrors = ("--mirror", f"{LAB}={base}/10.0.2.100/lab", "--mirror", f"{SECURITY}={base}/sec.example/lab")
    return main(["make", *map(str, lists), "--output", str(output), *mirrors, "--json"])


def only_lab_sources(guest: Container) -> None:
    """Of the container's sources those that an office without internet can serve, one of them of no key."""
    for file in (guest.folder / "etc/apt/sources.list.d").iterdir():
        file.unlink()
    (guest.folder / "etc/apt/sources.list").write_text(
        f"deb [signed-by=/etc/apt/keyrings/lab.gpg] {LAB} bookworm main\n"
        f"deb [signed-by=/etc/apt/keyrings/lab.gpg] {SECURITY} bookworm-security main\n"
    )


def twin(guest: Container, bundle: Path) -> Apt:
    target = guest.folder / "mnt/bundle"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(bundle, target)
    return Apt(guest, Setting(bundle="/mnt/bundle", poll=0.2))


def changed(applied: object) -> dict[str, tuple[str, str]]:
    return {c.name: (c.before, c.after) for c in applied.changes}  # type: ignore[attr-defined]


def test_the_whole_way_without_a_cable(
    guest: Container, pool: Pool, archives: WebServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only_lab_sources(guest)
    offer(pool, tmp_path / "served", *(pool.deb(n, "1.1") for n in ("ledger", "grub-lab", "configured")))
    offer_security(pool, tmp_path / "served", pool.deb("ledger", "1.2"))
    before = guest.sh("find /etc /var/lib/dpkg /var/lib/apt -type f | sort | xargs md5sum")
    mine = wanted(guest, tmp_path / "stick")
    other = wanted(guest, tmp_path / "stick", PatchKind.SECURITY, "OTHER-1")
    assert guest.sh("find /etc /var/lib/dpkg /var/lib/apt -type f | sort | xargs md5sum") == before
    (tmp_path / "served/sec.example/lab/dists/bookworm-security/main/binary-amd64/Packages").unlink()

    bundle = tmp_path / "june"
    assert office(archives, bundle, mine, other) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["machines"], said["missing"]) == (2, [])
    manifest = read_manifest((bundle / MANIFEST).read_bytes(), MANIFEST)
    assert manifest.complete
    names = {m.identity: [d.rpartition("/")[2] for d in m.debs] for m in manifest.machines}
    assert names == {
        machine().identity: ["configured_1.1_all.deb", "ledger_1.2_all.deb"],
        "OTHER-1": ["ledger_1.2_all.deb"],
    }
    debs = sorted(p.name for p in bundle.rglob("*.deb"))
    assert debs == ["configured_1.1_all.deb", "ledger_1.2_all.deb"], "nothing that nobody wants, no loader"
    for name in ("10.0.2.100/lab/dists/bookworm", "sec.example/lab/dists/bookworm-security"):
        original = (tmp_path / "served" / name / "InRelease").read_bytes()
        assert original in [p.read_bytes() for p in bundle.rglob("InRelease")], "as the archive signed it"
    assert not (bundle / "partial").exists()
    archives.stop()

    apt = twin(guest, bundle)
    assert apt.why_not(ALL) == ()
    assert apt.refresh(ALL, lambda _: None) == ()
    assert {c.name for c in apt.preview(PatchRequest(kind=PatchKind.SECURITY)).changes} == {"ledger"}
    applied = apt.apply(ALL, lambda _: None)
    assert changed(applied) == {"ledger": ("1.0", "1.2"), "configured": ("1.0", "1.1")}
    assert not any("not signed" in s for s in applied.not_applied)
    assert applied.failure == "" and apt.audit() == ()

    # What was changed on its way is not installed, what another machine's archives hold is not looked at.
    deb = next((guest.folder / "mnt/bundle").rglob("ledger_1.2_all.deb"))
    guest.sh("dpkg -r ledger >/dev/null")
    deb.write_bytes(deb.read_bytes()[:-1] + b"x")
    again = Apt(guest, Setting(bundle="/mnt/bundle", poll=0.2))
    again.refresh(ALL, lambda _: None)
    with pytest.raises(PatchFailed, match="apt-get ended with status 100"):
        again.apply(PatchRequest(kind=PatchKind.PACKAGES, packages=("ledger",)), lambda _: None)
    (guest.folder / "etc/apt/keyrings/lab.gpg").unlink()
    with pytest.raises(PatchFailed, match="not accepted"):
        Apt(guest, Setting(bundle="/mnt/bundle", poll=0.2)).refresh(ALL, lambda _: None)
    (guest.folder / "etc/apt/sources.list").write_text("deb http://elsewhere.example/ bookworm main\n")
    with pytest.raises(Refused, match="made for others"):
        Apt(guest, Setting(bundle="/mnt/bundle", poll=0.2)).refresh(ALL, lambda _: None)
