"""UEFI boot variables."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from appliance.boot import efi, env
from appliance.boot.shapes import BootState
from appliance.errors import BootConfigFailed
from appliance.host.run import Command, Effect, Output

VERBOSE = """BootCurrent: 0002
Timeout: 0 seconds
BootOrder: 0002,0001,0000
Boot0000* UiApp\tFvVol(7cb8bdc9)/FvFile(462caa21)
Boot0001  UEFI QEMU HARDDISK\tPciRoot(0x0)/Pci(0x4,0x0)N.....YM....R,Y.
Boot0002* debian\tHD(1,GPT,aa-bb,0x800,0x5f000)/File(\\EFI\\debian\\shimx64.efi)
"""


@dataclass
class Firmware:
    """efibootmgr over a firmware that may have its own mind."""

    following: str = ""
    forgets: bool = False
    reorders: bool = False
    ran: list[Command] = field(default_factory=list)

    def run(self, command: Command) -> Output:
        self.ran.append(command)
        if "--bootnext" in command.argv and not self.forgets:
            self.following = command.argv[-1]
        order = "0001,0002,0000" if self.reorders and self.following else "0002,0001,0000"
        text = VERBOSE.replace("0002,0001,0000", order)
        return Output(0, (f"BootNext: {self.following}\n" if self.following else "") + text)


def test_parse() -> None:
    found = efi.parse(VERBOSE)
    assert (found.current, found.next, found.order) == ("0002", "", ("0002", "0001", "0000"))
    assert [entry.label for entry in found.entries] == ["UiApp", "UEFI QEMU HARDDISK", "debian"]
    assert [entry.active for entry in found.entries] == [True, False, True]
    assert "shimx64.efi" in found.entries[2].path
    assert efi.parse("EFI variables are not supported on this system.\n").entries == ()


def test_boot_next_is_written_once_and_read_back() -> None:
    firmware = Firmware()
    efi.set_boot_next(firmware, "0001")
    efi.set_boot_next(firmware, "0001")
    assert [c.argv for c in firmware.ran if c.effect is Effect.WRITE] == [
        ("efibootmgr", "--quiet", "--bootnext", "0001")
    ]


@pytest.mark.parametrize("firmware", [Firmware(forgets=True), Firmware(reorders=True)])
def test_firmware_that_does_not_hold_is_said(firmware: Firmware) -> None:
    with pytest.raises(BootConfigFailed, match="did not keep BootNext"):
        efi.set_boot_next(firmware, "0001")


def test_an_entry_that_is_not_there_is_not_written() -> None:
    firmware = Firmware()
    with pytest.raises(BootConfigFailed, match="no boot entry"):
        efi.set_boot_next(firmware, "0009")
    assert all(command.effect is Effect.READ for command in firmware.ran)


@pytest.mark.parametrize(
    "path, turned",
    [
        ("\\EFI\\debian\\shimx64.efi", "/EFI/debian/shimx64.efi"),
        ("\\EFI\\BOOT\\BOOTX64.EFI", "/EFI/BOOT/BOOTX64.EFI"),
        ("", ""),
        ("\\EFI\\some vendor\\grub.efi", ""),
        ("\\EFI\\x$(reboot)\\grub.efi", ""),
        ("shimx64.efi", ""),
    ],
)
def test_a_loaders_path_as_grub_writes_it(path: str, turned: str) -> None:
    assert efi.grub_path(path) == turned
    encoded = env.decode(env.block(BootState.ARMED, "tb1", "7A3B-91C4", efi.grub_path(path)))
    assert encoded["tb_loader"] == turned
