"""The lock of the appliance's venv: complete, every wheel with a hash, for the image's Python."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from appliance.errors import DamagedData
from appliance.image.wheels import FROM_DEBIAN, locked

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "elements/twinboot-python/requirements.lock"


def wanted() -> dict[str, str]:
    """Name → least version of what pyproject.toml says the appliance needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rows = project["dependencies"] + project["optional-dependencies"]["appliance"]
    split = [re.split(r"[>=]=", row) for row in rows]
    return {name: version for name, version in split if not name.startswith(FROM_DEBIAN)}


def test_every_dependency_is_locked_at_a_version_that_will_do() -> None:
    lock = locked(LOCK.read_text())
    for name, least in wanted().items():
        have = tuple(int(part) for part in lock[name].split("."))
        assert have >= tuple(int(part) for part in least.split(".")), name


def test_pip_is_locked_too_since_its_code_runs_in_the_build() -> None:
    assert "pip" in locked(LOCK.read_text())


def test_what_debian_brings_is_not_brought_twice() -> None:
    assert not set(FROM_DEBIAN) & set(locked(LOCK.read_text()))


@pytest.mark.parametrize(
    "line", ["rich==15.0.0", "rich", "rich>=15 --hash=sha256:" + "0" * 64, "rich==1 --hash=md5:0"]
)
def test_an_entry_without_version_or_hash_is_refused_by_name(line: str) -> None:
    with pytest.raises(DamagedData, match="rich"):
        locked(line + "\n")
