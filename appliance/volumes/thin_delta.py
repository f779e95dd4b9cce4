"""What two thin volumes do not share, from thin_delta(8) on a reserved snapshot of the pool's metadata."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from appliance.errors import DamagedData
from appliance.volumes.base import Difference

_UNSHARED = {"different", "left_only", "right_only"}


def parse_delta(text: str) -> Difference:
    """Sum of the ranges that are not the same on both sides. Raises DamagedData.

    Lengths in the text are blocks of `data_block_size` 512-byte sectors (superblock's attribute).
    """
    try:
        root = ET.fromstring(text)
        block = int(root.attrib["data_block_size"]) * 512
        diffs = root.findall("diff")
        blocks = sum(int(r.attrib["length"]) for d in diffs for r in d if r.tag in _UNSHARED)
    except (ET.ParseError, KeyError, ValueError) as error:
        raise DamagedData(f"What thin_delta printed does not read: {error}.") from None
    if root.tag != "superblock" or len(diffs) != 1 or block <= 0:
        raise DamagedData("What thin_delta printed is not one difference of two volumes.")
    return Difference(bytes=blocks * block, block=block)
