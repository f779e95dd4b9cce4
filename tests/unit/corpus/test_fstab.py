"""Every fstab of the corpus is read alike by the probe and by the editor, and comes back byte for byte."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from appliance.boot import fstab as editor
from appliance.errors import BootConfigFailed, DamagedData
from appliance.probe.fstab import is_volume, parse_fstab

CORPUS = Path(__file__).parents[2] / "fixtures/corpus"
INDEX: dict[str, dict[str, Any]] = tomllib.loads((CORPUS / "fstab.toml").read_text())
WHOLE = sorted(name for name in INDEX if "damaged" not in INDEX[name])
DAMAGED = sorted(name for name in INDEX if "damaged" in INDEX[name])
ROOTED = [name for name in WHOLE if INDEX[name]["root"]]
TRIAL = "/dev/mapper/vg0-root--tb1"


def data_of(name: str) -> bytes:
    return (CORPUS / "fstab" / name).read_bytes()


def test_the_corpus_is_what_its_index_says() -> None:
    assert len(WHOLE) >= 40
    assert sorted(INDEX) == sorted(path.name for path in (CORPUS / "fstab").iterdir())
    assert all(len(INDEX[name]["source"]) > 10 for name in INDEX)


@pytest.mark.parametrize("name", WHOLE)
def test_it_is_read_as_the_index_says(name: str) -> None:
    wanted, entries = INDEX[name], parse_fstab(data_of(name).decode())
    assert len(entries) == wanted["lines"]
    assert [e.spec for e in entries if e.target == "/"] == [wanted["root"]] * bool(wanted["root"])
    assert [e.target for e in entries if is_volume(e)] == wanted["volumes"]


@pytest.mark.parametrize("name", WHOLE)
def test_probe_and_editor_read_the_same(name: str) -> None:
    assert editor.parse(data_of(name)) == parse_fstab(data_of(name).decode())


@pytest.mark.parametrize("name", ROOTED)
def test_the_root_is_turned_and_turned_back_byte_for_byte(name: str, tmp_path: Path) -> None:
    original, file, first = data_of(name), tmp_path / "etc/fstab", tmp_path / "first"
    file.parent.mkdir()
    file.write_bytes(original)
    editor.point(tmp_path, {"/": TRIAL}, first)
    edited = file.read_bytes()
    assert first.read_bytes() == original
    before, after = original.split(b"\n"), edited.split(b"\n")
    (number,) = (n for n, (old, new) in enumerate(zip(before, after, strict=True)) if old != new)
    assert after[number].split()[0] == TRIAL.encode()
    assert after[number].split()[1:] == before[number].split()[1:]
    assert [e.target for e in editor.parse(edited)] == [e.target for e in editor.parse(original)]
    editor.turn_back(tmp_path, first)
    assert file.read_bytes() == original


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_line_is_named_by_its_number(name: str) -> None:
    with pytest.raises(DamagedData) as told:
        parse_fstab(data_of(name).decode())
    assert INDEX[name]["damaged"] in told.value.what


def test_where_no_line_mounts_the_root_nothing_is_edited(tmp_path: Path) -> None:
    with pytest.raises(BootConfigFailed, match="0 lines for /; exactly one is needed"):
        editor.with_spec(data_of("empty-but-root-by-gpt"), "/", TRIAL)
