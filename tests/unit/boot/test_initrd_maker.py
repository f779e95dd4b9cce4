"""By what an initrd is made anew, what is asked of it, and that one made for the twin alone is caught."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from appliance.boot.drivers import RootStack, not_in_initrd
from appliance.boot.initrd_maker import DRACUT, INITRAMFS_TOOLS, InitrdMaker, loadable, maker_of

RECORDED = Path(__file__).parents[2] / "fixtures/recorded"
BY_INITRAMFS_TOOLS = tuple((RECORDED / "uefi-nvme/lsinitramfs.txt").read_text().splitlines())
BY_DRACUT = tuple((RECORDED / "dracut/debian13.txt").read_text().splitlines())
METAL = RootStack(
    ("sd_mod", "ahci", "dm_mod", "dm_thin_pool", "dm_snapshot", "ext4"),
    (("lvm",), ("thin_check", "pdata_tools")),
)


def program(root: Path, path: str, text: str = "") -> None:
    at = root / path
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(f"#!/bin/sh\n{text}\n")
    at.chmod(0o755)


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (["usr/sbin/update-initramfs"], INITRAMFS_TOOLS),
        (["usr/bin/dracut"], DRACUT),
        (["usr/sbin/dracut"], DRACUT),
        (["usr/sbin/update-initramfs", "usr/bin/dracut", "etc/kernel/postinst.d/dracut"], DRACUT),
        (
            ["usr/sbin/update-initramfs", "usr/bin/dracut", "etc/kernel/postinst.d/initramfs-tools"],
            INITRAMFS_TOOLS,
        ),
        ([], None),
    ],
)
def test_a_system_packs_its_initrds_by_the_program_it_has(
    tmp_path: Path, paths: list[str], wanted: InitrdMaker | None
) -> None:
    for path in paths:
        program(tmp_path, path)
    assert maker_of(tmp_path) is wanted


def test_a_link_out_of_the_copy_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/dracut").symlink_to("/bin/true")
    assert maker_of(tmp_path) is None


@pytest.mark.parametrize("names", [BY_INITRAMFS_TOOLS, BY_DRACUT], ids=["initramfs-tools", "dracut"])
def test_one_made_for_any_machine_passes_and_one_made_for_the_twin_alone_is_caught(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    assert not_in_initrd(METAL, names, tmp_path) == ()
    twins = tuple(n for n in names if "/ahci." not in n and "/dm-thin-pool." not in n and "sd_mod" not in n)
    assert not_in_initrd(METAL, twins, tmp_path) == tuple(
        f"The new initrd lacks the driver {module}, which this machine's root disk needs."
        for module in ("sd_mod", "ahci", "dm_thin_pool")
    )
    bare = tuple(n for n in names if not n.endswith(("/thin_check", "/pdata_tools")))
    assert not_in_initrd(METAL, bare, tmp_path) == (
        "The new initrd lacks the program thin_check, which the root volume needs.",
    )


def test_only_what_is_a_file_is_asked_for_by_name(tmp_path: Path) -> None:
    for name in ("drivers/ata/ahci.ko.xz", "drivers/md/dm-thin-pool.ko", "fs/ext4/ext4.ko.zst"):
        (tmp_path / "kernel" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "kernel" / name).touch()
    assert loadable(METAL.modules, tmp_path) == ("ahci", "dm_thin_pool", "ext4")


def run(folder: Path, argv: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """The maker's script, with the fakes of `folder`/bin first and its own /etc and /tmp."""
    words = [w.replace("/tmp", f"{folder}/tmp").replace("/etc/", f"{folder}/etc/") for w in argv]
    (folder / "tmp").mkdir()
    env = {"PATH": f"{folder}/bin:{os.environ['PATH']}"}
    return subprocess.run(words, env=env, capture_output=True, text=True)


def test_dracut_is_asked_for_any_machine_and_for_ours_above_all(tmp_path: Path) -> None:
    program(tmp_path, "bin/dracut", 'printf "%s\\n" "$@"')
    said = run(tmp_path, DRACUT.argv("6.12.1", "initrd.img-6.12.1", ("ahci", "ext4"))).stdout.splitlines()
    assert said[:3] == ["--force", "--no-hostonly", "--no-hostonly-cmdline"]
    assert said[-4:] == ["--add-drivers", "ahci ext4", "/boot/initrd.img-6.12.1", "6.12.1"]
    (tmp_path / "tmp").rmdir()
    said = run(tmp_path, DRACUT.argv("6.12.1", "initramfs-6.12.1.img")).stdout.splitlines()
    assert "--add-drivers" not in said and said[-2:] == ["/boot/initramfs-6.12.1.img", "6.12.1"]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """initramfs-tools as far as the script sees it: what it would be asked is written to `asked`."""
    (tmp_path / "etc/initramfs-tools/conf.d").mkdir(parents=True)
    (tmp_path / "etc/initramfs-tools/initramfs.conf").write_text("MODULES=dep\n")
    (tmp_path / "etc/initramfs-tools/modules").write_text("theirs\n")
    # Instead of a mount: the name leads to what is mounted over it.
    program(tmp_path, "bin/mount", 'mv "$3" "$3.under" && ln -s "$2" "$3"')
    program(tmp_path, "bin/umount", 'rm "$1" && mv "$1.under" "$1"')
    asked = 'cd "$ETC" && { echo "$@"; cat initramfs.conf conf.d/* modules; } >"$OUT"; exit ${STATUS:-0}'
    text = asked.replace("$ETC", f"{tmp_path}/etc/initramfs-tools").replace("$OUT", f"{tmp_path}/asked")
    program(tmp_path, "bin/update-initramfs", text)
    return tmp_path


def test_initramfs_tools_are_asked_for_any_machine_and_their_settings_stay(tools: Path) -> None:
    done = run(tools, INITRAMFS_TOOLS.argv("6.1", "initrd.img-6.1", ("ahci", "dm_thin_pool")))
    assert done.returncode == 0, done.stderr
    assert (tools / "asked").read_text().splitlines() == [
        "-c -k 6.1", "MODULES=dep", "MODULES=most", "theirs", "ahci", "dm_thin_pool",
    ]  # fmt: skip
    assert left(tools) == {"initramfs.conf": "MODULES=dep\n", "modules": "theirs\n"}
    assert not list((tools / "tmp").iterdir())


def test_a_build_that_fails_says_so_and_leaves_the_settings_as_well(tools: Path) -> None:
    program(tools, "bin/update-initramfs", "exit 7")
    assert run(tools, INITRAMFS_TOOLS.argv("6.1", "initrd.img-6.1")).returncode == 7
    assert left(tools) == {"initramfs.conf": "MODULES=dep\n", "modules": "theirs\n"}
    assert not list((tools / "tmp").iterdir())


def left(tools: Path) -> dict[str, str]:
    files = (path for path in (tools / "etc/initramfs-tools").rglob("*") if path.is_file())
    return {path.name: path.read_text() for path in files}


def test_what_an_administrator_types() -> None:
    assert INITRAMFS_TOOLS.on_the_running_system("6.1", "initrd.img-6.1", ("dm_snapshot",)) == (
        "update-initramfs -u -k 6.1"
    )
    assert DRACUT.on_the_running_system("6.12", "initramfs-6.12.img", ("dm_snapshot",)) == (
        'dracut --force --add-drivers "dm_snapshot" /boot/initramfs-6.12.img 6.12'
    )
