"""What several files of this folder ask for."""

from __future__ import annotations

import pytest

from appliance.model.machine import Storage
from appliance.volumes import choose


@pytest.fixture
def lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one refusal of thick systems, lifted."""
    monkeypatch.setattr(choose, "REHEARSED", frozenset({Storage.LVM_THIN, Storage.LVM_THICK}))
