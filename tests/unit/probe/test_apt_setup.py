"""What decides what a system's apt would fetch, read from its files: nothing secret, nothing run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.model.wanted import AptSetup, Source, without_secrets
from appliance.probe.apt_keys import is_public
from appliance.probe.apt_lists import Lists, release_fields, release_time
from appliance.probe.apt_setup import read_setup
from appliance.probe.apt_sources import fields_of, read_sources
from appliance.probe.tree import Tree

NOW = 1_700_000_000.0
PUBLIC = bytes([0x98, 0x33]) + b"a public key"
SECRET = bytes([0x95, 0x03]) + b"a secret key"
STATUS = """Package: dpkg
Essential: yes
Status: install ok installed
Priority: required
Installed-Size: 6516
Architecture: amd64
Multi-Arch: foreign
Version: 1.21.22
Pre-Depends: libc6 (>= 2.34),
 libzstd1
Description: of no use to a solver
 at all

Package: ledger
Status: hold ok installed
Architecture: all
Version: 1:1.0-2

Package: libc6
Status: install ok half-configured
Architecture: i386
Version: 2.36

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 3
"""
DEB822 = """# the distribution's own
Types: deb deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: https://packages.example/apt
Suites: stable
Components: main
Architectures: amd64 arm64
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEZ
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
Enabled: no
URIs: http://off.example/
Suites: off
Components: main
"""
ONE_LINE = """# deb http://old.example/ x main
deb [arch=amd64 signed-by=/etc/apt/keyrings/lab.gpg] http://lab.example/lab ./ # flat
deb-src http://lab.example/src bookworm main
deb cdrom:[Debian GNU/Linux 12]/ bookworm main
deb [trusted=yes] https://robot:hunter2@inside.example/apt site main
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, content in {
        "etc/os-release": b'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
        "var/lib/dpkg/status": STATUS.encode(),
        "var/lib/dpkg/arch": b"amd64\ni386\n",
        "var/lib/apt/extended_states": b"Package: ledger\nArchitecture: amd64\nAuto-Installed: 1\n",
        "etc/apt/sources.list": ONE_LINE.encode(),
        "etc/apt/sources.list.d/debian.sources": DEB822.encode(),
        "etc/apt/sources.list.d/old.list.save": b"deb http://never.example/ x main\n",
        "etc/apt/auth.conf": b"machine inside.example login robot password hunter2\n",
        "etc/apt/preferences.d/pins": b"Package: ledger\nPin: version 1.*\nPin-Priority: 1001\n",
        "etc/apt/apt.conf.d/90site": b'// Install-Recommends "true";\nAPT { Install-Recommends "false"; };\n',
        "etc/apt/trusted.gpg.d/site.gpg": PUBLIC,
        "etc/apt/trusted.gpg.d/mine.gpg": SECRET,
        "usr/share/keyrings/debian.gpg": PUBLIC + b"of Debian",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def setup_of(root: Path, at: float = 0.0) -> AptSetup:
    return read_setup(Tree(root), Lists(at=at), NOW)


def test_packages_with_what_a_solver_asks(root: Path) -> None:
    found = setup_of(root)
    assert (found.architecture, found.foreign, found.codename) == ("amd64", ("i386",), "bookworm")
    assert [(p.name, p.arch, p.version, p.held, p.auto) for p in found.installed] == [
        ("dpkg", "amd64", "1.21.22", False, False),
        ("ledger", "all", "1:1.0-2", True, True),
        ("libc6", "i386", "2.36", False, False),
    ]
    assert found.installed[0].relations == {
        "Essential": "yes",
        "Priority": "required",
        "Multi-Arch": "foreign",
        "Pre-Depends": "libc6 (>= 2.34), libzstd1",
        "Installed-Size": "6516",
    }
    assert found.recommends is False
    assert [p.name for p in found.preferences] == ["/etc/apt/preferences.d/pins"]


def test_sources_of_both_kinds_without_a_password(root: Path) -> None:
    found = setup_of(root)
    parts, inline = "/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list.d/debian.sources#1"
    debian = Source(
        file=parts,
        uri="http://deb.debian.org/debian",
        suite="bookworm",
        components=("main", "contrib"),
        signed_by=("/usr/share/keyrings/debian.gpg",),
    )
    assert found.sources[0] == Source(
        file="/etc/apt/sources.list",
        uri="http://lab.example/lab",
        suite="./",
        architectures=("amd64",),
        signed_by=("/etc/apt/keyrings/lab.gpg",),
    )
    assert found.sources[1].uri == "https://inside.example/apt" and found.sources[1].trusted
    assert found.sources[2] == debian
    assert found.sources[3].suite == "bookworm-updates"
    assert found.sources[4].signed_by == (inline,) and found.sources[4].architectures == ("amd64", "arm64")
    assert len(found.sources) == 5
    assert b"hunter2" not in repr(found).encode()


def test_public_keys_only_and_what_is_not_known_is_said(root: Path) -> None:
    found = setup_of(root)
    assert [(k.name, k.trusted) for k in found.keys] == [
        ("/etc/apt/trusted.gpg.d/site.gpg", True),
        ("/usr/share/keyrings/debian.gpg", False),
        ("/etc/apt/sources.list.d/debian.sources#1", False),
    ]
    assert found.keys[2].data.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n-----END")
    said = "\n".join(found.unknown)
    for words in (
        "cdrom:",
        "wants a name and password",
        "mine.gpg does not begin with a public key",
        "/etc/apt/keyrings/lab.gpg, which a source names, is not there",
        "no package lists of its own",
        "as if they were: libc6",
    ):
        assert words in said, words
    assert len(found.unknown) == 6


def test_the_age_of_its_own_lists_is_said_when_it_is_old(root: Path) -> None:
    assert any("last on 2023-09-" in s for s in setup_of(root, NOW - 70 * 86400).unknown)
    assert not any("lists" in s for s in setup_of(root, NOW - 86400).unknown)


def test_a_system_without_dpkg_has_nothing(tmp_path: Path) -> None:
    assert setup_of(tmp_path).installed == () and setup_of(tmp_path).architecture == ""


def test_what_a_release_says_of_itself_stands_above_its_files() -> None:
    text = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: Debian\nSuite: stable\n"
        "Codename: bookworm\nDate: Sat, 10 Jan 2026 09:00:00 UTC\nSHA256:\n abc 1 x\nSuite: forged\n"
    )
    fields = release_fields(text)
    assert (fields["Origin"], fields["Suite"]) == ("Debian", "stable")
    assert release_time(fields) == 1768035600
    assert release_time({"Date": "yesterday"}) == release_time({}) == 0


@given(st.text(max_size=300))
def test_no_address_keeps_its_password(secret: str) -> None:
    uri, _ = without_secrets(f"https://robot:{secret}@host.example/apt")
    assert "@host" not in uri


@given(st.binary(max_size=200))
def test_a_secret_key_is_none_to_take_along(data: bytes) -> None:
    assert not is_public(SECRET[:1] + data)
    assert not is_public(b"-----BEGIN PGP PRIVATE KEY BLOCK-----" + data)
    is_public(data)


@given(st.text(alphabet="deb :/\n\t#[]=.-ASignedByTpsURI", max_size=400))
def test_any_text_reads_as_sources_or_not(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "etc/apt/sources.list.d").mkdir(parents=True)
    for name in ("sources.list", "sources.list.d/x.sources"):
        (root / "etc/apt" / name).write_text(text)
    for source in read_sources(Tree(root)).sources:
        assert not any(c.isspace() for c in source.uri + source.suite)
    fields_of(text)
