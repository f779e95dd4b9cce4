"""The metal's sh file run here: real sh, real ext4 /boot, stand-ins for systemd and grub-mkconfig."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from appliance.boot import confirm
from appliance.checks.health import script
from tests.crash.grubmachine import INSIDE

TAB = "\t"

# What grub-mkconfig writes for the kernels in /boot, with the shape of 10_linux of GRUB 2.06.
MKCONFIG = r"""#!/bin/sh
[ "$1" = -o ] || exit 2
[ ! -e "@WORK@/mkconfig.hangs" ] || exec sleep 600
[ ! -e "@WORK@/mkconfig.fails" ] || { echo "grub-probe: error" >&2; exit 1; }
root=$(cat "@WORK@/mkconfig.root")
{
    sed '/BEGIN .*10_linux/q' "@FIXTURE@" | sed 's/set timeout=5/set timeout=0/'
    for f in $(ls "@BOOT@"/vmlinuz-* | sort -rV); do
        v=${f##*/vmlinuz-}
        printf "menuentry 'Debian GNU/Linux %s' --class os \$menuentry_id_option 'gnulinux-%s' {\n" "$v" "$v"
        printf '\tload_video\n\tinsmod gzio\n\tinsmod part_gpt\n\tinsmod ext2\n'
        case $root in
        UUID=*) printf '\tsearch --no-floppy --fs-uuid --set=root %s\n' "${root#UUID=}" ;;
        *) printf '\tsearch --no-floppy --fs-uuid --set=root 5c2ad7a4-3f6e-4b9e-8f6c-0f3c4e3c9f11\n' ;;
        esac
        printf '\tlinux\t@PREFIX@/vmlinuz-%s root=%s ro  quiet\n' "$v" "$root"
        [ ! -e "@BOOT@/initrd.img-$v" ] || printf '\tinitrd\t@PREFIX@/initrd.img-%s\n' "$v"
        printf '}\n'
    done
    [ -e "@WORK@/mkconfig.plain" ] || sed -n '/END .*10_linux/,$p' "@FIXTURE@"
} >"$2.new"
mv "$2.new" "$2"
echo done >&2
"""

SYSTEMCTL = """#!/bin/sh
echo "$@" >>"@WORK@/systemctl"
[ "$1" != start ] || [ ! -e "@WORK@/complete.fails" ]
"""

# kernel-install as Debian 12's 90-loaderentry.install does it: in place, over what is there.
KERNEL_INSTALL = """#!/bin/sh
[ "$1" = add ] || exit 2
[ ! -e "@WORK@/kernel-install.fails" ] || { echo "no space left" >&2; exit 1; }
folder=$BOOT_ROOT/@ID@/$2
mkdir -p "$folder"
install -m 0644 "$3" "$folder/linux"
[ ! -e "@WORK@/kernel-install.dies" ] || kill -9 "$PPID" $$
install -m 0644 "$4" "$folder/${4##*/}"
{
    echo "title      Debian GNU/Linux 12 (bookworm)"
    echo "version    $2"
    echo "machine-id @ID@"
    echo "sort-key   debian"
    echo "options    $(cat "$KERNEL_INSTALL_CONF_ROOT/cmdline")"
    echo "linux      /@ID@/$2/linux"
    echo "initrd     /@ID@/$2/${4##*/}"
} >"$BOOT_ROOT/loader/entries/@ID@-$2.conf"
"""

# kernel-install as Debian 13's 60-ukify.install and 90-uki-copy.install do it with layout=uki.
KERNEL_INSTALL_IMAGE = """#!@PYTHON@
import os, pathlib, sys
sys.path.insert(0, "@HERE@")
from tests.crash.tinyimage import unified
work, (verb, version, kernel, initrd) = pathlib.Path("@WORK@"), sys.argv[1:]
conf = pathlib.Path(os.environ["KERNEL_INSTALL_CONF_ROOT"])
made = pathlib.Path(os.environ["BOOT_ROOT"], "EFI/Linux", f"@ID@-{version}.efi")
if (work / "kernel-install.fails").exists():
    sys.exit("no space left")
if "layout=uki" not in (conf / "install.conf").read_text() or not (conf / "uki.conf").exists():
    sys.exit("this system's own settings are not there")
line = (conf / "cmdline").read_text().strip()
if (work / "kernel-install.wrong").exists():
    initrd = kernel
data = unified(*(pathlib.Path(name).read_bytes() for name in (kernel, initrd)), line, version)
made.unlink(missing_ok=True)
made.write_bytes(data[: len(data) // 2])
if (work / "kernel-install.dies").exists():
    os.kill(os.getppid(), 9)
    os.kill(os.getpid(), 9)
made.write_bytes(data)
"""

TAIL = """#!/bin/sh
# As on Linux 6.1, whose efivarfs can not be sought in.
case "$*" in
*/efivars/*) echo "tail: cannot seek to relative offset 4: Illegal seek" >&2; exit 1 ;;
esac
exec /usr/bin/tail "$@"
"""
# The folder stands for an ESP.
STAT = """#!/bin/sh
[ "$1 $2 $3" = "-f -c %T" ] || exec /usr/bin/stat "$@"
echo msdos
"""
UNAME = """#!/bin/sh
cat "@WORK@/release"
"""

# What the test has mounted stays so.
UMOUNT = """#!/bin/sh
echo "$@" >>"@WORK@/umount"
"""

# dpkg-query -S: a path is owned when its name is listed.
DPKG = """#!/bin/sh
[ "$1" = -S ] || exit 0
grep -qx "${2##*/}" "@WORK@/owned"
"""


@dataclass
class Metal:
    """One trial boot of the metal over the /boot mounted at `boot`.

    `sector` is where what decides is mounted, `env` its file, where that is elsewhere.
    """

    work: Path
    boot: Path
    run: str = "tb1"
    root: str = "/dev/mapper/vg0-tb1--trial"
    manual: bool = False
    facts: list[str] = field(default_factory=list)
    expected: str = "target multi-user.target\nservice ssh.service\nsocket tcp:22\n"
    path: str = ""
    tries: int = 1
    deadline: int = 600
    mkconfig: int = 900
    loader: str = "GRUB"
    machine_id: str = ""
    unified: bool = False
    runs: str = "6.1.0-40-amd64"
    default: int = 0
    mounted: str = "/"
    sector: str = ""
    env: str = ""
    own: Path | None = None  # this system's own /boot, where that is a folder of the root
    old_fs: str = ""

    @property
    def home(self) -> Path:
        """/var/lib/twinboot, in the file system of its root."""
        return (self.own.parent if self.own else self.work) / "home"

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        self.facts = self.facts or [
            f"target{TAB}multi-user.target",
            f"reached{TAB}yes{TAB}1000",
            f"service{TAB}ssh.service{TAB}running",
            f"socket{TAB}tcp:22{TAB}0.0.0.0{TAB}sshd",
            f"gateway{TAB}192.0.2.1{TAB}eth0",
            "end",
        ]
        (self.work / "cmdline").write_text(f"root={self.root} ro quiet twinboot.trial={self.run}\n")
        (self.work / "mkconfig.root").write_text(self.root)
        (self.work / "owned").touch()
        (self.work / "release").write_text(self.runs + "\n")

    def _script(self) -> str:
        text = script(*confirm.parts()).decode()
        places = {
            "CONFIRM_HOME=/var/lib/twinboot": f"CONFIRM_HOME={self.home}",
            "CONFIRM_BOOT=/boot": f"CONFIRM_BOOT={self.boot}",
            "CONFIRM_OLD=/run/twinboot/old": f"CONFIRM_OLD={self.boot.parent if self.own else '/none'}",
            "KEEP_BOOT=/boot": f"KEEP_BOOT={self.own or '/none'}",
            "KEEP_ROOT=/\n": f"KEEP_ROOT={self.mounted}\n",
            "CONFIRM_RUN=/run/twinboot": f"CONFIRM_RUN={self.work}/run",
            "CONFIRM_CMDLINE=/proc/cmdline": f"CONFIRM_CMDLINE={self.work}/cmdline",
            "CONFIRM_CONSOLE=/dev/console": f"CONFIRM_CONSOLE={self.work}/console",
            "CONFIRM_LOG=/var/log/twinboot.log": f"CONFIRM_LOG={self.work}/log",
            "CONFIRM_SYSRQ=/proc/sysrq-trigger": f"CONFIRM_SYSRQ={self.work}/sysrq",
            "CONFIRM_PAUSE=15": "CONFIRM_PAUSE=0",
            "KEEP_EFI=/sys/firmware/efi/efivars": f"KEEP_EFI={self.work}/efivars",
            "KEEP_KERNELS=/boot": f"KEEP_KERNELS={self.work}/kernels",
            "/usr/lib/kernel /etc/kernel": f"{self.work}/none {self.work}/etc-kernel",
            "PATH=/usr/local/sbin:": f"PATH={self.path}{self.work}/bin:/usr/local/sbin:",
            "    sleep 90\n": "    return 0\n",
            "    sleep 10\n": "",
            "        sleep 5\n": "        sleep 0.1\n",
            "    sleep 5\n": "",
        }
        for old, new in places.items():
            assert old in text, old
            text = text.replace(old, new)
        collected = f'facts_collect() {{ cat "{self.work}/facts"; }}\n'
        text = text.replace("#: dispatch\n", collected + "#: dispatch\n")
        assert "/proc/sysrq" not in text  # this runs on a development machine
        return text

    def call(self, verb: str, limit: float = 60.0) -> int:
        """Run one verb as the unit does; returns its status."""
        conf = {"root": self.root, "mode": "manual" if self.manual else "auto", "tries": str(self.tries)}
        conf |= {
            "folder": "grub",
            "prefix": INSIDE if self.own else "",
            "oldfs": self.old_fs,
            "deadline": str(self.deadline),
            "mkconfig": str(self.mkconfig),
            "loader": self.loader,
            "default": str(self.default),
        }
        conf |= {"sector": self.sector, "env": self.env} if self.sector else {}
        home = self.home / self.run
        home.mkdir(parents=True, exist_ok=True)
        (home / "conf").write_text("".join(f"{k} {v}\n" for k, v in conf.items()))
        if self.expected:
            (home / "expected").write_text(self.expected)
        (self.work / "facts").write_text("".join(f"{line}\n" for line in self.facts))
        shims = self.work / "bin"
        shims.mkdir(exist_ok=True)
        fixture = Path(__file__).parents[1] / "unit/boot/debian12-grub.cfg"
        programs = {"grub-mkconfig": MKCONFIG, "systemctl": SYSTEMCTL, "dpkg-query": DPKG, "uname": UNAME}
        if self.machine_id:
            programs |= {
                "kernel-install": KERNEL_INSTALL_IMAGE if self.unified else KERNEL_INSTALL,
                "tail": TAIL,
                "stat": STAT,
                "mountpoint": "#!/bin/sh\n",
            }
        if self.own:
            programs["umount"] = UMOUNT
        marks: dict[str, object] = {"@WORK@": self.work, "@BOOT@": self.own or self.boot}
        marks |= {"@FIXTURE@": fixture, "@ID@": self.machine_id, "@PREFIX@": INSIDE if self.own else ""}
        marks |= {"@PYTHON@": sys.executable, "@HERE@": Path(__file__).parents[2]}
        for name, text in programs.items():
            for mark, value in marks.items():
                text = text.replace(mark, str(value))
            (shims / name).write_text(text)
            (shims / name).chmod(0o755)
        (self.work / "health.sh").write_text(self._script())
        argv = ["dash", str(self.work / "health.sh"), verb, self.run]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=limit, env={"PATH": os.defpath})
        (self.work / "stderr").write_text(done.stderr)
        return done.returncode

    def said(self, name: str) -> str:
        file = self.work / name
        return file.read_text() if file.exists() else ""

    @property
    def rebooted(self) -> bool:
        return "reboot" in self.said("systemctl")
