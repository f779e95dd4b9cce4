"""A bundle made by real apt from a real archive: whole, resumed, brought up to date, or refused in words."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import BundleFailed, OutOfSpace, Refused
from appliance.host.run import RealHost
from appliance.model.bundle import MANIFEST, Manifest, read_manifest
from appliance.model.plan import PatchKind
from appliance.model.wanted import Key, Preferences, Source
from appliance.office import fetch, folder
from appliance.office import make as making
from appliance.office.apt import Index
from appliance.office.closure import Release, suite_folder
from appliance.probe.apt_lists import Lists
from appliance.probe.apt_setup import read_setup
from appliance.probe.tree import Tree
from tests.lab.native import run
from tests.unit.office.conftest import Office

BOTH = (("ledger", "1.1"), ("till", "1.1"), ("grub-lab", "1.1"))


def manifest(office: Office) -> Manifest:
    return read_manifest((office.bundle / MANIFEST).read_bytes(), MANIFEST)


def test_only_what_is_wanted_with_the_indexes_as_they_were_signed(office: Office) -> None:
    archive = office.offer(*BOTH)
    made = office.make(office.wants(), office.wants("SN-2", kind=PatchKind.PACKAGES, packages=("till",)))
    assert (made.machines, made.missing) == (2, ())
    assert sorted(office.debs()) == ["ledger_1.1_all.deb", "till_1.1_all.deb"]
    assert office.fetched() == ["ledger_1.1_all.deb", "till_1.1_all.deb"], "each once, for both machines"
    for name in ("InRelease", "main/binary-amd64/Packages.gz"):
        (copied,) = office.bundle.glob(f"archives/*/dists/bookworm/{name}")
        assert copied.read_bytes() == (archive / "dists/bookworm" / name).read_bytes()
    found = manifest(office)
    assert found.complete and [len(m.debs) for m in found.machines] == [2, 1]
    there = {str(p.relative_to(office.bundle)) for p in office.bundle.rglob("*") if p.is_file()}
    assert there == {f.path for f in found.files} | {MANIFEST}
    assert made.size == sum(f.size for f in found.files)
    assert office.told[-1][1] == office.told[-1][2] > 0, "it ends with all bytes there"
    assert any("sn-1: wants 2 packages" in s for s in office.said)


def test_a_second_time_fetches_nothing_and_a_newer_archive_only_what_is_new(office: Office) -> None:
    office.offer(*BOTH)
    office.make(office.wants())
    office.fetched()
    assert office.make(office.wants()).fetched == 0
    assert office.fetched() == []
    office.offer(("ledger", "1.2"), ("till", "1.1"))
    office.make(office.wants())
    assert office.fetched() == ["ledger_1.2_all.deb"]
    assert sorted(office.debs()) == ["ledger_1.2_all.deb", "till_1.1_all.deb"], "what is old is gone"


def test_stopped_it_is_not_taken_for_whole_and_goes_on(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.offer(*BOTH)
    real = Office._tell

    def stop(self: Office, path: str, done: int, total: int) -> None:
        if path.endswith("ledger_1.1_all.deb"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Office, "_tell", stop)
    with pytest.raises(KeyboardInterrupt):
        office.make(office.wants())
    assert not manifest(office).complete
    assert list(office.bundle.rglob("InRelease")) == [], "nothing that apt would look at"
    monkeypatch.setattr(Office, "_tell", real)
    office.fetched()
    (office.bundle / "partial").mkdir(exist_ok=True)
    office.make(office.wants())
    assert office.fetched() == ["till_1.1_all.deb"]
    assert manifest(office).complete and not (office.bundle / "partial").exists()


def test_a_file_that_was_damaged_is_fetched_again(office: Office) -> None:
    office.offer(*BOTH)
    office.make(office.wants())
    good = office.debs()
    (victim,) = office.bundle.rglob("till_1.1_all.deb")
    victim.write_bytes(bytes(victim.stat().st_size))
    office.make(office.wants())
    assert office.debs() == good


def test_what_the_archive_lists_and_has_not_is_said_for_the_machine(office: Office) -> None:
    archive = office.offer(*BOTH)
    (archive / "pool/till_1.1_all.deb").unlink()
    made = office.make(office.wants())
    assert len(made.missing) == 1 and made.missing[0].startswith("sn-1: till_1.1_all.deb: Failed to fetch")
    assert sorted(office.debs()) == ["ledger_1.1_all.deb"]
    assert manifest(office).machines[0].missing and manifest(office).complete


def test_a_package_that_is_not_the_signed_one_is_not_kept(office: Office) -> None:
    archive = office.offer(*BOTH)
    forged = archive / "pool/till_1.1_all.deb"
    size = forged.stat().st_size
    forged.unlink()  # a hard link to the pool
    forged.write_bytes(bytes(size))
    made = office.make(office.wants())
    assert "Hash Sum mismatch" in made.missing[0]
    assert sorted(office.debs()) == ["ledger_1.1_all.deb"]
    assert not list(office.bundle.rglob("*FAILED*"))


@pytest.mark.parametrize("how", ["unsigned", "stranger"])
def test_an_archive_that_the_machine_does_not_trust_gives_nothing(office: Office, how: str) -> None:
    office.offer(*BOTH, signed=how != "unsigned")
    wanted = office.wants() if how == "unsigned" else office.wants(keys=(Key(name="k", data=b"\x98\x01x"),))
    made = office.make(wanted)
    assert len(made.missing) == 1 and "bookworm could not be read" in made.missing[0]
    assert office.debs() == {}


def test_an_unsigned_archive_that_the_machine_takes_so_is_taken_unsigned(office: Office) -> None:
    office.offer(*BOTH, signed=False)
    source = replace(office.wants().apt.sources[0], trusted=True, signed_by=())
    assert office.make(office.wants(sources=(source,))).missing == ()
    assert len(office.debs()) == 2 and not list(office.bundle.rglob("InRelease"))
    assert list(office.bundle.rglob("Release"))


def test_pins_and_holds_of_the_machine_count(office: Office) -> None:
    office.offer(*BOTH)
    held = office.wants().apt.installed
    held = (replace(held[0], held=True), *held[1:])
    pin = Preferences(name="p", text="Package: till\nPin: version 1.0\nPin-Priority: 1001\n")
    office.make(office.wants(installed=held))
    assert sorted(office.debs()) == ["till_1.1_all.deb"]
    office.make(office.wants(preferences=(pin,)))
    assert sorted(office.debs()) == ["ledger_1.1_all.deb"]


def test_what_is_installed_as_the_archive_has_it_is_not_fetched_again(office: Office, tmp_path: Path) -> None:
    """apt takes one version for two where what it compares of them is not all there."""
    office.offer(*BOTH)
    status = tmp_path / "root/var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    control = run("dpkg-deb", "--field", office.pool.deb("till", "1.1"))
    status.write_text(control.replace("Architecture:", "Status: install ok installed\nArchitecture:"))
    (till,) = read_setup(Tree(tmp_path / "root"), Lists(), 0.0).installed
    installed = [p for p in office.wants().apt.installed if p.name != "till"]
    office.make(office.wants(installed=(*installed, till)))
    assert sorted(office.debs()) == ["ledger_1.1_all.deb"]


def test_what_apt_cannot_do_is_said(office: Office) -> None:
    office.offer(*BOTH)
    made = office.make(office.wants(kind=PatchKind.PACKAGES, packages=("nowhere",)))
    assert made.missing == ("sn-1: apt cannot do this: Unable to locate package nowhere",)


def test_a_full_disk_is_said_before_the_first_byte(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.offer(*BOTH)
    monkeypatch.setattr(folder, "free_bytes", lambda _: 5000)
    with pytest.raises(OutOfSpace, match=r"needs 5 MiB more; .*june has 0 MiB free"):
        office.make(office.wants())
    assert not office.bundle.exists() and office.fetched() == []


def test_a_disk_that_fills_up_is_said_and_what_is_there_stays(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = office.offer(*BOTH)
    (archive / "pool/till_1.1_all.deb").unlink()
    monkeypatch.setattr(fetch, "free_bytes", lambda _: 100)
    with pytest.raises(OutOfSpace, match=r"is full: archives/.*till_1.1_all.deb needs 0 KiB"):
        office.make(office.wants())
    assert sorted(office.debs()) == ["ledger_1.1_all.deb"] and not manifest(office).complete


def test_a_folder_of_somebody_else_is_left_alone(office: Office) -> None:
    office.offer(*BOTH)
    office.bundle.mkdir()
    (office.bundle / "thesis.odt").write_text("years of work")
    with pytest.raises(Refused, match="not empty and no bundle of ours"):
        office.make(office.wants())
    (office.bundle / MANIFEST).write_text("{}")
    with pytest.raises(Refused, match="a bundle that does not read"):
        office.make(office.wants())
    assert (office.bundle / "thesis.odt").read_text() == "years of work"


def test_a_manifest_of_lies_deletes_nothing_outside(office: Office, tmp_path: Path) -> None:
    (tmp_path / "keep").write_text("mine")
    (office.bundle / "archives").mkdir(parents=True)
    (office.bundle / "archives/out").symlink_to(tmp_path)
    folder.remove(office.bundle, ["../keep", "/etc/hostname", "archives/out/keep", "", "nowhere/x"])
    assert (tmp_path / "keep").read_text() == "mine" and os.path.exists("/etc/hostname")


def test_lists_that_cannot_go_together_are_refused(office: Office) -> None:
    with pytest.raises(Refused) as caught:
        office.make(office.wants(), office.wants(), office.wants("SN-3", sources=()))
    assert [r.partition(":")[0] for r in caught.value.reasons] == [
        "There are two lists of SN-1 (/dev/vg/root)",
        "The list of SN-3 names no source that can be fetched.",
    ]


def test_an_archive_that_never_stands_still_is_given_up(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.offer(*BOTH)
    counter = itertools.count()

    def restless(index: Index) -> Release:
        return Release(suite_folder(index), (("InRelease", f"Date: {next(counter)}".encode()),))

    monkeypatch.setattr(making, "release_of", restless)
    with pytest.raises(BundleFailed, match="changed each time"):
        office.make(office.wants(), office.wants("SN-2"))


def test_a_mirror_stands_for_the_beginning_of_an_address(office: Office) -> None:
    office.offer(*BOTH)
    source = Source(file="x", uri="http://deb.example/debian", suite="bookworm", components=("main",))
    wanted = office.wants(sources=(replace(source, signed_by=("k",)),))
    mirrors = {"http://deb.example": "http://127.0.0.1:9/x", "http://deb.example/debian/": office.uri}
    made = making.make(RealHost(), (wanted,), office.bundle, mirrors, office.said.append, office._tell)
    assert made.missing == ()
    assert next((office.bundle / "archives").iterdir()).name.startswith("deb.example-debian-")
