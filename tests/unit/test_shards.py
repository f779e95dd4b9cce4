"""The parts of a long run: together they are all of it, and no file is in two."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import pytest

from tests.lab.shards import Shard

FILES = [Path(f"tests/e2e/test_{letter}.py") for letter in "hgfedcba"]


@pytest.mark.parametrize("of", range(1, 10))
def test_each_file_is_in_one_part(of: int) -> None:
    parts = [Shard(number, of).files(FILES * 2) for number in range(1, of + 1)]
    assert Counter(file for part in parts for file in part) == dict.fromkeys(FILES, 1)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_the_same_part_has_the_same_files_in_whatever_order_they_were_found() -> None:
    assert Shard(2, 3).files(FILES) == Shard(2, 3).files(reversed(FILES)) == {FILES[6], FILES[3], FILES[0]}


def test_a_run_without_parts_is_all_of_it() -> None:
    assert Shard().files(FILES) == set(FILES)
    assert Shard.parse("2/4") == Shard(2, 4)


@pytest.mark.parametrize("text", ["", "2", "0/4", "5/4", "1/0", "-1/2", "1/2/3", "a/b", "1/ 2", "1/1000"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no part such as 2/4"):
        Shard.parse(text)
