"""A booted container with ledger, a loader-like package and a configured one, all at 1.0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.repository import Pool
from tests.lab.suite import BOOKWORM, Suite
from tests.unit.patching.nspawn import Container, container, why_not
from tests.unit.patching.offers import make_pool


@pytest.fixture
def suite() -> Suite:
    """The guest's release: Debian 12, where a test does not parametrize it."""
    return BOOKWORM


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    if reason := why_not():
        pytest.skip(reason)
    return make_pool(tmp_path_factory.mktemp("offers"))


@pytest.fixture
def pool(packages: Pool, suite: Suite) -> Pool:
    return replace(packages, suite=suite.name)


@pytest.fixture
def guest(pool: Pool, suite: Suite, tmp_path: Path) -> Iterator[Container]:
    debs = tuple(pool.deb(name, "1.0") for name in ("ledger", "grub-lab", "configured"))
    with container(tmp_path, debs, suite) as booted:
        keyrings = booted.folder / "etc/apt/keyrings"
        keyrings.mkdir(exist_ok=True)
        (keyrings / "lab.gpg").write_bytes(pool.public_key.read_bytes())
        yield booted
