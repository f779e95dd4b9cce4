"""The env block of ours: one sector that decides what the next boot is.

GRUB's format (grub-core/lib/envblk.c): a signature line, `name=value` lines, `#` up to the end. The file is
1024 bytes; every variable of ours ends inside the first 512, so that one sector write changes them all at
once, by us and by GRUB's save_env alike.
"""

from __future__ import annotations

import re

from appliance.boot.shapes import BootState
from appliance.errors import BootConfigFailed

SIGNATURE = b"# GRUB Environment Block\n"
SIZE = 1024
SECTOR = 512
NAMES = ("tb_state", "tb_run", "tb_once", "tb_pending", "tb_keep", "tb_esp", "tb_loader")
_VALUE = re.compile(r"[A-Za-z0-9._/:+-]*\Z")


def encode(values: dict[str, str]) -> bytes:
    """A whole block of 1024 bytes. Raises BootConfigFailed where a value is not plain or does not fit."""
    out = SIGNATURE
    for name in NAMES:
        value = values.get(name, "")
        if not _VALUE.match(value):
            raise BootConfigFailed(f"{name} cannot hold {value!r}: only plain words go into the env block.")
        out += f"{name}={value}\n".encode("ascii")
    if len(out) > SECTOR:
        raise BootConfigFailed("The names do not fit into one sector of the env block; choose shorter ones.")
    return out.ljust(SIZE, b"#")


def decode(block: bytes) -> dict[str, str]:
    """The variables of a block, as GRUB reads them. Raises BootConfigFailed where it is none of ours."""
    if len(block) < SECTOR or not block.startswith(SIGNATURE):
        raise BootConfigFailed("The env block is damaged: it does not begin as one.")
    values: dict[str, str] = {}
    for line in block.split(b"\n"):
        name, mark, value = line.partition(b"=")
        if mark and not line.startswith(b"#"):
            values[name.decode("ascii", "replace")] = value.decode("ascii", "replace")
    return values


def values_of(data: bytes | None) -> dict[str, str]:
    """Like decode, with nothing where there is no block or a damaged one."""
    try:
        return decode(data) if data else {}
    except BootConfigFailed:
        return {}


def with_value(block: bytes, name: str, value: str) -> bytes:
    """Any env block with that value of `name`, the rest byte for byte. Raises BootConfigFailed where it is
    none, or is full."""
    decode(block)
    lines = block.rstrip(b"#").split(b"\n")
    kept = [line for line in lines if line and not line.startswith(f"{name}=".encode())]
    out = b"".join(line + b"\n" for line in [*kept, f"{name}={value}".encode()])
    if len(out) > len(block):
        raise BootConfigFailed("The env block is full.")
    return out.ljust(len(block), b"#")


def state_of(values: dict[str, str]) -> BootState:
    try:
        return BootState(values.get("tb_state", ""))
    except ValueError:
        return BootState.DAMAGED


def block(state: BootState, run: str, esp: str = "", loader: str = "", keep: bool = False) -> bytes:
    """The block for `state` of `run`; `esp` and `loader` are what the stick needs to hand over by UEFI."""
    return encode(
        {
            "tb_state": state.value,
            "tb_run": run,
            "tb_once": "1" if state is BootState.ARMED else "0",
            "tb_pending": "1" if state.pending else "0",
            "tb_keep": "1" if keep else "0",
            "tb_esp": esp,
            "tb_loader": loader,
        }
    )
