"""The folder for network boot, to be served as it stands over HTTP (and TFTP for the loaders)."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from appliance.host.run import Host
from appliance.image import archive
from appliance.image.contents import sums
from appliance.image.grub import network_images
from appliance.image.menu import ipxe_script, network_menu


def make_pxe(
    host: Host, kernel: Path, initrd: Path, rootfs: Path, build: str, folder: Path, work: Path
) -> None:
    """Fills `folder` anew: kernel, initrd with network drivers, root, GRUB, menus, SHA256SUMS.

    Raises ValueError for a root that can not be sent into memory (archive.py).
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, source in (("vmlinuz", kernel), ("initrd.img", initrd), ("rootfs.squashfs", rootfs)):
        shutil.copyfile(source, folder / name)
    (folder / "before-root").write_bytes(archive.before(rootfs.name, rootfs.stat().st_size))
    (folder / "after-root").write_bytes(archive.after())
    with rootfs.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    network_images(host, folder, work)
    (folder / "grub.cfg").write_text(network_menu(build, sha256))
    (folder / "boot.ipxe").write_text(ipxe_script(build, sha256))
    (folder / "SHA256SUMS").write_text(sums(folder))
