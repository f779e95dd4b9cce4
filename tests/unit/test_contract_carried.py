"""The contract's tests go to a machine alone: they need nothing else of tests/."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.e2e.test_contract import carried

REPOSITORY = Path(__file__).parents[2]


def test_what_is_carried_is_collected_whole(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(carried())) as tar:
        tar.extractall(tmp_path, filter="data")
    collect = "-m pytest -q --collect-only -c /dev/null --rootdir=. tests/contract"
    said = subprocess.run(
        [sys.executable, *collect.split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout[-3000:]
    for file in sorted((REPOSITORY / "tests/contract").glob("test_*.py")):
        assert f"tests/contract/{file.name}::" in said.stdout, file.name
