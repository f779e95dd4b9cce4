"""LVM's isolated configuration, held against the real LVM on loop devices."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.probe import lvm_metadata
from appliance.probe.lvm import lvm_config


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, timeout=60, check=True, text=True)
    return done.stdout


def test_the_filter_is_exactly_the_given_devices() -> None:
    (option, text) = lvm_config(("/dev/vda4", "/dev/disk/by-id/a.b+c"))
    assert option == "--config"
    assert 'filter=["a|^/dev/vda4$|","a|^/dev/disk/by-id/a\\\\.b\\\\+c$|","r|.*|"]' in text
    assert text.count("r|.*|") == 2
    assert 'filter=["r|.*|"]' in lvm_config(())[1]


@pytest.fixture
def loops(tmp_path: Path) -> Iterator[tuple[str, str]]:
    made = []
    for name in ("one", "two"):
        file = tmp_path / name
        run("truncate", "-s", "64M", str(file))
        made.append(run("losetup", "--find", "--show", str(file)).strip())
    yield (made[0], made[1])
    for loop in made:
        run("losetup", "--detach", loop)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs loop devices")
def test_real_lvm_sees_only_what_it_is_given(loops: tuple[str, str], tmp_path: Path) -> None:
    one, two = loops
    lvm = ("lvm",)
    for loop, name in ((one, "tbone"), (two, "tbtwo")):
        run(*lvm, "vgcreate", *lvm_config((loop,)), name, loop)
    linear = ("--driverloaded", "n", "-an", "-Zn", "-Wn")
    run(
        *lvm, "lvcreate", *lvm_config((one,)), *linear, "-n", "some-lv", "-L", "16M", "--addtag", "t", "tbone"
    )
    names = ("-o", "vg_name", "--noheadings", "--readonly")
    assert run(*lvm, "vgs", *lvm_config((one,)), *names).split() == ["tbone"]
    assert run(*lvm, "vgs", *lvm_config((two,)), *names).split() == ["tbtwo"]
    assert sorted(run(*lvm, "vgs", *lvm_config((one, two)), *names).split()) == ["tbone", "tbtwo"]
    assert run(*lvm, "vgs", *lvm_config(()), *names).split() == []
    before = Path(tmp_path / "one").read_bytes()
    backup = str(tmp_path / "%s.vg")
    run(*lvm, "vgcfgbackup", *lvm_config((one,)), "--readonly", "--file", backup)
    assert Path(tmp_path / "one").read_bytes() == before
    meta = lvm_metadata.parse((tmp_path / "tbone.vg").read_text())
    volume = meta.lv("some-lv")
    assert volume is not None and (volume.extents, volume.tags) == (4, ("t",))
