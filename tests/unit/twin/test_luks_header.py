"""The header of a twin's disk: the machine's own in all but the cipher, or none at all."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import DamagedData
from appliance.twin.luks_header import BINARY, in_form_only
from appliance.twin.tables import Patch

RECORDED = Path(__file__).parents[2] / "fixtures/recorded/luks/luks2-header.gz"
HEAD = gzip.decompress(RECORDED.read_bytes())
COPY = 16384


def text_of(copy: bytes) -> dict[str, Any]:
    return dict(json.loads(copy[BINARY:].partition(b"\0")[0]))


def sealed(copy: bytes) -> bytes:
    """With the checksum that is right for it, as cryptsetup would write it."""
    bare = copy[:448] + bytes(64) + copy[512:]
    return bare[:448] + hashlib.sha256(bare).digest() + bytes(32) + bare[512:]


def saying(**changed: Any) -> bytes:
    """Both copies with other segments and the like, sealed."""
    copies = []
    for at in (0, COPY):
        copy = HEAD[at : at + COPY]
        text = json.dumps(text_of(copy) | changed).encode()
        copies.append(sealed(copy[:BINARY] + text.ljust(COPY - BINARY, b"\0")))
    return b"".join(copies)


def test_the_recorded_one_is_sealed_as_the_format_says() -> None:
    assert sealed(HEAD[:COPY]) == HEAD[:COPY] and sealed(HEAD[COPY:]) == HEAD[COPY:]


def test_nothing_but_the_cipher_and_the_checksum_differs() -> None:
    patches = in_form_only(HEAD, "/dev/vda4")
    assert [patch.offset for patch in patches] == [0, COPY]
    for patch in patches:
        was = HEAD[patch.offset : patch.offset + COPY]
        assert (
            len(patch.data) == COPY
            and patch.data[:448] == was[:448]
            and patch.data[512:BINARY] == was[512:BINARY]
        )
        assert sealed(patch.data) == patch.data
        before, after = text_of(was), text_of(patch.data)
        assert before["segments"]["0"].pop("encryption") == "aes-xts-plain64"
        assert after["segments"]["0"].pop("encryption") == "cipher_null-ecb"
        assert before == after, "key slots, digests, tokens and places are the machine's own"


def test_of_what_it_made_it_makes_the_same() -> None:
    once = b"".join(patch.data for patch in in_form_only(HEAD, "x"))
    assert in_form_only(once, "x") == (Patch(0, once[:COPY]), Patch(COPY, once[COPY:]))


SEGMENT = {"type": "crypt", "offset": "16777216", "size": "dynamic", "iv_tweak": "0", "sector_size": 512}


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"", "cut short"),
        (HEAD[:BINARY], "odd size"),
        (HEAD[:COPY], "odd size"),
        (HEAD[COPY:] + HEAD[:COPY], "not of a kind that is known"),
        (HEAD[:9000] + b"x" + HEAD[9001:], "its checksum does not fit"),
        (HEAD[: COPY + 9000] + b"x" + HEAD[COPY + 9001 :], "its checksum does not fit"),
        (sealed(HEAD[:6] + b"\0\1" + HEAD[8:COPY]) + HEAD[COPY:], "not of a kind that is known"),
        (saying(segments={}), "one encrypted segment"),
        (saying(segments=[SEGMENT]), "one encrypted segment"),
        (saying(segments={"0": SEGMENT}), "content of a kind"),
        (saying(segments={"0": SEGMENT | {"encryption": "a", "integrity": {}}}), "content of a kind"),
        (saying(segments={"0": SEGMENT | {"encryption": "a"}, "1": SEGMENT}), "one encrypted segment"),
        (saying(segments={"0": {"type": "linear", "encryption": "a"}}), "content of a kind"),
    ],
)
def test_any_other_is_refused_by_name(head: bytes, why: str) -> None:
    with pytest.raises(DamagedData, match=f"/dev/vda4 .*{why}"):
        in_form_only(head, "/dev/vda4")


def test_text_that_would_not_fit_is_refused() -> None:
    """A shorter cipher made longer: the text may fill its area to the last byte but one."""
    room = COPY - BINARY
    filled = saying(segments={"0": SEGMENT | {"encryption": "a"}}, more="")
    length = len(json.dumps(text_of(filled[:COPY]), separators=(",", ":")))
    copies = []
    for at in (0, COPY):
        text = text_of(filled[at : at + COPY]) | {"more": "x" * (room - length - 5)}
        body = json.dumps(text, separators=(",", ":")).encode().ljust(room, b"\0")
        copies.append(sealed(filled[at : at + BINARY] + body))
    with pytest.raises(DamagedData, match="no room"):
        in_form_only(b"".join(copies), "/dev/vda4")
