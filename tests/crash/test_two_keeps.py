"""A person keeps the trial while its unit is still looking, or keeping, too."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from appliance.boot.shapes import BootState
from tests.crash.lab import LOADER, NEW_ROOT, opened
from tests.crash.metal import Metal
from tests.crash.test_metal import on_trial

pytestmark = pytest.mark.root


def test_what_a_person_has_kept_is_not_given_back_by_the_unit(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot)
        assert metal.call("keep") == 0
        metal.facts.remove("end")
        assert metal.call("confirm") == 0
        assert not metal.rebooted and "NOT kept" not in metal.said("console")
        view = LOADER.view(boot)
        assert view.state is BootState.KEPT and "kept yes\n" in view.result


def test_two_keeps_at_once_keep_it_once(disk: Path, tmp_path: Path) -> None:
    """The unit and `twinboot-keep`: each takes its time in grub-mkconfig, and both use one name for it."""
    slow = tmp_path / "slow"
    slow.mkdir()
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot, path=f"{slow}:")
        real = metal.work / "bin/grub-mkconfig"
        (slow / "grub-mkconfig").write_text(f'#!/bin/sh\nsleep 1\nsh {real} "$@"\nsleep 1\n')
        (slow / "grub-mkconfig").chmod(0o755)
        person = dataclasses.replace(metal, facts=list(metal.facts))
        status: dict[str, int] = {}
        unit = threading.Thread(target=lambda: status.update(unit=metal.call("confirm")))
        unit.start()
        threading.Event().wait(1.6)
        status["person"] = person.call("keep")
        unit.join(60)
        view = LOADER.view(boot)
        assert view.state is BootState.KEPT and view.own is not None and view.own.root == NEW_ROOT
        assert status == {"unit": 0, "person": 0}
        assert not metal.rebooted and "kept yes\n" in view.result
