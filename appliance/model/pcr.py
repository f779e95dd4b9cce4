"""The registers of a TPM that a boot fills (UAPI.7, Linux TPM PCR Registry): what a promotion changes."""

from __future__ import annotations

CHANGED = {
    4: "the kernel, where the firmware or shim starts it",
    5: "the partition table",
    8: "the boot loader's commands and the kernel's command line",
    9: "every file that the boot loader reads: kernel, initrd, entries",
    10: "what IMA measures",
    11: "the unified kernel image",
    12: "the command line beside a unified kernel image",
}
"""Those that differ where another kernel, initrd or entry is measured at its start, and by what. A BIOS does
not measure that, and neither does its GRUB (grub.info, "Measured Boot")."""


def registers(numbers: tuple[int, ...]) -> str:
    """In words: "PCR 4 and 7"; "no PCR"."""
    if not numbers:
        return "no PCR"
    *first, last = [str(number) for number in sorted(set(numbers))]
    return f"PCR {', '.join(first)} and {last}" if first else f"PCR {last}"
