"""A machine whose initrd is gone from /boot: a repaired copy is promoted all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import Refused
from tests.crash.grubmachine import OLD
from tests.crash.lab import wanted
from tests.crash.test_cuts import LOADER, boot_on, boots, installed


def test_the_trial_boots_and_the_way_back_is_as_broken_as_it_was(tmp_path: Path) -> None:
    place = installed()
    del place.names[f"initrd.img-{OLD}"]
    boot, disk = boot_on(place)
    LOADER.stage(boot, wanted(tmp_path))
    assert LOADER.staged(boot, wanted(tmp_path))
    LOADER.arm(boot, "tb1")
    first, second, _ = boots(disk.place)
    assert first == "trial"
    assert second == f"kernel {OLD} with initrd ''", "tried as it is, and nothing is made up for it"


def test_a_kernel_that_is_gone_is_still_refused(tmp_path: Path) -> None:
    place = installed()
    del place.names[f"vmlinuz-{OLD}"]
    boot, _ = boot_on(place)
    with pytest.raises(Refused, match=f"vmlinuz-{OLD}, is not there"):
        LOADER.stage(boot, wanted(tmp_path))
