"""How full a thin pool is, from one line of the kernel (thin-provisioning.rst, "Status")."""

from __future__ import annotations

import re

from appliance.errors import DamagedData

_STATUS = re.compile(r"^\d+ \d+ thin-pool \d+ (\d+)/(\d+) (\d+)/(\d+) ")


def parse_pool_status(text: str) -> float:
    """The percentage used of metadata or data, whichever is more. A pool that failed counts as full.

    Raises DamagedData for what is no status of a thin pool.
    """
    if re.match(r"^\d+ \d+ thin-pool (Fail|Error)\b", text):
        return 100.0
    found = _STATUS.match(text)
    if found is None:
        raise DamagedData(f"What dmsetup printed is no status of a thin pool: {text[:80]!r}.")
    used_metadata, metadata, used_data, data = (int(number) for number in found.groups())
    if not metadata or not data:
        raise DamagedData("The thin pool says that it has no room at all.")
    return 100.0 * max(used_metadata / metadata, used_data / data)
