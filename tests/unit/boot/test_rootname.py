"""One name for what a command line starts: a device, and on btrfs a subvolume of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.boot import entries, rootname
from appliance.boot.shapes import Artifacts, Entry, StagedSystem
from appliance.errors import BootConfigFailed

KEEP = Path(rootname.__file__).parent / "confirm/keep.sh"


@pytest.mark.parametrize(
    ("options", "root"),
    [
        ("root=/dev/mapper/vg0-root ro quiet", "/dev/mapper/vg0-root"),
        ("root=UUID=ab-12 ro rootflags=subvol=@ quiet", "UUID=ab-12[/@]"),
        ("root=UUID=ab-12 rootflags=noatime,subvol=/@/x,ssd", "UUID=ab-12[/@/x]"),
        ("rootflags=subvol=@ root=UUID=ab-12", "UUID=ab-12[/@]"),
        ("root=UUID=ab-12 rootflags=subvol=@ rootflags=subvol=@new", "UUID=ab-12[/@new]"),
        ("root=UUID=ab-12 rootflags=subvol=@ rootflags=noatime", "UUID=ab-12"),
        ("root=UUID=ab-12 rootflags=subvolid=261", "UUID=ab-12[#261]"),
        ("root=UUID=ab-12 rootflags=subvol=/", "UUID=ab-12[/]"),
        ("root=UUID=ab-12 rootflags=data=ordered", "UUID=ab-12"),
        ("ro quiet rootflags=subvol=@", ""),
    ],
)
def test_what_a_command_line_names(options: str, root: str) -> None:
    assert rootname.root_of(options) == root
    assert rootname.is_one(root) is (root.startswith("/dev/mapper/") or "[" in root)


@pytest.mark.parametrize(
    "root",
    ["UUID=ab-12[/@-tb1]", "UUID=ab-12[#261]", "UUID=ab-12[/]", "/dev/mapper/vg0-root", "/dev/vda2[/@]"],
)
@pytest.mark.parametrize(
    "options",
    ["ro quiet", "root=UUID=ab-12 ro rootflags=noatime,subvol=@ quiet", "root=/dev/sda1 rootflags=x"],
)
def test_what_is_written_is_what_is_read(options: str, root: str) -> None:
    if "[" not in root and "subvol" in options:
        return  # a whole device: a subvolume that was named stays named
    assert rootname.root_of(entries.with_root(options, root)) == root


def test_other_flags_and_words_stay_and_of_two_flags_the_last_counts() -> None:
    options = "root=UUID=ab-12 ro rootflags=x rootflags=noatime,subvol=@,ssd quiet"
    assert entries.with_root(options, "UUID=ab-12[/twinboot/@-tb1]", ("noresume",)) == (
        "root=UUID=ab-12 rootflags=noatime,subvol=twinboot/@-tb1,ssd ro quiet noresume"
    )


@pytest.mark.parametrize(
    "root",
    ["UUID=ab-12[/a b]", "UUID=ab-12[/a,ro]", "UUID=ab-12[/$x]", "UUID=ab-12[x]", "UUID=ab-12[#x]",
     "UUID=ab-12[/@", "UUID=ab-12[]", "UUID=ab-12[/\"]", "x[/@]", "", "UUID=ab-12[/@]\n"],
)  # fmt: skip
def test_a_name_that_a_script_could_take_for_more_is_refused(root: str) -> None:
    with pytest.raises(BootConfigFailed, match="not fit for a boot entry"):
        entries.with_root("ro", root)


@given(st.text(max_size=80), st.text(max_size=40))
def test_any_text_is_turned_or_stays(line: str, flags: str) -> None:
    text = f"linux /x root=UUID=ab-12 {line} rootflags={flags}"
    old = rootname.root_of(text)
    turned = rootname.turned(text, old, "UUID=ab-12[/twinboot/@]")
    assert "\n" in text or rootname.root_of(turned) in ("UUID=ab-12[/twinboot/@]", old)
    assert rootname.turned(text, "UUID=other", "UUID=ab-12[/y]") == text


def test_both_entries_of_a_promotion_name_their_subvolume_by_either_convention() -> None:
    """Where the default subvolume is the root, the way back still has its name: keep changes the default."""
    wanted = StagedSystem(
        run="tb1",
        title="Debian",
        root="UUID=ab-12[/twinboot/@-tb1]",
        old_root="UUID=ab-12[/@]",
        artifacts=Artifacts(version="6", kernel="vmlinuz-6", initrds=("initrd.img-6",), files=()),
    )
    for options in ("root=UUID=ab-12 ro rootflags=subvol=@ quiet", "root=UUID=ab-12 ro quiet"):
        own = Entry(id="own", title="Debian", kernel="vmlinuz-5", initrds=("initrd.img-5",), options=options)
        trial, previous = entries.trial_entry(wanted, own), entries.previous_entry(wanted, own)
        assert trial.options.startswith("root=UUID=ab-12 rootflags=subvol=twinboot/@-tb1 ro quiet panic=30")
        assert previous.options == "root=UUID=ab-12 rootflags=subvol=@ ro quiet"
        assert (rootname.root_of(trial.options), rootname.root_of(previous.options)) == (
            trial.root,
            previous.root,
        )
        settling = entries.settling_entry(own, "twinboot/tb1.settle", "twinboot-settle", "ab-12[#261]")
        assert settling.options == "root=UUID=ab-12 rootflags=subvolid=261 ro quiet"


GENERATED = """source ${config_directory}/custom.cfg
### BEGIN /etc/grub.d/10_linux ###
linux /vmlinuz-6 root=UUID=ab-12 ro @FLAGS@ quiet
initrd /initrd.img-6
### END /etc/grub.d/10_linux ###
"""


@pytest.mark.parametrize(
    ("flags", "root", "boots"),
    [
        ("", "UUID=ab-12", True),
        ("rootflags=subvol=twinboot/@-tb1", "UUID=ab-12[/twinboot/@-tb1]", True),
        ("rootflags=ssd,subvol=/twinboot/@-tb1,noatime", "UUID=ab-12[/twinboot/@-tb1]", True),
        ("rootflags=subvol=@", "UUID=ab-12[/twinboot/@-tb1]", False),
        ("rootflags=subvol=@ rootflags=subvol=twinboot/@-tb1", "UUID=ab-12[/twinboot/@-tb1]", True),
        ("rootflags=subvol=twinboot/@-tb1 rootflags=subvol=@", "UUID=ab-12[/twinboot/@-tb1]", False),
        ("rootflags=subvol=twinboot/@-tb10", "UUID=ab-12[/twinboot/@-tb1]", False),
        ("", "UUID=ab-12[/twinboot/@-tb1]", False),
        ("rootflags=subvol=twinboot/@-tb1", "UUID=ab-13[/twinboot/@-tb1]", False),
    ],
)
def test_the_metal_reads_its_own_grub_cfg_alike(tmp_path: Path, flags: str, root: str, boots: bool) -> None:
    config = tmp_path / "grub.cfg"
    config.write_text(GENERATED.replace("@FLAGS@", flags))
    (tmp_path / "files").mkdir()
    for path in ("files/vmlinuz-6", "vmlinuz-6", "initrd.img-6"):
        (tmp_path / path).write_text("x")
    script = f'. "{KEEP}"; keep_boots "$1" "$2"'
    done = subprocess.run(
        ("sh", "-c", script, "sh", str(config), root),
        env={"PATH": "/usr/bin:/bin", "keep_folder": str(tmp_path), "keep_own": str(tmp_path)},
        check=False,
    )
    assert (done.returncode == 0) is boots
