"""Records what a running lab system says, for tests that replay it: tests/fixtures/recorded/<machine>/."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

from tests.lab.machine import Machine

RECORDED = Path(__file__).parents[1] / "fixtures/recorded"

# LVM 2.03.16 of Debian 12 knows no json_std.
_REPORT = "--reportformat json --units b --nosuffix"
COMMANDS = {
    "lsblk.json": "lsblk --json -b -O",
    "pvs.json": f"pvs -a -o +pv_all,vg_name,vg_uuid {_REPORT}",
    "vgs.json": f"vgs -o +vg_all {_REPORT}",
    "lvs.json": f"lvs -a -o +lv_all,vg_name,vg_uuid,devices,metadata_devices,seg_monitor {_REPORT}",
    "lvs_segments.json": f"lvs -a --segments -o +seg_all {_REPORT}",
    "lvm_fullreport.json": f"lvm fullreport {_REPORT}",
    "vgcfgbackup.txt": "vgcfgbackup -q -f /tmp/vg0.txt vg0 >/dev/null && cat /tmp/vg0.txt",
    "dmsetup_table.txt": "dmsetup table",
    "dmsetup_status.txt": "dmsetup status",
    "blkid.txt": "blkid -o export",
    "sfdisk.json": "sfdisk --json $(lsblk -ndpo NAME,TYPE | grep disk | cut -d' ' -f1 | head -1)",
    "efibootmgr.txt": "efibootmgr -v",
    "esp_files.txt": "cd /boot/efi && find . -type f | sort",
    "esp_grub.cfg": "cat /boot/efi/EFI/debian/grub.cfg",
    "boot_files.txt": "cd /boot && find . -maxdepth 2 -printf '%p %s %y %n\\n' | grep -v .mod | sort",
    "grub.cfg": "cat /boot/grub/grub.cfg",
    "default_grub.txt": "cat /etc/default/grub",
    "grubenv.txt": "grub-editenv /boot/grub/grubenv list",
    "grub.d.txt": "ls -l /etc/grub.d",
    "41_custom.txt": "cat /etc/grub.d/41_custom",
    "fstab.txt": "cat /etc/fstab",
    "os-release.txt": "cat /etc/os-release",
    "sources.list.txt": "cat /etc/apt/sources.list /etc/apt/sources.list.d/*",
    "interfaces.txt": "cat /etc/network/interfaces",
    "dpkg_list.txt": "dpkg-query -W -f '${Package} ${Version} ${Architecture} ${db:Status-Abbrev}\\n'",
    "dpkg_status_kernel.txt": "dpkg -s linux-image-$(uname -r)",
    "dpkg_kernel_files.txt": "dpkg -L linux-image-$(uname -r) | grep ^/boot",
    "dpkg_audit.txt": "dpkg --audit",
    "units.json": "systemctl list-units --all --output=json",
    "unit_files.json": "systemctl list-unit-files --output=json",
    "timers.json": "systemctl list-timers --all --output=json",
    "failed_units.json": "systemctl list-units --failed --output=json",
    "ss.txt": "ss -Htuln",
    "ss_processes.txt": "ss -Htulnp",
    "findmnt.json": "findmnt --json -b -o +PARTUUID,UUID,FSROOT",
    "swaps.txt": "cat /proc/swaps",
    "cmdline.txt": "cat /proc/cmdline",
    "modules.txt": "lsmod",
    "lsinitramfs.txt": "lsinitramfs /boot/initrd.img-$(uname -r)",
    "dmi.txt": "cd /sys/class/dmi/id; grep -H . bios_* board_* chassis_* product_* sys_vendor 2>/dev/null",
    "ip_link.json": "ip -j link",
    "ip_address.json": "ip -j address",
    "ip_route.json": "ip -j route",
    "udev_net.txt": "udevadm info /sys/class/net/enp0s16",
    "udev_disk.txt": "udevadm info $(lsblk -ndpo NAME,TYPE | grep disk | cut -d' ' -f1 | head -1)",
    "systemd-analyze.txt": "systemd-analyze",
    "journal_errors.txt": "journalctl -b -p warning --no-pager -o short-monotonic",
    "kernel_errors.txt": "dmesg --level=emerg,alert,crit,err",
}
FILES = {"grubenv.bin": "/boot/grub/grubenv"}


def record(machine: Machine, name: str) -> Path:
    """Run every command on the logged-in system and write its output to the folder `name`; returns it."""
    folder = RECORDED / name
    folder.mkdir(parents=True, exist_ok=True)
    shell = machine.shell()
    for target, command in COMMANDS.items():
        (folder / target).unlink(missing_ok=True)
        answer = shell.run(f"({command})", limit=600)
        if answer.status == 0:
            (folder / target).write_text(answer.text + "\n" if answer.text else "")
        else:
            print(f"lab: {command}: status {answer.status}: {answer.text}", file=sys.stderr)
    for target, path in FILES.items():
        (folder / target).write_bytes(base64.b64decode(shell.read(f"base64 {path}")))
    return folder
