"""The contract of the storages on the appliance's own LVM and device-mapper, not on a model of them."""

from __future__ import annotations

import io
import re
import tarfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.lab.appliance import DEBUG_SHELL, Appliance
from tests.lab.circle import IMAGE
from tests.lab.hardware import Hardware
from tests.lab.installed import SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.stick import prepare

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(5400)]

TESTS = Path(__file__).parents[1]
PYTEST = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
"""What pytest needs to run: all of it plain Python, so the appliance's own interpreter takes it as it is."""


@pytest.mark.parametrize("storage", ["real-thin", "real-thick", "real-btrfs", "real-partition"])
def test_a_storage_keeps_its_contract_on_real_volumes(tmp_path: Path, storage: str) -> None:
    stick = prepare(IMAGE, tmp_path / "contract.img", {"contract.tar": carried()}, DEBUG_SHELL)
    with Machine.with_system(
        installed_system(SystemSpec()), Hardware(), folder=tmp_path / "machine"
    ) as machine:
        machine.insert_stick(stick)
        shell = Appliance.boot(machine).shell
        shell.read("mkdir /run/contract; cd /run/contract; tar xf /run/twinboot/data/contract.tar", limit=300)
        said = shell.run(
            "TWINBOOT_CONTRACT=real PYTHONPATH=/run/contract /opt/twinboot/bin/python"
            " -m pytest -q -p no:cacheprovider --color=no -c /dev/null -o markers=root --rootdir=."
            f" -k {storage} tests/contract",
            limit=4800,
        )
        assert said.status == 0, said.text[-6000:]
        assert re.search(r"\b\d{2} passed(, \d skipped)?, \d+ deselected in", said.text), said.text[-500:]
        print(said.text[-500:])
        assert shell.read("losetup -n -l -O BACK-FILE | grep -c contract || true").strip() == "0"


def carried() -> bytes:
    """A tar of the contract's tests and of the pytest that runs here."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in (
            TESTS / "__init__.py",
            *sorted((TESTS / "contract").glob("*.py")),
        ):
            tar.add(path, f"tests/{path.relative_to(TESTS)}")
        for name in PYTEST:
            for file in distribution(name).files or ():
                if ".." not in file.parts and (file.suffix == ".py" or file.parent.suffix == ".dist-info"):
                    tar.add(str(file.locate()), str(file))
    return out.getvalue()
