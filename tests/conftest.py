"""What is longest begins first: whole stories, machines, the rest. What a machine showed is kept."""

from __future__ import annotations

import hypothesis
import pytest

from tests.e2e.cells import Stamping
from tests.lab.shards import Shard

LONGEST_FIRST = ("e2e", "lab")

# Each test has pytest's own limit; one example that waited for a busy computer is no finding.
hypothesis.settings.register_profile("busy", deadline=None)
hypothesis.settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shard", type=Shard.parse, default=Shard(), metavar="I/N", help="the Ith of N parts")


def pytest_configure(config: pytest.Config) -> None:
    """Where tests run side by side only the process that hears of all of them keeps the record."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Stamping())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    files = config.getoption("shard").files(item.path for item in items)
    config.hook.pytest_deselected(items=[item for item in items if item.path not in files])
    items[:] = [item for item in items if item.path in files]

    def place(item: pytest.Item) -> int:
        return next(
            (n for n, name in enumerate(LONGEST_FIRST) if name in item.path.parts), len(LONGEST_FIRST)
        )

    items.sort(key=place)
