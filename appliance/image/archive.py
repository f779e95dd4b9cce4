"""The root as an archive that Linux unpacks into memory beside the initrd: what goes before and after it.

GRUB's own `newc:` leaves out the NUL that ends a name, which kernels refuse (GRUB before 2.12; Linux,
init/initramfs.c). GRUB puts the files of one `initrd` line one after the other, each on a boundary of four
bytes, so two small files around the root make the archive, and nothing is stored twice.
"""

from __future__ import annotations

import stat

_FIELDS = 13
ALIGNMENT = 4
TRAILER = "TRAILER!!!"


def before(name: str, size: int) -> bytes:
    """What goes before the `size` bytes of the file `name`, which belongs to root and may only be read.

    Raises ValueError where the format has no room for the size (4 GiB), or where the size would need padding.
    """
    if not 0 < size < 1 << 32:
        raise ValueError(f"{name} of {size} bytes does not fit into a cpio archive.")
    if size % ALIGNMENT:
        raise ValueError(f"{name} of {size} bytes does not end on a boundary of {ALIGNMENT} bytes.")
    return _header(name, mode=stat.S_IFREG | 0o444, size=size)


def after() -> bytes:
    """What ends the archive."""
    return _header(TRAILER, mode=0, size=0)


def _header(name: str, mode: int, size: int) -> bytes:
    """One header of the "new" format (kernel, early-userspace/buffer-format.rst), with name and padding."""
    path = name.encode() + b"\0"
    fields = [0] * _FIELDS
    fields[1], fields[4], fields[6], fields[11] = mode, 1, size, len(path)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return header + bytes(-len(header) % ALIGNMENT)
