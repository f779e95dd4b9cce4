"""The list of what a machine would fetch: on the stick, refused in words, read back strictly."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.errors import ApplianceError, DamagedData, Refused
from appliance.model.codec import to_json
from appliance.model.lineage import Lineage
from appliance.model.machine import Machine
from appliance.model.plan import PatchKind
from appliance.model.service_messages import WantedWritten, WriteWanted
from appliance.model.wanted import (
    SCHEMA,
    AptSetup,
    InstalledPackage,
    Key,
    Source,
    Wanted,
    file_name,
    read_wanted,
)
from appliance.workflow.wanted import why_not, write_wanted
from tests.unit.workflow.test_rehearse_plan import machine

ROOT = "/dev/mapper/vg0-root"
APT = AptSetup(
    architecture="amd64",
    codename="bookworm",
    installed=(InstalledPackage(name="dpkg", arch="amd64", version="1.21", relations={"Depends": "libc6"}),),
    sources=(Source(file="/etc/apt/sources.list", uri="http://deb.example/debian", suite="bookworm"),),
    keys=(Key(name="/etc/apt/trusted.gpg.d/x.gpg", data=b"\x98key", trusted=True),),
    unknown=("Something is not known.",),
)
WANTED = Wanted(
    schema=SCHEMA, identity="SN-1", system=ROOT, hostname="web1", os_name="Debian", written_at=1, apt=APT
)


def setup(_: str, __: Machine) -> AptSetup:
    return APT


def write(data: Path, say: WriteWanted, found: Machine | None = None, apt: AptSetup = APT) -> WantedWritten:
    return write_wanted(data, found or machine(), Lineage(nodes=()), say, lambda *_: apt)


def test_it_stands_on_the_stick_under_the_machines_name(tmp_path: Path) -> None:
    done = write(tmp_path, WriteWanted(system="", kind=PatchKind.PACKAGES, packages=("nginx",)))
    path = tmp_path / "wanted" / f"{machine().identity}.json"
    assert done == WantedWritten(
        path=str(path), installed=1, sources=1, keys=1, unknown=("Something is not known.",)
    )
    wanted = read_wanted(path.read_bytes(), path.name)
    assert (wanted.identity, wanted.system, wanted.packages) == (machine().identity, ROOT, ("nginx",))
    assert wanted.apt == APT
    assert write(tmp_path, WriteWanted(system=ROOT)).path == str(path), "the newer list takes its place"
    assert read_wanted(path.read_bytes(), path.name).kind is PatchKind.ALL
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("say", "words"),
    [
        (WriteWanted(system="/dev/no"), "no installed system /dev/no"),
        (WriteWanted(system="", kind=PatchKind.SCRIPT), "cannot be known"),
        (WriteWanted(system="", kind=PatchKind.PACKAGES), "No package was named"),
        (WriteWanted(system="", kind=PatchKind.PACKAGES, packages=("a b",)), "not a package name"),
        (WriteWanted(system="", kind=PatchKind.PACKAGES, packages=("grub-pc",)), "boot loader"),
    ],
)
def test_what_nothing_can_be_fetched_for_is_refused_and_nothing_written(
    tmp_path: Path, say: WriteWanted, words: str
) -> None:
    with pytest.raises(Refused, match=words):
        write(tmp_path, say)
    assert list(tmp_path.iterdir()) == []


def test_a_system_without_dpkg_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="has no dpkg"):
        write(tmp_path, WriteWanted(system=""), apt=AptSetup())
    assert list(tmp_path.iterdir()) == []


def test_a_full_stick_keeps_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "wanted").write_text("a file where the folder belongs")
    with pytest.raises(ApplianceError) as caught:
        write(tmp_path, WriteWanted(system=""))
    assert caught.value.code == "EXPORT-01"
    assert (tmp_path / "wanted").read_text() == "a file where the folder belongs"


def test_names_are_for_every_computer() -> None:
    assert file_name(replace(WANTED, identity="VMware-56 4d/..")) == "VMware-56-4d.json"
    assert file_name(WANTED, several=True) == "SN-1-mapper-vg0-root.json"
    assert file_name(replace(WANTED, identity="...")) == "machine.json"
    assert why_not(WriteWanted(system="", kind=PatchKind.SECURITY)) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(schema=2), "version 2; this version reads 1"),
        (lambda d: d.update(extra=1), "extra"),
        (lambda d: d.update(kind="script"), "none that can be fetched"),
        (lambda d: d.update(kind="packages"), "names no packages"),
        (lambda d: d["apt"].update(architecture="amd64\nx"), "no architecture"),
        (lambda d: d["apt"]["installed"][0].update(name="a\nStatus: x"), "not a package name"),
        (lambda d: d["apt"]["installed"][0].update(version="1\n"), "no version of dpkg"),
        (
            lambda d: d["apt"]["installed"][0]["relations"].update(Depends="a\n\nPackage: b"),
            "does not belong",
        ),
        (lambda d: d["apt"]["installed"][0]["relations"].update(Status="x"), "does not belong"),
        (lambda d: d["apt"]["sources"][0].update(uri='http://x/"; DPkg::Pre-Invoke {"id"'), "holds blanks"),
        (lambda d: d["apt"].update(default_release='x"; DPkg::Pre-Invoke {"id";'), "default release"),
    ],
)
def test_a_list_that_would_say_something_else_to_apt_is_refused(change: object, words: str) -> None:
    loaded = json.loads(to_json(WANTED))
    change(loaded)  # type: ignore[operator]
    with pytest.raises(DamagedData, match=words) as caught:
        read_wanted(json.dumps(loaded).encode(), "web1.json")
    assert "web1.json" in caught.value.what


@given(st.binary(max_size=400))
def test_any_bytes_read_or_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedData):
        read_wanted(data, "x")


@given(st.recursive(st.none() | st.text(max_size=8) | st.integers(), lambda x: st.lists(x, max_size=3)))
def test_any_value_in_any_place_reads_or_is_refused(value: object) -> None:
    for key in ("apt", "kind", "packages", "identity"):
        loaded = json.loads(to_json(WANTED)) | {key: value}
        with contextlib.suppress(DamagedData):
            read_wanted(msgspec.json.encode(loaded), "x")
