"""The menus: GRUB's on stick and disc and over the network, and the iPXE script. Pure text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
# quiet and loglevel: kernel lines over a screen are the commonest mess. noresume: the image never resumes.
# gpt: Linux falls back to the second partition table where the first is damaged, as after a power cut while
# the data partition grows. net.ifnames=0: a network card keeps the name its kernel gives it, from which the
# installed system's own udev can be asked what it would call it (twin/udev_names.py).
ARGUMENTS = "boot=twinboot quiet loglevel=1 noresume gpt net.ifnames=0 twinboot.build=@BUILD@"


@dataclass(frozen=True, slots=True)
class Entry:
    """One way to start the image: `more` is added to the kernel's arguments, `mode` is GRUB's gfxpayload."""

    name: str
    title: str
    more: str = ""
    mode: str = "keep"


ENTRIES = (
    Entry("twinboot", "Twinboot"),
    Entry("toram", "Twinboot, copied to memory (the medium can be taken out)", "toram"),
    Entry("safe", "Twinboot, safe graphics", "nomodeset", "text"),
    Entry(
        "com1",
        "Twinboot, kernel messages on COM1 (ttyS0, 115200)",
        "console=tty0 console=ttyS0,115200n8 loglevel=6",
    ),
    Entry(
        "com2",
        "Twinboot, kernel messages on COM2 (ttyS1, 115200)",
        "console=tty0 console=ttyS1,115200n8 loglevel=6",
    ),
    Entry("verify", "Verify this medium, then start Twinboot", "twinboot.verify"),
)
# Over the network there is no medium to verify, and the root is in memory anyway.
NETWORK_ENTRIES = tuple(entry for entry in ENTRIES if entry.name not in {"toram", "verify"})


def _entry(entry: Entry, root_args: str, memory: str) -> str:
    arguments = " ".join(part for part in (ARGUMENTS, root_args, entry.more, "$extra_args") if part)
    initrd = " ".join(part for part in ("$here/initrd.img", memory) if part)
    return (
        f'menuentry "{entry.title}" --id {entry.name} {{\n'
        f"    set gfxpayload={entry.mode}\n"
        f"    linux $here/vmlinuz {arguments}\n"
        f"    initrd {initrd}\n"
        "}"
    )


def _fill(name: str, entries: str, values: dict[str, str]) -> str:
    text = (HERE / name).read_text()
    for part in ("TERMINALS", "PENDING"):
        text = text.replace(f"@{part}@", (HERE / f"menu-{part.lower()}.cfg").read_text().rstrip())
    machine = (HERE / "menu-machine.cfg").read_text().rstrip()
    text = text.replace("@ENTRIES@", f"{entries}\n{machine}")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def medium_menu(build: str) -> str:
    """grub.cfg of stick and disc; `build` is the build's id, which the kernel line names."""
    entries = "\n".join(_entry(entry, "", "") for entry in ENTRIES)
    return _fill("medium-grub.cfg", entries, {"BUILD": build})


def loopback_menu(build: str) -> str:
    """loopback.cfg of the disc: what a multi-boot stick's GRUB shows, which holds the disc as a file."""
    entries = "\n".join(_entry(entry, '"twinboot.iso=$iso_path"', "") for entry in ENTRIES)
    text = (HERE / "loopback.cfg").read_text().replace("@ENTRIES@", entries)
    return text.replace("@BUILD@", build)


def network_menu(build: str, sha256: str) -> str:
    """grub.cfg of the PXE folder; `sha256` is the hash of its rootfs.squashfs."""
    entries = "\n".join(_entry(entry, "$root_args", "$memory") for entry in NETWORK_ENTRIES)
    return _fill("pxe-grub.cfg", entries, {"BUILD": build, "SHA256": sha256})


def ipxe_script(build: str, sha256: str) -> str:
    """boot.ipxe of the PXE folder."""
    return _fill(
        "boot.ipxe.cfg",
        "",
        {"BUILD": build, "SHA256": sha256, "ARGUMENTS": ARGUMENTS.replace("@BUILD@", build)},
    )
