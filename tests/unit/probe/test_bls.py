"""Type 1 entries as GRUB's blscfg and systemd-boot take them, their names and both orders of the menu."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.probe.bls import (
    BlsEntry,
    Name,
    for_grub,
    for_systemd_boot,
    in_grub_order,
    in_systemd_boot_order,
    parse_lines,
    parse_name,
    version_key,
)
from appliance.probe.loader_conf import Asked, LoaderConf, choose, parse_loader_conf

MACHINE = "1f2e3d4c5b6a79880011223344556677"
FEDORA = f"""title Fedora Linux (6.11.4-301.fc41.x86_64) 41 (Server Edition)
version 6.11.4-301.fc41.x86_64
linux /vmlinuz-6.11.4-301.fc41.x86_64
initrd /initramfs-6.11.4-301.fc41.x86_64.img $tuned_initrd
options $kernelopts $tuned_params
grub_users $grub_users
grub_arg --unrestricted
grub_class fedora
id {MACHINE}
"""
DEBIAN = f"""# Boot Loader Specification type#1 entry
title      Debian GNU/Linux 12 (bookworm)
version    6.1.0-28-amd64
machine-id {MACHINE}
sort-key   debian
options    root=/dev/mapper/vg0-root ro
options    quiet
linux      /{MACHINE}/6.1.0-28-amd64/linux
initrd     /{MACHINE}/6.1.0-28-amd64/initrd.img-6.1.0-28-amd64
"""


def entry(file: str, more: str = "") -> BlsEntry:
    found = for_systemd_boot(file, f"linux /k\n{more}")
    assert found is not None
    return found


def test_grub_fills_the_command_line_from_its_environment() -> None:
    found = for_grub(
        f"{MACHINE}-6.11.4-301.fc41.x86_64.conf",
        FEDORA,
        {"kernelopts": "root=/dev/mapper/fedora-root ro rd.lvm.lv=fedora/root"},
    )
    assert found is not None
    assert found.options == "root=/dev/mapper/fedora-root ro rd.lvm.lv=fedora/root"
    assert found.linux == "/vmlinuz-6.11.4-301.fc41.x86_64"
    assert found.title == "Fedora Linux (6.11.4-301.fc41.x86_64) 41 (Server Edition)"
    assert found.name.stem == f"{MACHINE}-6.11.4-301.fc41.x86_64"


def test_grub_takes_default_kernelopts_where_an_entry_has_no_options() -> None:
    found = for_grub("a.conf", "linux /k\n", {"default_kernelopts": "root=/dev/sda2 ro"})
    assert found is not None and found.options == "root=/dev/sda2 ro"


def test_a_line_without_a_value_ends_an_entry_for_grub_only() -> None:
    text = "linux /k\n# more\n\noptions root=/dev/sda2\n"
    grub, other = for_grub("a.conf", text, {}), for_systemd_boot("a.conf", text)
    assert grub is not None and grub.options == ""
    assert other is not None and other.options == "root=/dev/sda2"


def test_of_two_lines_grub_takes_the_first_and_systemd_boot_the_last_or_both() -> None:
    text = 'title One\ntitle "Two"\nlinux /k\noptions a\noptions b\n'
    grub, other = for_grub("a.conf", text, {}), for_systemd_boot("a.conf", text)
    assert grub is not None and (grub.title, grub.options) == ("One", "a")
    assert other is not None and (other.title, other.options) == ("Two", "a b")


def test_systemd_boots_form_of_debian() -> None:
    found = for_systemd_boot(f"{MACHINE}-6.1.0-28-amd64+3.conf", DEBIAN)
    assert found is not None
    assert found.options == "root=/dev/mapper/vg0-root ro quiet"
    assert (found.sort_key, found.machine_id, found.version) == ("debian", MACHINE, "6.1.0-28-amd64")
    assert found.initrds == (f"/{MACHINE}/6.1.0-28-amd64/initrd.img-6.1.0-28-amd64",)
    assert (found.id, found.name.left, found.name.done) == (f"{MACHINE}-6.1.0-28-amd64.conf", 3, 0)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.conf", "title nothing to start\n"),
        ("a.conf", "linux /k\nefi /e\n"),
        ("a.conf", "linux /k\narchitecture aa64\n"),
        ("auto-a.conf", "linux /k\n"),
        (".a.conf", "linux /k\n"),
        ("a.conf.rpmsave", "linux /k\n"),
    ],
)
def test_what_systemd_boot_does_not_show(file: str, text: str) -> None:
    assert for_systemd_boot(file, text) is None


@pytest.mark.parametrize(
    ("file", "text"), [("a.conf", "efi /e\n"), (".conf", "linux /k\n"), ("a", "linux /k\n")]
)
def test_what_grub_does_not_show(file: str, text: str) -> None:
    assert for_grub(file, text, {}) is None


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("debian-6.1.conf", Name(stem="debian-6.1")),
        ("debian-6.1+3.conf", Name(stem="debian-6.1", left=3, done=0)),
        ("debian-6.1+2-1.conf", Name(stem="debian-6.1", left=2, done=1)),
        ("debian-6.1+0-3.efi", Name(stem="debian-6.1", left=0, done=3)),
        ("6.1+deb12+00003-0001.CONF", Name(stem="6.1+deb12", left=3, done=1)),
        ("6.1.0+deb12.conf", Name(stem="6.1.0+deb12")),
        ("a+.conf", Name(stem="a+")),
        ("a+1-.conf", Name(stem="a+1-")),
        ("a+99999999999999999999999.conf", Name(stem="a+99999999999999999999999")),
        ("a+2147483648.conf", Name(stem="a+2147483648")),
    ],
)
def test_the_counter_of_a_name(file: str, name: Name) -> None:
    assert parse_name(file) == name


def test_grub_lists_the_newest_first_and_the_rescue_entry_last() -> None:
    newest_first = [
        "5.14.0-570.12.1.el9_6.x86_64",
        "5.14.0-570.9.el9.x86_64",
        "5.14.0-427.el9.x86_64",
        "4.18.0-553.el8_10.x86_64",
        "0-rescue",
    ]
    files = [f"{MACHINE}-{version}.conf" for version in newest_first]
    for shuffled in itertools.permutations(files):
        found = [for_grub(file, "linux /k\n", {}) for file in shuffled]
        assert [e.file for e in in_grub_order(e for e in found if e)] == files


def test_the_order_of_systemd_boot() -> None:
    expected = [
        entry("new+1-2.conf", "sort-key debian\nmachine-id a\nversion 6.1.0-28"),
        entry("old.conf", "sort-key debian\nmachine-id a\nversion 6.1.0-9"),
        entry("other.conf", "sort-key debian\nmachine-id b\nversion 9"),
        entry("first.conf", "sort-key fedora\nmachine-id a\nversion 9"),
        entry("z-10.conf", "version 1"),
        entry("z-9.conf", "version 2"),
        entry("spent+0-3.conf", "sort-key a\nversion 99"),
    ]
    for shuffled in itertools.permutations(expected):
        assert list(in_systemd_boot_order(shuffled)) == expected


# From the UAPI group's Version Format Specification, its list of examples and rules.
ASCENDING = [
    ["122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1", "123-1.1", "123^post1", "123.a-1", "123.1-1"],
    ["123a-1", "124-1"],
    ["", "0", "1"],
    ["1~", "1~1", "1", "1-", "1^", "1."],
    ["6.1.0-9-amd64", "6.1.0-28-amd64", "6.12.1-1"],
]


@pytest.mark.parametrize("versions", ASCENDING)
def test_the_order_of_versions(versions: list[str]) -> None:
    keys = [version_key(version) for version in versions]
    assert all(older < newer for older, newer in itertools.pairwise(keys))


def test_versions_that_compare_equal() -> None:
    assert version_key("00123") == version_key("123")
    assert version_key("1_2") == version_key("1+2")


def test_loader_conf_says_what_is_started() -> None:
    conf = parse_loader_conf("#timeout 3\r\ntimeout 5\r\ndefault Debian-*\r\nconsole-mode keep\r\n")
    assert conf == LoaderConf(default="debian-*", timeout="5")
    entries = [entry("debian-6.1.conf"), entry("debian-6.9.conf"), entry("fedora-6.11.conf")]
    assert choose(entries, conf) == entries[1]
    assert choose(entries, LoaderConf()) == entries[2]
    assert choose(entries, LoaderConf(default="gone-*")) == entries[2]
    assert choose(entries, conf, Asked(once="debian-6.1.conf")) == entries[0]
    assert choose(entries, conf, Asked(default="fedora-6.11.conf")) == entries[2]
    assert choose(entries, LoaderConf(default="@saved"), Asked(last="debian-6.1.conf")) == entries[0]
    assert choose([], conf) is None


def test_an_entry_out_of_tries_is_passed_over_unless_it_is_named() -> None:
    spent, good = entry("b+0-3.conf"), entry("a.conf")
    assert choose([spent, good], LoaderConf()) == good
    assert choose([spent], LoaderConf()) == spent
    assert choose([spent, good], LoaderConf(default="b.conf")) == spent


WORDS = st.sampled_from(
    ["linux", "title", "options", "$", "$a", "\n", "\r", "\t", " ", "#", '"', "/k", "efi"]
)
HOSTILE = st.one_of(st.text(max_size=300), st.lists(WORDS, max_size=60).map("".join))


@given(HOSTILE, HOSTILE)
@settings(max_examples=300, deadline=None)
def test_hostile_text_is_read_and_its_lines_are_the_text(text: str, name: str) -> None:
    assert "".join(line.raw for line in parse_lines(text)) == text
    found = [for_systemd_boot(f"{name}.conf", text), for_grub(f"{name}.conf", text, {"a": "$a"})]
    in_grub_order(e for e in found if e)
    choose([e for e in found if e], parse_loader_conf(text), Asked(once=name, default=text))
