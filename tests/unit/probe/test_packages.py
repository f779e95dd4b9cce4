"""What is installed and what apt's own lists know that is newer; the recorded machine is only read."""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import CommandFailed, ProbeFailed
from appliance.model.machine import Machine
from appliance.probe import apt_lists
from appliance.probe.inside import looked_into
from appliance.probe.packages import Package, read_packages, table
from appliance.probe.tree import Tree
from tests.unit.probe.recorded import RecordedMachine
from tests.unit.probe.test_machine import play
from tests.unit.workflow.test_rehearse_plan import machine

HOST = "deb.example.org_debian_dists"
INSTALLED = (
    ("dpkg", "amd64", "1.21.22", "install"),
    ("libc6", "amd64", "2.36-9+deb12u9", "install"),
    ("libc6", "i386", "2.36-9+deb12u9", "install"),
    ("ledger", "all", "1.0", "hold"),
    ("own", "amd64", "5.0", "install"),
)


def paragraph(name: str, arch: str, version: str, more: str = "") -> str:
    return f"Package: {name}\n{more}Version: {version}\nInstalled-Size: 10\nArchitecture: {arch}\n\n"


def release(suite: str, more: str = "") -> str:
    head = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: Debian\n"
    return f"{head}Suite: {suite}\nCodename: {suite}\n{more}SHA256:\n abc 1 NotAutomatic: yes\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A mounted root with five packages and no lists."""
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/apt/lists/partial").mkdir(parents=True)
    status = "".join(
        paragraph(name, arch, version, f"Status: {want} ok installed\n")
        for name, arch, version, want in INSTALLED
    )
    (tmp_path / "var/lib/dpkg/status").write_text(status)
    return tmp_path


def put(root: Path, name: str, text: str | bytes) -> Path:
    file = root / "var/lib/apt/lists" / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def newer(root: Path) -> dict[str, tuple[str, bool]]:
    return {p.name: (p.newer, p.security) for p in table(Tree(root)).packages if p.newer or p.security}


def test_without_lists_it_is_what_dpkg_says(root: Path) -> None:
    found = table(Tree(root))
    assert found.packages == (
        Package("dpkg", "1.21.22", 10240),
        Package("ledger", "1.0", 10240, held=True),
        Package("libc6", "2.36-9+deb12u9", 10240),
        Package("libc6:i386", "2.36-9+deb12u9", 10240),
        Package("own", "5.0", 10240),
    )
    assert (found.lists_at, found.unread) == (0.0, 0)


def test_the_newest_of_all_lists_and_whether_security_has_one(root: Path) -> None:
    put(root, f"{HOST}_bookworm_InRelease", release("bookworm"))
    stable = paragraph("libc6", "amd64", "2.36-9+deb12u10") + paragraph("dpkg", "amd64", "1.21.1")
    stable += paragraph("other", "amd64", "9") + paragraph("ledger", "all", "1.2")
    put(root, f"{HOST}_bookworm_main_binary-amd64_Packages", stable)
    put(root, f"{HOST}_bookworm-security_InRelease", release("bookworm-security"))
    fixed = paragraph("libc6", "amd64", "2.36-9+deb12u11") + paragraph("ledger", "all", "1.1")
    file = put(root, f"{HOST}_bookworm-security_main_binary-amd64_Packages", fixed)
    os.utime(file, (2e9, 2e9))
    assert newer(root) == {
        "libc6": ("2.36-9+deb12u11", True),
        "ledger": ("1.2", True),
    }, "libc6:i386 has no list of its own"
    assert table(Tree(root)).lists_at == 2e9


def test_an_archive_that_is_not_automatic_offers_nothing(root: Path) -> None:
    for suite, more in (("bookworm-backports", "NotAutomatic: yes\n"), ("bookworm", "")):
        put(root, f"{HOST}_{suite}_InRelease", release(suite, more))
        put(root, f"{HOST}_{suite}_main_binary-amd64_Packages", paragraph("dpkg", "amd64", f"2~{suite}"))
    assert newer(root) == {"dpkg": ("2~bookworm", False)}


def test_a_package_may_come_to_be_of_all_architectures_or_of_one(root: Path) -> None:
    put(
        root,
        "local_._Packages",
        paragraph("ledger", "amd64", "2") + paragraph("own", "all", "6") + paragraph("own", "arm64", "7"),
    )
    assert newer(root) == {"ledger": ("2", False), "own": ("6", False)}


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_packed_lists_are_read_as_well(root: Path, ending: str, pack: Callable[[bytes], bytes]) -> None:
    text = paragraph("own", "amd64", "6").encode()
    put(root, f"{HOST}_bookworm_main_binary-amd64_Packages{ending}", pack(text))
    assert newer(root) == {"own": ("6", False)}


@pytest.mark.parametrize(
    ("name", "data"), [("_Packages.lz4", b"x"), ("_Packages.gz", b"no gzip"), ("_Packages.xz", b"\xfd7zXZ\0")]
)
def test_a_list_that_does_not_read_is_counted_and_the_others_serve(
    root: Path, name: str, data: bytes
) -> None:
    put(root, f"{HOST}_a{name}", data)
    put(root, f"{HOST}_b_Packages", paragraph("own", "amd64", "6"))
    put(root, f"{HOST}_b_Translation-en", "x")
    put(root, f"{HOST}_b_Packages.diff_Index", "x")
    assert newer(root) == {"own": ("6", False)}
    assert table(Tree(root)).unread == 1


def test_hostile_lists_give_less(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = root.parent / "secret"
    secret.write_text(paragraph("own", "amd64", "99"))
    (root / f"var/lib/apt/lists/{HOST}_x_Packages").symlink_to(secret)
    os.mkfifo(root / f"var/lib/apt/lists/{HOST}_y_Packages")
    os.mkfifo(root / f"var/lib/apt/lists/{HOST}_y_InRelease")
    put(root, f"{HOST}_z_Packages", b"Package: own\nVersion: \xff\xfe6\nArchitecture: amd64\nPackage: own\n")
    monkeypatch.setattr(apt_lists, "MOST_BYTES", 1000)
    put(root, f"{HOST}_zz_Packages", b"x" * 2000 + paragraph("own", "amd64", "7").encode())
    assert set(newer(root)) <= {"own"}
    assert table(Tree(root)).unread == 3


@pytest.fixture
def recorded(tmp_path: Path) -> RecordedMachine:
    return play("thin-bios", tmp_path)


def read(recorded: RecordedMachine, found: Machine | None = None) -> tuple[Package, ...]:
    known = found or machine("thin-bios")
    return read_packages(recorded, known, known.systems[0], recorded.root).packages


def test_the_recorded_machine_is_looked_into_and_nothing_stays(recorded: RecordedMachine) -> None:
    assert [(p.name, p.version) for p in read(recorded)] == [
        ("dpkg", "1.21.23"),
        ("grub-common", "2.06-13+deb12u2"),
        ("grub-pc", "2.06-13+deb12u2"),
        ("grub-pc-bin", "2.06-13+deb12u2"),
        ("grub2-common", "2.06-13+deb12u2"),
    ]
    assert recorded.left() == []


def test_what_can_not_be_looked_into_is_an_error_and_nothing_stays(recorded: RecordedMachine) -> None:
    recorded.fails.add("mount twinboot-probe-6")
    with pytest.raises(CommandFailed, match="does not mount"):
        read(recorded)
    recorded.fails = {"dmsetup create"}
    with pytest.raises(ProbeFailed, match="can not be looked into"):
        read(recorded)
    assert recorded.left() == []


def test_a_system_that_is_gone_is_said(recorded: RecordedMachine) -> None:
    (recorded.trees / "twinboot-probe-6/etc/fstab").unlink()
    with pytest.raises(ProbeFailed, match="no installed system on /dev/mapper/vg0-root any more"):
        read(recorded)


def test_where_its_loader_has_its_kernels_is_looked_into_as_well(recorded: RecordedMachine) -> None:
    known = machine("thin-bios")
    with looked_into(recorded, known, known.systems[0], recorded.root) as inside:
        (boot, *rest) = inside.boot_trees()
        assert boot.is_file("grub/grub.cfg") and boot.base != inside.tree.base
        assert len(rest) == (known.systems[0].esp is not None)
    assert recorded.left() == []
