"""The initramfs script, run natively with its tools replaced: which root is taken, and what stops."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "elements/twinboot-initramfs/static/etc/initramfs-tools/scripts/twinboot"
BUILD = "0123abcd-4567cdef"
Sh = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def sh(tmp_path: Path) -> Sh:
    """Runs a line after sourcing the script. `mount` copies a folder of tmp_path/devices, `panic` ends."""
    (tmp_path / "devices").mkdir()
    prelude = f"""
TB_RUN={tmp_path}/run TB_SYS={tmp_path}/sys TB_INITRD={tmp_path}/initrd rootmnt={tmp_path}/root
mkdir -p "$TB_RUN/live" "$TB_INITRD"
panic() {{ echo "PANIC: $*"; exit 9; }}
configure_networking() {{ echo configured; }}
blkid() {{ cat {tmp_path}/blkid; }}
mount() {{
    while [ $# -gt 2 ]; do shift; done
    echo "mount $1" >>{tmp_path}/mounts
    [ -d "{tmp_path}/devices/${{1##*/}}" ] && cp -r "{tmp_path}/devices/${{1##*/}}/." "$2"
}}
umount() {{ rm -rf "$1"/*; }}
sleep() {{ :; }}
. {SCRIPT}
"""

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", prelude + line], capture_output=True, text=True, timeout=30)

    return run


def put_device(tmp_path: Path, name: str, build: str | None) -> None:
    """A device whose file system is ours (of `build`), or somebody else's."""
    folder = tmp_path / "devices" / name / "twinboot"
    folder.mkdir(parents=True)
    if build is not None:
        (folder / "rootfs.squashfs").write_text(f"root on {name}")
        (folder / "build").write_text(build + "\n")
        sums = hashlib.sha256(f"root on {name}".encode()).hexdigest()
        (folder / "SHA256SUMS").write_text(f"{sums}  rootfs.squashfs\n")


def arguments(line: str = "") -> str:
    return f'tb_arguments "quiet boot=twinboot twinboot.build={BUILD} {line}"; '


def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_medium_of_this_build_is_taken_among_several_with_the_label(tmp_path: Path, sh: Sh) -> None:
    put_device(tmp_path, "sdb1", None)
    put_device(tmp_path, "sdc4", "another-build")
    put_device(tmp_path, "sdd4", BUILD)
    (tmp_path / "blkid").write_text("/dev/sdb1\n/dev/sdc4\n/dev/sdd4\n")
    done = sh(arguments() + 'tb_find_image && cat "$TB_IMAGE" && cat "$TB_RUN/medium"')
    assert done.returncode == 0, done.stdout + done.stderr
    assert "root on sdd4" in done.stdout


def test_without_a_medium_it_stops_after_its_limit_and_says_which_label(tmp_path: Path, sh: Sh) -> None:
    put_device(tmp_path, "sdc4", "another-build")
    (tmp_path / "blkid").write_text("/dev/sdc4\n")
    done = sh(arguments("twinboot.wait=2") + "tb_find_image")
    assert done.returncode == 9
    assert "no medium of this build (TWINBOOT-SYS) was found in 2 seconds" in done.stdout


def test_media_are_only_ever_mounted_read_only(tmp_path: Path, sh: Sh) -> None:
    put_device(tmp_path, "sdb1", None)
    (tmp_path / "blkid").write_text("/dev/sdb1\n")
    line = f'mount() {{ echo "$*" >>{tmp_path}/how; return 1; }}; '
    sh(arguments("twinboot.wait=0") + line + "tb_find_image")
    for how in (tmp_path / "how").read_text().splitlines():
        assert " ro" in how
    assert "noload" in (tmp_path / "how").read_text()


def test_the_whole_disk_of_the_medium_is_remembered(tmp_path: Path, sh: Sh) -> None:
    partition = tmp_path / "devices-tree/usb1/block/sdd/sdd4"
    partition.mkdir(parents=True)
    (partition / "partition").write_text("4\n")
    links = tmp_path / "sys/class/block"
    links.mkdir(parents=True)
    (links / "sdd4").symlink_to(partition)
    (links / "sr0").symlink_to(partition.parent)
    assert sh("tb_disk_of /dev/sdd4").stdout == "/dev/sdd\n"
    assert sh("tb_disk_of /dev/sr0").stdout == "/dev/sr0\n"


GOOD = b"a root"
DIGEST = hashlib.sha256(GOOD).hexdigest()


def fetching(tmp_path: Path, content: bytes) -> str:
    """A wget that writes `content`, whatever is asked for."""
    (tmp_path / "served").write_bytes(content)
    return f'wget() {{ echo "wget $*" >>{tmp_path}/traffic; cp {tmp_path}/served "$5"; }}; '


def test_a_fetched_root_with_the_right_hash_is_used(tmp_path: Path, sh: Sh) -> None:
    url = f"twinboot.root=http://site/rootfs.squashfs twinboot.sha256={DIGEST}"
    done = sh(arguments(url) + fetching(tmp_path, GOOD) + 'tb_find_image && cat "$TB_IMAGE"')
    assert done.returncode == 0 and done.stdout.endswith("a root"), done.stdout + done.stderr


def test_a_folder_named_as_the_parent_of_its_script_is_fetched_from(tmp_path: Path, sh: Sh) -> None:
    url = f"twinboot.root=http://site/pxe/boot.ipxe/../rootfs.squashfs twinboot.sha256={DIGEST}"
    done = sh(arguments(url) + fetching(tmp_path, GOOD) + "tb_find_image")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "traffic").read_text().split()[-1] == "http://site/pxe/rootfs.squashfs"


def test_a_fetched_root_with_another_hash_is_deleted_and_stops(tmp_path: Path, sh: Sh) -> None:
    url = f"twinboot.root=http://site/rootfs.squashfs twinboot.sha256={DIGEST}"
    done = sh(arguments(url) + fetching(tmp_path, b"A root") + "tb_find_image")
    assert done.returncode == 9 and "does not have the expected hash" in done.stdout
    assert not (tmp_path / "run/live/memory/rootfs.squashfs").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "needs twinboot.sha256="),
        (f"twinboot.sha256={DIGEST[:63]}", "needs twinboot.sha256="),
        (f"twinboot.sha256={DIGEST.upper()}", "is not a hash"),
        ("twinboot.sha256=*", "is not a hash"),
    ],
)
def test_without_a_usable_hash_nothing_is_fetched(tmp_path: Path, sh: Sh, given: str, said: str) -> None:
    done = sh(arguments(f"twinboot.root=http://site/r {given}") + fetching(tmp_path, GOOD) + "tb_find_image")
    assert done.returncode == 9 and said in done.stdout
    assert not (tmp_path / "traffic").exists()


def test_only_plain_http_addresses_are_fetched(tmp_path: Path, sh: Sh) -> None:
    url = f"twinboot.root=file:///etc/shadow twinboot.sha256={DIGEST}"
    done = sh(arguments(url) + fetching(tmp_path, GOOD) + "tb_find_image")
    assert done.returncode == 9 and not (tmp_path / "traffic").exists()


def test_a_server_that_does_not_answer_ends_after_five_tries(tmp_path: Path, sh: Sh) -> None:
    url = f"twinboot.root=http://site/r twinboot.sha256={DIGEST}"
    fails = f"wget() {{ echo try >>{tmp_path}/traffic; return 1; }}; "
    done = sh(arguments(url) + fails + "tb_find_image")
    assert done.returncode == 9 and "could not be fetched in 5 tries" in done.stdout
    assert (tmp_path / "traffic").read_text().count("try") == 5


def test_a_root_in_memory_comes_first_and_is_checked_when_a_hash_is_given(tmp_path: Path, sh: Sh) -> None:
    (tmp_path / "initrd").mkdir()
    (tmp_path / "initrd/rootfs.squashfs").write_bytes(GOOD)
    good = sh(arguments(f"twinboot.sha256={DIGEST}") + 'tb_find_image && cat "$TB_IMAGE"')
    assert good.stdout.endswith("a root")
    (tmp_path / "initrd/rootfs.squashfs").write_bytes(b"changed")
    bad = sh(arguments(f"twinboot.sha256={DIGEST}") + "tb_find_image")
    assert bad.returncode == 9 and "in memory does not have the expected hash" in bad.stdout


def test_verify_finds_a_changed_byte(tmp_path: Path, sh: Sh) -> None:
    put_device(tmp_path, "sdd4", BUILD)
    (tmp_path / "blkid").write_text("/dev/sdd4\n")
    good = sh(arguments("twinboot.verify") + "tb_find_image")
    assert good.returncode == 0 and "the medium is intact" in good.stdout
    (tmp_path / "devices/sdd4/twinboot/rootfs.squashfs").write_text("root on sdd5")
    bad = sh(arguments("twinboot.verify") + "tb_find_image")
    assert bad.returncode == 9 and "the medium is damaged" in bad.stdout


def test_toram_lets_go_of_the_medium(tmp_path: Path, sh: Sh) -> None:
    put_device(tmp_path, "sdd4", BUILD)
    (tmp_path / "blkid").write_text("/dev/sdd4\n")
    done = sh(arguments("toram") + 'tb_find_image && cat "$TB_IMAGE" && ls "$TB_RUN/live/medium"')
    assert done.returncode == 0 and done.stdout.endswith("root on sdd4"), done.stdout + done.stderr


def test_copying_to_memory_says_how_far_it_is_and_how_long_it_takes(tmp_path: Path, sh: Sh) -> None:
    """A copy that takes three looks: 0, 40 and 80 % of it are there, then it ends."""
    (tmp_path / "root").write_bytes(b"r" * 4096)
    slow = f"""
du() {{ case $2 in *root) echo 1000 ;; *) cat {tmp_path}/there ;; esac; }}
echo 0 >{tmp_path}/there
cp() {{ until [ -e {tmp_path}/ends ]; do command sleep 0.05; done; command cp "$@"; }}
sleep() {{
    case $tb_seconds in
    0) echo 400 >{tmp_path}/there ;;
    1) echo 800 >{tmp_path}/there ;;
    *) touch {tmp_path}/ends; command sleep 0.3 ;;
    esac
}}
"""
    done = sh(f"{slow} tb_copy {tmp_path}/root {tmp_path}/copy")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy").read_bytes() == b"r" * 4096
    said = [line.removeprefix("Twinboot: ") for line in done.stdout.splitlines()]
    assert said[:2] == ["copying the root to memory, 0 MiB", "copied 39 %, about 1 s left"]
    assert said[2] == "copied 79 %, about 0 s left"


def test_a_copy_that_fails_stops(tmp_path: Path, sh: Sh) -> None:
    put_device(tmp_path, "sdd4", BUILD)
    (tmp_path / "blkid").write_text("/dev/sdd4\n")
    fails = 'cp() { case $1 in -r) command cp "$@" ;; *) return 1 ;; esac; }; '
    done = sh(arguments("toram") + fails + "tb_find_image")
    assert done.returncode == 9 and "the medium cannot be read" in done.stdout


def carried(tmp_path: Path, how: str, folder: str = "isos") -> str:
    """Machine with a data disk sda1, and a multi-boot stick sdb1 that holds isos/twinboot.iso on a `how`."""
    put_device(tmp_path, "sda1", None)
    put_device(tmp_path, "sdb1", None)
    (tmp_path / "devices/sdb1" / folder).mkdir()
    (tmp_path / "devices/sdb1" / folder / "twinboot.iso").write_text("")
    put_device(tmp_path, "twinboot.iso", BUILD)
    kinds = f"case $5 in /dev/sda1) echo ext4 ;; *) echo {how} ;; esac"
    return f"""
blkid() {{ if [ "$1 $2" = "-o device" ]; then echo /dev/sda1; echo /dev/sdb1; else {kinds}; fi; }}
mount() {{
    echo "$*" >>{tmp_path}/how
    while [ $# -gt 2 ]; do shift; done
    cp -r "{tmp_path}/devices/${{1##*/}}/." "$2"
}}
"""


@pytest.mark.parametrize("how", ["vfat", "exfat", "xfs"])
def test_a_disc_that_is_a_file_on_a_multi_boot_stick_is_found_and_the_stick_is_the_medium(
    tmp_path: Path, sh: Sh, how: str
) -> None:
    told = arguments("twinboot.iso=/isos/twinboot.iso") + carried(tmp_path, how)
    done = sh(told + 'tb_find_image && cat "$TB_IMAGE"; cat "$TB_RUN/medium"')
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("root on twinboot.iso/dev/sdb1\n")
    mounted = (tmp_path / "how").read_text().splitlines()
    assert all(" ro" in line for line in mounted)
    assert "ro,noload" in mounted[0] and ("norecovery" in mounted[1]) == (how == "xfs")


@pytest.mark.parametrize("word", ['"twinboot.iso={path}"', 'twinboot.iso="{path}"'])
def test_its_path_may_have_blanks_as_grub_and_a_person_quote_them(tmp_path: Path, sh: Sh, word: str) -> None:
    path = "/My  isos * here/twinboot.iso"
    told = f"tb_arguments 'quiet {word.format(path=path)} twinboot.build={BUILD} toram'; "
    told += carried(tmp_path, "vfat", "My  isos * here")
    done = sh(told + 'echo "$TB_ISO,$TB_BUILD,$TB_TORAM"; TB_TORAM=; tb_find_image && cat "$TB_IMAGE"')
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{path},{BUILD},y\n") and "root on twinboot.iso" in done.stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  quiet\ttoram  ", ["quiet", "toram"]),
        ('a="b c" d', ["a=b c", "d"]),
        ('"a=b  c"', ["a=b  c"]),
        ('a="b c', ["a=b c"]),
        ("a=* b=\\x", ["a=*", "b=\\x"]),
    ],
)
def test_arguments_are_taken_apart_as_the_kernel_does(sh: Sh, line: str, words: list[str]) -> None:
    assert sh(f"tb_words '{line}'").stdout.splitlines() == words


def test_a_file_system_of_a_kind_not_known_is_not_even_mounted(tmp_path: Path, sh: Sh) -> None:
    told = arguments("twinboot.iso=/isos/twinboot.iso twinboot.wait=0") + carried(tmp_path, "LVM2_member")
    done = sh(told + "tb_find_image")
    assert done.returncode == 9
    assert "no medium of this build (/isos/twinboot.iso) was found in 0 seconds" in done.stdout
    assert "sdb1" not in (tmp_path / "how").read_text()


def test_what_is_said_is_seen_on_every_serial_line_but_the_kernels_own(tmp_path: Path, sh: Sh) -> None:
    tty = tmp_path / "sys/class/tty"
    for name, kind in (("ttyS0", "4"), ("ttyS1", "4"), ("ttyS2", "0")):
        (tty / name).mkdir(parents=True)
        (tty / name / "type").write_text(kind + "\n")
    (tty / "console").mkdir()
    (tty / "console/active").write_text("tty0 ttyS0\n")
    (tmp_path / "dev").mkdir()
    done = sh(f"TB_DEV={tmp_path}/dev; TB_LINES=$(tb_lines); tb_say hello")
    assert done.stdout == "Twinboot: hello\n"
    assert {path.name: path.read_text() for path in (tmp_path / "dev").iterdir()} == {
        "ttyS1": "Twinboot: hello\n"
    }


def test_odd_waiting_times_become_the_default(sh: Sh) -> None:
    for given, waited in (("5", "5"), ("", "60"), ("soon", "60"), ("-1", "60")):
        assert sh(f'tb_arguments "twinboot.wait={given}"; echo $TB_WAIT').stdout == f"{waited}\n"
