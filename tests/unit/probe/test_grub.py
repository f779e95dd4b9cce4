"""What GRUB would start, read from its own grub.cfg."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.probe.grub import (
    default_choice,
    default_entry,
    parse_entries,
    parse_env_block,
    root_argument,
    sources_custom_cfg,
)
from tests.unit.probe.recorded import RECORDED

HEADER = """if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="DEFAULT"
fi
function gfxmode {
	set gfxpayload="${1}"
}
"""
ENTRIES = """menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple' {
	load_video
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	echo	'Loading Linux, it's here ...'
	linux	/vmlinuz-2 root=/dev/mapper/vg0-root ro  quiet
	initrd	/initrd.img-2
}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced' {
	menuentry 'Two' $menuentry_id_option 'two' {
		linux	/vmlinuz-2 root=/dev/mapper/vg0-root ro two
	}
	menuentry 'One' --id one {
		linux16	/vmlinuz-1 root=/dev/mapper/vg0-root ro one
		initrd16	/ucode /initrd.img-1
	}
}
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
	fwsetup
}
"""


def menu(default: str) -> str:
    return HEADER.replace("DEFAULT", default) + ENTRIES


def test_entries_nest_and_keep_their_kernel() -> None:
    first, submenu, firmware = parse_entries(menu("0"))
    assert (first.kernel, first.initrd, first.arguments) == (
        "/vmlinuz-2",
        "/initrd.img-2",
        "root=/dev/mapper/vg0-root ro quiet",
    )
    assert [(e.id, e.title) for e in submenu.children] == [("two", "Two"), ("one", "One")]
    assert submenu.children[1].initrd == "/initrd.img-1"
    assert firmware.kernel == ""


@pytest.mark.parametrize(
    ("default", "saved", "last"),
    [
        ("0", "", "quiet"),
        ("1>1", "", "one"),
        ("gnulinux-advanced>one", "", "one"),
        ("Advanced options>Two", "", "two"),
        ("1", "", "two"),
        ("${saved_entry}", "gnulinux-advanced>one", "one"),
        ("${saved_entry}", "", "quiet"),
        ("9", "", "quiet"),
        ("gone", "", "quiet"),
        ("1>gone", "", "quiet"),
    ],
)
def test_the_default_entry(default: str, saved: str, last: str) -> None:
    found = default_entry(menu(default), {"saved_entry": saved} if saved else {})
    assert found is not None and found.arguments.endswith(last)


def test_a_default_under_a_condition_gives_way_to_one_that_always_counts() -> None:
    fallback = "if [ x = y ]; then\n  if [ a ]; then set default=7; fi\n  set default=8\nfi\n"
    assert default_choice(menu("1>1") + fallback, {}) == "1>1"
    assert default_choice(menu("0") + fallback + "set default='9'\n" + fallback, {}) == "9"
    assert default_choice("", {"saved_entry": "x"}) == "0"


def test_an_empty_menu_starts_nothing() -> None:
    assert default_entry(HEADER, {}) is None


def test_the_recorded_menu() -> None:
    text = (RECORDED / "thin-bios/trees/twinboot-probe-1/grub/grub.cfg").read_text()
    assert sources_custom_cfg(text)
    found = default_entry(text, {})
    assert found is not None and found.kernel.startswith("/vmlinuz-6.1.0-50")
    assert root_argument(found.arguments) == "/dev/mapper/vg0-root"


def test_custom_cfg_must_be_sourced_not_merely_named() -> None:
    assert sources_custom_cfg("  source ${config_directory}/custom.cfg\n")
    assert not sources_custom_cfg("# source ${config_directory}/custom.cfg\n")
    assert not sources_custom_cfg("if [ -f ${config_directory}/custom.cfg ]; then\n")
    assert not sources_custom_cfg("source ${config_directory}/custom.cfg.bak\n")


def test_env_block() -> None:
    text = "# GRUB Environment Block\n# WARNING\nsaved_entry=a>b\n" + "#" * 900
    assert parse_env_block(text) == {"saved_entry": "a>b"}
    assert parse_env_block("saved_entry=a\n") == {}


def test_the_last_root_argument_counts() -> None:
    assert root_argument("root=/dev/a ro root=UUID=1=2") == "UUID=1=2"
    assert root_argument("ro quiet") == ""


WORDS = st.sampled_from(
    [
        "menuentry",
        "submenu",
        "'a'",
        '"',
        "'",
        "{",
        "}",
        "\n",
        "linux",
        "set default=",
        "${saved_entry}",
        "0>0>0",
        "#",
        "\\",
    ]
)


@given(st.one_of(st.text(max_size=300), st.lists(WORDS, max_size=80).map(" ".join)))
@settings(max_examples=200, deadline=None)
def test_hostile_text_is_read_never_a_traceback(text: str) -> None:
    default_entry(text, parse_env_block(text))
    sources_custom_cfg(text)


def test_submenus_without_end_are_read_without_running_out_of_stack() -> None:
    found = parse_entries("submenu 'x' {\n" * 5000 + "menuentry 'y' {\nlinux /k\n}\n")
    assert len(found) == 1
