"""Names and numbers of files that come from archives and lists: what leads elsewhere is never written."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import DamagedData, Refused
from appliance.model.bundle import archive_folder, read_manifest, suite_key
from appliance.model.wanted import Source
from appliance.office.apt import Deb, Index, parse_mirrors
from appliance.office.cli import main, read_list
from appliance.office.closure import Item, deb_item, hashes_of, same_to_fat, why_not_on_a_stick
from appliance.office.fetch import Pace
from appliance.patching.apt_bundle import suites_of

BASE = "http://a.example/debian/"
INDEX = Index(
    Source(file="x", uri=BASE, suite="bookworm"), BASE + "dists/bookworm/", BASE, "main/Packages", "/x"
)
HASH = "SHA256:" + "0" * 64


def test_a_package_goes_where_the_signed_list_says() -> None:
    found = deb_item(Deb(BASE + "pool/a%2bb_1%253a2_all.deb", 5, HASH), [INDEX])
    assert found == Item(
        BASE + "pool/a%2bb_1%253a2_all.deb", f"{archive_folder(BASE)}/pool/a+b_1%3a2_all.deb", 5, HASH
    )


@pytest.mark.parametrize(
    ("name", "size", "checksum", "words"),
    [
        ("pool/../../etc/passwd", 1, HASH, "leads elsewhere"),
        ("pool//x.deb", 1, HASH, "leads elsewhere"),
        ("pool/x_1:2_all.deb", 1, HASH, "a FAT stick does not take"),
        ("pool/aux.deb", 1, HASH, "a FAT stick does not take"),
        ("pool/x.deb", 1 << 32, HASH, "at most 4 GiB"),
        ("pool/x.deb", 1, "", "no hash"),
        ("pool/" + "x" * 241, 1, HASH, "too long"),
    ],
)
def test_what_cannot_be_on_a_stick_is_said(name: str, size: int, checksum: str, words: str) -> None:
    found = deb_item(Deb(BASE + name, size, checksum), [INDEX])
    assert isinstance(found, str) and words in found


def test_a_package_of_no_archive_is_said() -> None:
    assert "no archive that was read" in str(deb_item(Deb("http://b.example/x.deb", 1, HASH), [INDEX]))
    assert same_to_fat(["a/X", "a/y", "a/x"]) == ("a/X and a/x are one name to a FAT stick.",)


@given(st.text(max_size=80), st.integers(0, 1 << 40))
def test_no_accepted_path_leaves_the_bundle(name: str, size: int) -> None:
    if not why_not_on_a_stick(name, size):
        assert not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
        assert size < 1 << 32 and not set(name) & set('<>:"\\|?*')


@given(st.text(max_size=200))
def test_any_text_reads_as_a_release_or_not(text: str) -> None:
    for size in (size for _, size in hashes_of("SHA256:\n" + text).values()):
        assert size >= 0
    assert archive_folder(text).count("/") == 1 and suite_key(text, text)[1]


def test_of_a_release_the_sha256_count() -> None:
    text = f"MD5Sum:\n {'0' * 32} 1 a\nSHA256:\n {'1' * 64} 7 main/Packages.xz\n{'2' * 64} 7 not\nEnd: x\n"
    assert hashes_of(text) == {"main/Packages.xz": ("1" * 64, 7)}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_refused(data: bytes) -> None:
    with pytest.raises(DamagedData):
        read_manifest(data, "x")


def test_time_left_is_said_once_it_is_known() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    mib = 1 << 20
    assert pace.words(mib, 11 * mib) == "1.0 of 11.0 MiB"
    now[0] = 10.0
    assert pace.words(6 * mib, 11 * mib) == "6.0 of 11.0 MiB, 0.5 MiB/s, 10 s left"
    now[0] = 1000.0
    assert pace.words(7 * mib, 11 * mib).endswith("11 min left")


OWN = frozenset({suite_key(BASE, "bookworm"), suite_key("http://flat.example", "./")})


def test_of_many_archives_a_twin_takes_its_own_and_what_is_there() -> None:
    mine, other, flat = (archive_folder(u) for u in (BASE, "http://b.example", "http://flat.example"))
    files = [
        f"{mine}/dists/bookworm/InRelease",
        f"{mine}/dists/bookworm/main/binary-amd64/Packages.xz",
        f"{mine}/dists/bookworm/non-free/binary-arm64/Packages.xz",
        f"{mine}/dists/trixie/InRelease",
        f"{mine}/dists/trixie/main/binary-amd64/Packages.xz",
        f"{other}/dists/bookworm/InRelease",
        f"{other}/dists/bookworm/main/binary-arm64/Packages.xz",
        f"{flat}/Release",
        f"{flat}/Packages.gz",
    ]
    found = suites_of(files, ("amd64", "i386"), OWN)
    assert [(s.base, s.name, s.components, s.signed) for s in found] == [
        (f"{mine}/", "bookworm", (("main", ("amd64",)),), True),
        (f"{flat}/", "./", (), False),
    ]
    with pytest.raises(Refused, match="made for others"):
        suites_of(files, ("amd64",), frozenset())
    with pytest.raises(Refused, match="'bookworm' has no list of packages for riscv64"):
        suites_of(files, ("riscv64",), OWN)


@given(st.lists(st.text(alphabet="distarchve/PackgeslInR.x-b64", max_size=60), max_size=6))
def test_any_files_make_suites_or_are_refused(files: list[str]) -> None:
    try:
        found = suites_of(files, ("amd64",), OWN)
    except Refused:
        return
    assert all(suite.name for suite in found)


def test_words_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_mirrors(("http://a=http://b/c",)) == {"http://a": "http://b/c"}
    with pytest.raises(Refused, match="write http://ARCHIVE=http://MIRROR"):
        parse_mirrors(("http://a",))
    with pytest.raises(Refused, match="cannot be read: No such file"):
        read_list(tmp_path / "gone.json")
    (tmp_path / "x.json").write_text("{}")
    assert main(["make", str(tmp_path / "x.json"), "--output", str(tmp_path / "o")]) == 1
    assert "DATA-01: x.json does not read as Wanted" in capsys.readouterr().err
    assert main(["make", str(tmp_path / "gone"), "--output", str(tmp_path / "o")]) == 3
    assert not (tmp_path / "o").exists()
    with pytest.raises(SystemExit) as ended:
        main(["make", "x"])
    assert ended.value.code == 2
