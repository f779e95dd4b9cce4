"""/etc/fstab, and what goes with it, as Debian's installer leaves them for one kind of disk or another.

The base tree's has a thin volume group in mind; each function here makes one thing of it otherwise.
"""

from __future__ import annotations

from pathlib import Path

ROOT_OF_EXT4 = "ext4    errors=remount-ro 0       1"
HOME_OPTIONS = "defaults,subvol=@home"


def without(tree: Path, target: str) -> None:
    """No line for `target`."""
    fstab = tree / "etc/fstab"
    lines = fstab.read_text().splitlines(keepends=True)
    fstab.write_text("".join(line for line in lines if f" {target} " not in line))


def root_of(tree: Path, fs: str, options: str, *, home: bool) -> None:
    """The root's line, for a file system other than ext4; with `home`, /home is a subvolume beside it."""
    fstab, new = tree / "etc/fstab", f"{fs:<7} {options:<15} 0       0"
    text = fstab.read_text()
    (root,) = (line for line in text.splitlines(keepends=True) if ROOT_OF_EXT4 in line)
    lines = root.replace(ROOT_OF_EXT4, new)
    if home:
        lines += f"{root.split()[0]} /home {fs} {HOME_OPTIONS} 0 0\n"
    fstab.write_text(text.replace(root, lines))


def beside(tree: Path, names: list[str]) -> None:
    """The volumes beside the root, each mounted where its name says."""
    with (tree / "etc/fstab").open("a") as fstab:
        fstab.writelines(
            f"/dev/mapper/vg0-{name:<4} /{name:<15} ext4    defaults        0       2\n" for name in names
        )


def boot_on(tree: Path, uuid: str, device: str) -> None:
    """/boot, which was named by `uuid`, named as the installer names a volume."""
    fstab = tree / "etc/fstab"
    text = fstab.read_text()
    assert text.count(f"UUID={uuid}") == 1
    fstab.write_text(text.replace(f"UUID={uuid}", device))


def by_uuid(tree: Path, root: tuple[str, str], swap: tuple[str, str]) -> None:
    """Root and swap, each a device and a UUID, named by that as the installer does without LVM.

    The kernels' initrds are made beforehand and look for a sleeping system in the LVM's swap: the command
    line says better.
    """
    fstab, grub = tree / "etc/fstab", tree / "etc/default/grub"
    text = fstab.read_text()
    for device, uuid in (root, swap):
        assert device in text
        text = text.replace(device, f"UUID={uuid}")
    fstab.write_text(text)
    sleeping = f"UUID={swap[1]}"
    (tree / "etc/initramfs-tools/conf.d/resume").write_text(f"RESUME={sleeping}\n")
    said = grub.read_text()
    assert said.count('GRUB_CMDLINE_LINUX="') == 1
    grub.write_text(said.replace('GRUB_CMDLINE_LINUX="', f'GRUB_CMDLINE_LINUX="resume={sleeping} '))
