"""The super blocks of a twin's mirror: the machine's own, in step with each other, newer than any other."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from appliance.errors import DamagedData
from appliance.twin.md_superblock import AHEAD, HEAD, checksum, in_form

RECORDED = Path(__file__).parents[2] / "fixtures/recorded/mdadm"
LEGS = tuple(gzip.decompress((RECORDED / f"leg{n}.head.gz").read_bytes()) for n in (0, 1))
NAMES = ("/dev/vda4", "/dev/vdb2")
AT, HEADER, SIZE = 4096, 2048, 0
"""Of the recorded array: where its super blocks are in bytes, the sectors before its content."""


def number(raw: bytes, at: int, form: str = "<Q") -> int:
    found: int = struct.unpack_from(form, raw, at)[0]
    return found


def header_of(head: bytes) -> int:
    return number(head, AT + 0x80)


def composed(heads: tuple[bytes, ...] = LEGS, size: int = 0) -> list[bytes]:
    patches = in_form(heads, NAMES, header_of(LEGS[0]), size)
    assert [patch.offset for patch in patches] == [AT, AT]
    return [patch.data for patch in patches]


def changed(head: bytes, at: int, value: bytes, *, sealed: bool = True) -> bytes:
    raw = bytearray(head)
    raw[AT + at : AT + at + len(value)] = value
    if sealed:
        length = 256 + 2 * number(head, AT + 0xDC, "<I")
        raw[AT + 0xD8 : AT + 0xDC] = checksum(bytes(raw[AT : AT + length])).to_bytes(4, "little")
    return bytes(raw)


def test_the_recorded_ones_are_summed_up_as_the_kernel_does() -> None:
    for head in LEGS:
        length = 256 + 2 * number(head, AT + 0xDC, "<I")
        assert checksum(head[AT : AT + length]) == number(head, AT + 0xD8, "<I")


def test_identity_roles_and_places_are_the_machine_s_own() -> None:
    for head, made in zip(LEGS, composed(), strict=True):
        was = head[AT : AT + len(made)]
        differ = {at for at, (a, b) in enumerate(zip(was, made, strict=True)) if a != b}
        may = {0x8, *range(0xC8, 0xD8), *range(0xD8, 0xDC)}
        assert differ <= may, "features, events, resync and the sum of it all"
        assert checksum(made) == number(made, 0xD8, "<I")


def test_both_are_in_step_and_newer_than_what_the_twin_does_not_have() -> None:
    events = [number(head, AT + 0xC8) for head in LEGS]
    ahead = changed(LEGS[1], 0xC8, struct.pack("<Q", events[1] + 3))
    for made in composed((LEGS[0], ahead)):
        assert number(made, 0xC8) == events[1] + 3 + AHEAD
        assert number(made, 0xD0) == (1 << 64) - 1


def test_one_that_is_being_written_is_made_clean() -> None:
    dirty = changed(LEGS[0], 0xD0, bytes(8))
    assert number(composed((dirty, LEGS[1]))[0], 0xD0) == (1 << 64) - 1


def test_there_is_no_bitmap_that_could_be_out_of_date() -> None:
    assert number(LEGS[0], AT + 8, "<I") & 1, "the recorded array has one"
    assert all(number(made, 8, "<I") == number(LEGS[0], AT + 8, "<I") & ~1 for made in composed())


def test_it_is_as_long_as_the_twin_s_content() -> None:
    was = number(LEGS[0], AT + 0x50)
    for made in composed(size=was + 4096):
        assert (number(made, 0x50), number(made, 0x88)) == (was + 4096, was + 4096)
    for made in composed(size=was):
        assert number(made, 0x50) == was and number(made, 0x88) == number(LEGS[0], AT + 0x88)


@pytest.mark.parametrize(
    ("leg", "said"),
    [
        (changed(LEGS[1], 0, bytes(4), sealed=False), "not where it should be"),
        (changed(LEGS[1], 4, struct.pack("<I", 2)), "not where it should be"),
        (changed(LEGS[1], 0x90, struct.pack("<Q", 0)), "not where it should be"),
        (changed(LEGS[1], 0xDC, struct.pack("<I", 4000), sealed=False), "not where it should be"),
        (changed(LEGS[1], 0x20, b"other", sealed=False), "damaged"),
        (changed(LEGS[1], 0x80, struct.pack("<Q", 8)), "does not begin where"),
        (LEGS[1][: HEAD // 2], "not where it should be"),
        (b"", "not where it should be"),
    ],
)
def test_a_leg_that_is_not_as_it_should_be_is_named(leg: bytes, said: str) -> None:
    with pytest.raises(DamagedData, match=f"/dev/vdb2.*{said}"):
        composed((LEGS[0], leg))
