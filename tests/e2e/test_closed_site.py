"""A closed site: the machine has no cable in. Its list goes out on the stick, a bundle comes back on it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_circle import NEW, OLD, boot_without_stick
from tests.lab.appliance import Appliance
from tests.lab.circle import lent, outliving, report_of, stick_with_shell, trial_kept
from tests.lab.console import Answer
from tests.lab.installed import InstalledSystem, SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.native import run
from tests.lab.proof import ProofOfBoot
from tests.lab.repository import WebServer
from tests.lab.stick import bring, fetch

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(10800),
]

STICK = 512
"""MiB: the image, and room for bundles with a kernel in them."""
ARCHIVE = "http://10.0.2.100/lab"
"""The site's own, which no cable leads to; Debian's are no source of the machine here."""
INSTALLED = {"root", "srv", "swap"}
WRITTEN = "awk '{print $7, $14}' /sys/block/vda/stat"
"""Sectors that the appliance has written to and discarded on the disk (Documentation/block/stat.rst)."""


@dataclass
class Site:
    """A machine without a cable that has gone round and is off, and what was seen on the way.

    `carriers` are those of the appliance's ports, `made` what the office was told, `bundle` what it made for
    this machine and another one; `short` is the answer to a rehearsal from a copy of it without the kernel.
    """

    machine: Machine
    system: InstalledSystem
    carriers: set[str]
    told: str
    wanted: dict[str, Any]
    asked: list[str]
    made: dict[str, Any]
    bundle: Path
    short: Answer
    written: tuple[str, str]
    volumes: set[str]
    verdict: dict[str, Any]
    report: str
    proof: ProofOfBoot


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Ledger 1.1 and a kernel update, by the command line alone; kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("closed"))


def _go_round(folder: Path) -> Site:
    system = installed_system(SystemSpec())
    with outliving(Machine.with_system(system, folder=folder / "machine")) as machine:
        machine.cable = False
        boot_without_stick(machine)
        machine.shell().read("rm /etc/apt/sources.list && sync")
        machine.power_off()
        machine.insert_stick(stick_with_shell(folder), STICK)
        appliance = Appliance.boot(machine)
        carriers = set(appliance.shell.read("cat /sys/class/net/e*/carrier").split())
        told = appliance.read("wanted")
        appliance.power_off()

        stick = machine.pull_stick()
        assert stick is not None
        (mine,) = fetch(stick, "wanted", folder).glob("*.json")
        bundle, asked, made = _office(system, mine, folder / "office")
        short = _without_the_kernel(bundle, folder / "short")
        machine.insert_stick(bring(stick, "bundles", (bundle, short), folder / "back.img"))

        appliance = Appliance.boot(machine)
        before = appliance.shell.read(WRITTEN)
        refused = appliance.twinboot("rehearse", "--all", "--bundle", "short")
        written, volumes = (before, appliance.shell.read(WRITTEN)), appliance.volumes()
        verdict = appliance.rehearse("--all", "--bundle", "june")
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.read("export", "tb1")
        appliance.reboot()
        proof = trial_kept(machine)
        machine.power_off()
        with machine.fork() as other:
            report = report_of(other, folder)
        wanted = json.loads(mine.read_text())
        return Site(
            machine,
            system,
            carriers,
            told,
            wanted,
            asked,
            made,
            bundle,
            refused,
            written,
            volumes,
            verdict,
            report,
            proof,
        )


def _office(system: InstalledSystem, mine: Path, folder: Path) -> tuple[Path, list[str], dict[str, Any]]:
    """Any Linux with apt and a way to the archive: the bundle, what was fetched for it, what was said.

    A second machine's list goes in as well: the same system, which wants its ledger only.
    """
    debs = system.offers.select("1.1", system.offers.update)
    archive = system.offers.pool.publish(folder / "archive", debs)
    other = json.loads(mine.read_text())
    other |= {"identity": "LAB-0002", "hostname": "second", "kind": "packages", "packages": ["ledger"]}
    (folder / "second.json").write_text(json.dumps(other))
    bundle = folder / "june"
    with WebServer({"lab": archive}) as internet:
        mirror = f"{ARCHIVE}=http://127.0.0.1:{internet.port}/lab"
        words = ("bundle", "make", mine, folder / "second.json", "--output", bundle, "--mirror", mirror)
        said = run(sys.executable, "-m", "appliance", *words, "--json")
        return bundle, list(internet.requests), json.loads(said)


def _without_the_kernel(bundle: Path, target: Path) -> Path:
    """A copy of it that has lost one package on its way."""
    shutil.copytree(bundle, target)
    (image,) = target.rglob("linux-image-6*.deb")
    image.unlink()
    return target


def test_the_list_says_what_the_machine_is_and_holds_no_secret(site: Site) -> None:
    assert site.carriers == {"0"}, "no cable is in"
    assert "/wanted/LAB-0001.json" in site.told
    wanted = site.wanted
    assert (wanted["identity"], wanted["system"], wanted["kind"]) == ("LAB-0001", OLD, "all")


def test_the_office_fetches_the_closure_once_for_both_with_indexes_as_they_were_signed(site: Site) -> None:
    assert (site.made["machines"], site.made["missing"]) == (2, [])
    update = site.system.offers.update
    wanted = {f"linux-image-{update.release}", "linux-image-amd64", "ledger"}
    assert {path.name.partition("_")[0] for path in site.bundle.rglob("*.deb")} == wanted
    fetched = [line.rpartition("/")[2] for line in site.asked if line.endswith(".deb")]
    assert len(fetched) == len(wanted)
    (index,) = site.bundle.rglob("InRelease")
    assert index.read_bytes() == (site.bundle.parent / "archive/dists/bookworm/InRelease").read_bytes()


def test_what_is_missing_is_named_before_anything_is_written(site: Site) -> None:
    assert site.short.status == 3
    release = site.system.offers.update.release
    assert f"The bundle lacks 1 of the 3 packages wanted here: linux-image-{release}_" in site.short.text
    before, after = site.written
    assert before == after
    assert site.volumes == INSTALLED


def test_the_whole_bundle_is_rehearsed_without_a_cable(site: Site) -> None:
    assert site.verdict["result"] == "PASS", site.verdict
    assert site.verdict["seal"] == "frozen" and site.verdict["proof_boot"]
    changed = {package["name"] for package in site.verdict["packages"]}
    assert {"ledger", "linux-image-amd64", f"linux-image-{site.system.offers.update.release}"} <= changed
    assert not any("not signed" in words for words in site.verdict["not_applied"])
    assert "PASS" in site.report
    assert site.machine.site.requests == []


def test_the_metal_runs_what_came_on_the_stick_and_keeps_it(site: Site) -> None:
    assert (site.proof.root, site.proof.ledger) == (NEW, "1.1")
    assert site.proof.kernel == site.system.offers.update.release
