"""btrfs-progs' own words about two file systems, and which subvolume a machine starts from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import DamagedData
from appliance.host.run import Command, Effect, Output
from appliance.model.btrfs import TOP, BtrfsRoot, Subvolume
from appliance.probe import btrfs
from appliance.probe.btrfs import (
    as_started,
    named_at_top,
    named_in,
    parse_default,
    parse_generations,
    parse_ids,
    parse_shown,
    parse_subvolumes,
)

RECORDED = Path(__file__).parents[2] / "fixtures/recorded/btrfs"
ANSWERS = {
    ("list", "-p"): "list.txt",
    ("list", "-r"): "readonly.txt",
    ("get-default",): "default.txt",
    ("show",): "show.txt",
}


class Recorded:
    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, command: Command) -> Output:
        assert command.effect is Effect.READ and command.argv[-1] == "/at"
        key = next(k for k in ANSWERS if command.argv[2 : 2 + len(k)] == k)
        return Output(0, (RECORDED / self.name / ANSWERS[key]).read_text())


def look(name: str) -> BtrfsRoot:
    return btrfs.look(Recorded(name), Path("/at"))


def test_a_file_system_with_its_root_in_a_subvolume_called_at() -> None:
    found = look("at")
    assert (found.uuid, found.devices, found.default) == ("5f0c2a9e-6f3d-4f4c-9f0e-6a0e3e6f1a01", 1, TOP)
    assert {s.path: (s.id, s.parent, s.readonly) for s in found.subvolumes} == {
        "@": (256, 5, False),
        "@home": (257, 5, False),
        "@/var/lib/portables": (258, 256, False),
        "@/var/lib/machines": (259, 256, False),
        ".snap shots/day 1": (260, 5, True),
        "copy": (261, 5, False),
    }
    root = found.subvolume(found.at("/@"))
    assert root is not None and {s.path for s in found.subvolumes if s.copy_of == root.uuid} == {
        ".snap shots/day 1",
        "copy",
    }


def test_a_file_system_whose_default_subvolume_is_the_root() -> None:
    found = look("default")
    assert found.default == found.root == 258
    assert found.path(258) == "@/.snapshots/1/snapshot" and found.inside == ()
    assert as_started(found, "root=UUID=x ro quiet").starts == 258
    assert not as_started(found, "root=UUID=x ro quiet").named


@pytest.mark.parametrize(
    ("arguments", "starts"),
    [
        ("root=UUID=x rootflags=subvol=@ ro", 256),
        ("rootflags=compress=zstd,subvol=/@", 256),
        ("rootflags=subvolid=257", 257),
        ("rootflags=subvolid=5", TOP),
        ("rootflags=subvolid=0", TOP),
        ("rootflags=subvol=/", TOP),
        ("rootflags=subvol=@home rootflags=subvol=@", 256),
        ("rootflags=subvolid=257,subvol=@", 256),
        ("rootflags=subvol=@gone", 0),
        ("rootflags=subvolid=9999", 0),
        ("rootflags=subvolid=\u00b2", 0),
    ],
)
def test_what_a_command_line_names_is_started(arguments: str, starts: int) -> None:
    found = as_started(look("at"), arguments)
    assert found.named and found.starts == starts


def test_options_without_a_subvolume_name_none() -> None:
    assert named_in(look("at"), "defaults,noatime,compress=zstd") is None
    found = as_started(look("at"), "root=UUID=x rootflags=compress=zstd")
    assert (found.named, found.starts) == (False, TOP)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("defaults,subvol=@home", "@home"),
        ("subvol=/@home,compress=zstd", "@home"),
        ("subvol=@,subvol=@home", "@home"),
        ("subvolid=257,subvol=/@home", ""),
        ("subvolid=257", ""),
        ("subvol=@/var/lib/machines", ""),
        ("subvol=@gone", ""),
        ("subvol=/", ""),
        ("defaults", ""),
        ("", ""),
    ],
)
def test_data_that_fstab_finds_by_the_name_of_its_subvolume_alone(options: str, name: str) -> None:
    """By its id it would not be found any more once it changed places with a snapshot."""
    assert named_at_top(look("at"), options) == name


@pytest.mark.parametrize("name", ["my home", ".home", "home-tb1", "h" * 200])
def test_data_whose_name_could_be_none_of_ours_is_found_and_not_named(name: str) -> None:
    there = Subvolume(id=300, path=name, uuid="u300")
    assert named_at_top(BtrfsRoot(uuid="u", root=256, subvolumes=(there,)), f"subvol={name}") == ""


def test_subvolumes_inside_the_root_by_their_paths_in_it() -> None:
    found = look("at")
    inside = {
        found.path(id): BtrfsRoot(uuid="u", root=id, subvolumes=found.subvolumes).inside for id in (256, 257)
    }
    assert inside == {"@": ("var/lib/machines", "var/lib/portables"), "@home": ()}
    top = BtrfsRoot(uuid="u", root=TOP, subvolumes=found.subvolumes).inside
    assert top == tuple(sorted(s.path for s in found.subvolumes))


def test_subvolumes_that_stand_in_a_circle_are_inside_nothing() -> None:
    row = "ID {} gen 1 parent {} top level 1 parent_uuid - uuid u path p{}"
    rows = parse_subvolumes(f"{row.format(300, 301, 0)}\n{row.format(301, 300, 1)}\n")
    assert BtrfsRoot(uuid="u", root=256, subvolumes=rows).inside == ()


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_subvolumes, "ID 256 gen 8 top level 5 path @\n"),
        (parse_subvolumes, "ERROR: can't access '/at'\n"),
        (parse_ids, "nothing\n"),
        (parse_default, ""),
        (parse_default, "ID x (FS_TREE)"),
        (parse_shown, ""),
        (parse_generations, "Generation: 8"),
        (parse_shown, "Label: none  uuid: 5f0c2a9e-6f3d-4f4c-9f0e-6a0e3e6f1a01\n\tTotal devices\n"),
    ],
)
def test_words_that_are_none_of_theirs_are_damage(parse: object, text: str) -> None:
    assert callable(parse)
    with pytest.raises(DamagedData):
        parse(text)


@given(st.text())
def test_hostile_words_are_read_or_are_damage(text: str) -> None:
    for parse in (parse_subvolumes, parse_ids, parse_default, parse_shown, parse_generations):
        try:
            parse(text)
        except DamagedData as error:
            assert error.what
    named_in(look("at"), text)


def test_when_a_subvolume_was_changed_and_made() -> None:
    assert parse_generations((RECORDED / "at/subvolume.txt").read_text()) == (8, 7)
