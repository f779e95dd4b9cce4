"""What is longest begins first: whole stories, then machines, then the rest."""

from __future__ import annotations

import pytest

LONGEST_FIRST = ("e2e", "lab")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next(
            (n for n, name in enumerate(LONGEST_FIRST) if name in item.path.parts), len(LONGEST_FIRST)
        )

    items.sort(key=place)
