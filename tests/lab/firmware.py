"""The firmwares a lab machine can have, and where this machine keeps them."""

from __future__ import annotations

from pathlib import Path

from tests.lab.native import LabError

BIOS = "bios"
UEFI = "uefi"

_CODE = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd")
_VARS = ("/usr/share/OVMF/OVMF_VARS_4M.fd", "/usr/share/OVMF/OVMF_VARS.fd")
_SECURE_CODE = ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_CODE.secboot.fd")
_SECURE_VARS = ("/usr/share/OVMF/OVMF_VARS_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd")


def uefi_code(secure: bool = False) -> Path:
    """OVMF's program, without Secure Boot or with it."""
    return _first(_SECURE_CODE if secure else _CODE)


def variables_template(secure: bool = False) -> Path:
    """The variable store that goes with `uefi_code`: empty, or with Microsoft's keys and Secure Boot on."""
    return _first(_SECURE_VARS if secure else _VARS)


def _first(paths: tuple[str, ...]) -> Path:
    for name in paths:
        if Path(name).is_file():
            return Path(name)
    raise LabError(f"no UEFI firmware: none of {', '.join(paths)} is there (package ovmf).")
