"""The firmwares a lab machine can have, and where this machine keeps them."""

from __future__ import annotations

from pathlib import Path

from tests.lab.native import LabError

BIOS = "bios"
UEFI = "uefi"

_CODE = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd")
_VARS = ("/usr/share/OVMF/OVMF_VARS_4M.fd", "/usr/share/OVMF/OVMF_VARS.fd")


def uefi_code() -> Path:
    """OVMF's program, without Secure Boot."""
    return _first(_CODE)


def variables_template() -> Path:
    """OVMF's empty variable store that goes with `uefi_code`."""
    return _first(_VARS)


def _first(paths: tuple[str, ...]) -> Path:
    for name in paths:
        if Path(name).is_file():
            return Path(name)
    raise LabError(f"no UEFI firmware: none of {', '.join(paths)} is there (package ovmf).")
