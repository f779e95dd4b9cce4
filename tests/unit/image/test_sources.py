"""Where packages come from: the environment, the host's apt sources in both formats, Debian's default."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.image.sources import DEFAULT, DEFAULT_SECURITY, Mirrors, mirrors

ONE_LINE = """\
# deb http://commented.example/debian trixie main
deb-src http://sources.example/debian trixie main
deb [arch=amd64 signed-by=/k.gpg] http://one.example/debian/ trixie main
deb http://one.example/debian-security trixie-security main
"""
DEB822 = """\
Types: deb
URIs: https://off.example/debian
Enabled: no

Types: deb
URIs: https://two.example/debian
Suites: bookworm bookworm-updates

Types: deb
URIs: https://two.example/debian-security
Suites: bookworm-security
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_one_line_sources(apt: Path) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    assert mirrors({}, apt) == Mirrors("http://one.example/debian", "http://one.example/debian-security")


def test_deb822_sources_without_the_disabled_ones(apt: Path) -> None:
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    assert mirrors({}, apt) == Mirrors("https://two.example/debian", "https://two.example/debian-security")


def test_the_environment_comes_first(apt: Path) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    assert (
        mirrors({"TWINBOOT_MIRROR": "http://mine.example/debian/"}, apt).archive
        == "http://mine.example/debian"
    )


def test_a_mirror_of_another_distribution_is_not_taken_for_debians(apt: Path) -> None:
    (apt / "sources.list").write_text("deb http://archive.example/ubuntu noble main\n")
    assert mirrors({}, apt) == Mirrors(DEFAULT, DEFAULT_SECURITY)


def test_security_updates_of_an_oddly_named_mirror_come_from_debian(apt: Path) -> None:
    assert mirrors({"TWINBOOT_MIRROR": "http://mine.example/mirror"}, apt).security == DEFAULT_SECURITY
