"""The header of a twin's disk: in form the machine's, with nothing in it that opens the machine's."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import DamagedData
from appliance.host.run import Command, Effect, RealHost
from appliance.twin.luks_header import BINARY, Form, form_of, in_form_only
from appliance.twin.own_key import PASSPHRASE, make_header
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


FORM = Form("7c41d0e9-3b58-4f26-8e1d-a95f02c6b738", "", "", "aes-xts-plain64", 16 << 20, 512, ())


def made(slot: bytes = b"k" * 4096) -> bytes:
    """As cryptsetup makes one, with one key slot."""
    area = {"type": "raw", "offset": str(2 * COPY), "size": str(len(slot))}
    return saying(keyslots={"0": {"type": "luks2", "area": area}}) + slot


def test_what_the_machine_s_own_says_of_the_device() -> None:
    assert form_of(HEAD, "/dev/vda4") == FORM
    named = bytearray(saying(config={"json_size": "12288", "flags": ["allow-discards"]}))
    for at in (0, COPY):
        named[at + 24 : at + 30] = b"vault1"
        named[at + 208 : at + 211] = b"sub"
    copies = [sealed(bytes(named[at : at + COPY])) for at in (0, COPY)]
    form = form_of(b"".join(copies), "/dev/vda4")
    assert (form.label, form.subsystem, form.flags) == ("vault1", "sub", ("allow-discards",))


def test_nothing_but_cipher_flags_and_checksum_differs_from_what_was_made() -> None:
    head = made()
    *patches, slot = in_form_only(head, ("allow-discards",), "/dev/vda4")
    assert slot == Patch(2 * COPY, b"k" * 4096)
    assert [patch.offset for patch in patches] == [0, COPY]
    for patch in patches:
        was = head[patch.offset : patch.offset + COPY]
        assert (
            len(patch.data) == COPY
            and patch.data[:448] == was[:448]
            and patch.data[512:BINARY] == was[512:BINARY]
        )
        assert sealed(patch.data) == patch.data
        before, after = text_of(was), text_of(patch.data)
        assert before["segments"]["0"].pop("encryption") == "aes-xts-plain64"
        assert after["segments"]["0"].pop("encryption") == "cipher_null-ecb"
        assert after["config"].pop("flags") == ["allow-discards"]
        assert before == after


@pytest.mark.root
def test_cryptsetup_opens_it_by_its_own_key_and_by_no_other(tmp_path: Path) -> None:
    """The real one, on a file; locks of its own lie in /run."""
    form = Form(FORM.uuid, "vault1", "sub", "aes-cbc-essiv:sha256", 8 << 20, 4096, ("allow-discards",))
    host, device = RealHost(), tmp_path / "device"
    head = make_header(host, form, tmp_path / "lvm/header")
    assert list((tmp_path / "lvm").iterdir()) == [], "it is made in memory, and gone"
    with device.open("wb") as file:
        for patch in in_form_only(head, form.flags, "/dev/vda4"):
            file.seek(patch.offset)
            file.write(patch.data)
        file.truncate(form.offset + (1 << 20))
    beginning = device.read_bytes()[:65536]
    assert form_of(beginning, "x") == Form(
        form.uuid, "vault1", "sub", "cipher_null-ecb", form.offset, 4096, ("allow-discards",)
    )
    opened = ("cryptsetup", "open", "--test-passphrase", "--key-file", "-", str(device))
    statuses = [
        host.run(Command(opened, Effect.READ, ok=frozenset({0, 2}), timeout=60, stdin=word)).status
        for word in (PASSPHRASE, b"correct horse", b"   ")
    ]
    assert statuses == [0, 2, 2]


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
        form_of(head, "/dev/vda4")


@pytest.mark.parametrize("more", [{"offset": "a lot"}, {"sector_size": None}])
def test_one_that_does_not_say_where_its_content_begins_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(DamagedData, match="/dev/vda4 does not say where"):
        form_of(saying(segments={"0": SEGMENT | {"encryption": "a"} | more}), "/dev/vda4")


def test_text_that_would_not_fit_is_refused() -> None:
    """A shorter cipher made longer: the text may fill its area to the last byte but one."""
    room = COPY - BINARY
    filled = saying(segments={"0": SEGMENT | {"encryption": "a"}}, keyslots={}, more="")
    length = len(json.dumps(text_of(filled[:COPY]), separators=(",", ":")))
    copies = []
    for at in (0, COPY):
        text = text_of(filled[at : at + COPY]) | {"more": "x" * (room - length - 5)}
        body = json.dumps(text, separators=(",", ":")).encode().ljust(room, b"\0")
        copies.append(sealed(filled[at : at + BINARY] + body))
    with pytest.raises(DamagedData, match="no room"):
        in_form_only(b"".join(copies), (), "/dev/vda4")
