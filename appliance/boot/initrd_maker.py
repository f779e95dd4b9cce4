"""How an installed system packs its initrd: by initramfs-tools or by dracut. Runs nothing.

Both can look at the machine they run on and take only what that one needs (MODULES=dep, initramfs.conf(5);
hostonly, dracut.conf(5)). In a twin, or in a copy that sees no disk, that is the wrong machine: what is made
here is always made for any.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.boot.drivers import module_names

# Both: $1 is the kernel's version, $2 the initrd's path, the rest modules that must be in it. Nothing of the
# system's own settings is changed: what we add is mounted over them for as long as the program runs.
_BY_INITRAMFS_TOOLS = """
set -eu
version=$1
shift 2
export TMPDIR=/tmp
cp -a /etc/initramfs-tools /tmp/twinboot-initramfs
mkdir -p /tmp/twinboot-initramfs/conf.d
echo MODULES=most >/tmp/twinboot-initramfs/conf.d/zz-twinboot
[ $# = 0 ] || printf '%s\\n' "$@" >>/tmp/twinboot-initramfs/modules
mount --bind /tmp/twinboot-initramfs /etc/initramfs-tools
status=0
update-initramfs -c -k "$version" || status=$?
umount /etc/initramfs-tools
rm -r /tmp/twinboot-initramfs
exit "$status"
"""
_BY_DRACUT = """
set -eu
version=$1 image=$2
shift 2
[ $# = 0 ] || set -- --add-drivers "$*"
exec dracut --force --no-hostonly --no-hostonly-cmdline --tmpdir /tmp "$@" "$image" "$version"
"""


@dataclass(frozen=True, slots=True)
class InitrdMaker:
    """`programs` are paths inside a system of which one is there if it packs its initrds this way; `again` is
    what an administrator types on the running system, and `lasting` before it for modules that nothing there
    asks for. initramfs-tools names the image by itself."""

    name: str
    programs: tuple[str, ...]
    script: str
    again: str
    lasting: str = ""

    def argv(self, version: str, image: str, modules: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The command that makes /boot/`image` anew, with `modules` in it whatever its settings say."""
        return ("sh", "-c", self.script, "twinboot", version, f"/boot/{image}", *modules)

    def on_the_running_system(self, version: str, image: str, modules: tuple[str, ...]) -> str:
        """What to type there, as one line."""
        return self.again.format(version=version, image=image, modules=" ".join(modules))

    def with_modules(self, modules: tuple[str, ...]) -> str:
        """What to type before it, where nothing of the system's own asks for these modules."""
        return self.lasting.format(modules=" ".join(modules))


INITRAMFS_TOOLS = InitrdMaker(
    name="initramfs-tools",
    programs=("usr/sbin/update-initramfs",),
    script=_BY_INITRAMFS_TOOLS,
    again="update-initramfs -u -k {version}",
    lasting="printf '%s\\n' {modules} >>/etc/initramfs-tools/modules; ",
)
DRACUT = InitrdMaker(
    name="dracut",
    programs=("usr/bin/dracut", "usr/sbin/dracut"),
    script=_BY_DRACUT,
    again='dracut --force --add-drivers "{modules}" /boot/{image} {version}',
)
_HOOKS = "etc/kernel/postinst.d"


def maker_of(root: Path) -> InitrdMaker | None:
    """The one by which the system mounted at `root` packs its initrds; None where it has none of them.

    Where the programs of both are there, the hook that runs when a kernel is installed decides.
    """
    there = [m for m in (INITRAMFS_TOOLS, DRACUT) if any(_is_program(root / p) for p in m.programs)]
    hooked = [m for m in there if _is_program(root / _HOOKS / m.name)]
    return next(iter(hooked or there), None)


def _is_program(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def loadable(modules: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Those of `modules` that are files of the kernel's module folder: what is built in needs no place."""
    there = module_names(tuple(path.name for path in folder.rglob("*.ko*")))
    return tuple(name for name in modules if name in there)
