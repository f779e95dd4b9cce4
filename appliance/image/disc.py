"""The disc: one hybrid ISO image for virtual media, a drive, a stick, or a file on a multi-boot stick.

Nothing on it can be written: what is to be kept goes to the machine's state volume, or by the network.
Source of the words for xorriso: its man page, xorrisofs(1), and grub-mkrescue's use of them.
"""

from __future__ import annotations

from pathlib import Path

from appliance.host.run import Host, write
from appliance.image.contents import LABEL, Contents, system_folder
from appliance.image.esp import SECTORS, fill_esp, make_fat, on_disc, start_script
from appliance.image.grub import BIOS, LIBRARY, make_image
from appliance.image.menu import loopback_menu

GRUB = "boot/grub"


def make_disc(host: Host, contents: Contents, image: Path, work: Path) -> None:
    """Writes the whole disc to `image`. `work` is an empty folder on the file system of the sources."""
    folder, find = system_folder(contents, work), on_disc(contents.build)
    grub = folder / GRUB
    grub.mkdir(parents=True)
    (grub / "loopback.cfg").write_text(loopback_menu(contents.build))
    # Names the build where GRUB can search for it: a file's name is all it can ask for.
    (grub / contents.build).touch()
    # Firmware that takes a stick for a disc names no partition: GRUB then looks for its folder here.
    debian = folder / "EFI/debian"
    debian.mkdir(parents=True)
    (debian / "grub.cfg").write_text(start_script(find))
    # The folder without a device: on the disc or disk GRUB was started from.
    make_image(host, "i386-pc-eltorito", grub / "bios.img", "/twinboot/grub", [*BIOS, "iso9660"])
    esp = work / "esp.img"
    with esp.open("wb") as file:
        file.truncate(SECTORS * 512)
    fill_esp(host, make_fat(host, esp, 0, SECTORS, "TWINBOOTESP", "54574545"), contents.signed, find, work)
    host.run(
        write(
            *("xorriso", "-as", "mkisofs", "-quiet", "-o", str(image)),
            *("-volid", LABEL, "-iso-level", "3", "-rational-rock", "-joliet"),
            # BIOS: from a disc by El Torito, from a stick by the boot sector.
            *("-b", f"{GRUB}/bios.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"),
            *("--grub2-boot-info", "--grub2-mbr", str(LIBRARY / "i386-pc/boot_hybrid.img")),
            # UEFI: the same partition, named by El Torito and by the partition table.
            *("-append_partition", "2", "0xef", str(esp)),
            *("-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::", "-no-emul-boot"),
            str(folder),
            timeout=600,
        )
    )
