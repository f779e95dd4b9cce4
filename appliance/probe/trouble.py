"""Everything that can stand in the way, as full sentences. `refuses` marks what a rehearsal is refused for.

The codes are stable. A missing KVM refuses nothing here: the request says whether the twin may be emulated.
"""

from __future__ import annotations

from appliance.model.machine import Disk, LogicalVolume, Trouble, Volume, VolumeGroup
from appliance.model.plan import FULL

NO_KVM = "no-kvm"
STATE_VOLUME = "twinboot-state"
STATE_SIZE = 64 << 20


def refusal(code: str, *words: str) -> Trouble:
    return Trouble(code=code, sentence=" ".join(words), refuses=True)


def warning(code: str, *words: str) -> Trouble:
    return Trouble(code=code, sentence=" ".join(words), refuses=False)


def no_kvm(virtualisation: str) -> Trouble:
    why = (
        "KVM does not answer although the CPU has hardware virtualisation; is it off in the firmware?"
        if virtualisation
        else "the CPU offers no hardware virtualisation; is it off in the firmware?"
    )
    return warning(NO_KVM, f"The twin can not run under KVM: {why} With --emulate it runs, very slowly.")


def junk_serial(serial: str, source: str, value: str) -> Trouble:
    said = f'The serial number "{serial}" is a placeholder' if serial else "This machine has no serial number"
    if not value:
        return refusal("no-identity", f"{said}, and nothing else tells it from another machine.")
    return warning("junk-serial", f"{said}; its {source} {value} stands in.")


def failing_disk(disk: Disk) -> Trouble:
    name = " ".join(filter(None, (disk.model, disk.serial)))
    return refusal(
        "failing-disk", f"The disk {disk.path}{f' ({name})' if name else ''} reports that it is failing."
    )


def unknown_table(disk: Disk) -> Trouble:
    return refusal(
        "unknown-table",
        f"The disk {disk.path} has a partition table of the kind {disk.table},",
        "which is neither GPT nor MBR.",
    )


def missing_pv(group: VolumeGroup) -> Trouble:
    lost = "one physical volume is" if group.missing_pvs == 1 else f"{group.missing_pvs} physical volumes are"
    return refusal("missing-pv", f"The volume group {group.name} is not complete: {lost} missing.")


def file_system_full(volume: Volume, has: str, needs: str) -> Trouble:
    return refusal(
        "file-system-full",
        f"The file system of {volume.target} on {volume.device} has {has} free, and what a rehearsal adds to",
        f"a copy of it takes {needs}. Make room in it: on the running system, old packages and logs go with",
        "`apt-get clean` and `journalctl --vacuum-size=50M`.",
    )


def clock_behind(now: str, wrote: str) -> Trouble:
    return warning(
        "clock-behind",
        f"This machine's clock says {now}, but its system wrote to its disk on {wrote}: package lists signed",
        "since then count as not valid yet. Set it in the firmware's setup, or by `date -s` in a shell here.",
    )


def unreadable(volume: str, why: str) -> Trouble:
    return warning("unreadable", f"The volume {volume} was not looked at: {why}.")


def pool_full(vg: str, pool: LogicalVolume) -> tuple[Trouble, ...]:
    """A snapshot needs room for what the patch changes; a full pool stops every volume in it."""
    kinds = (("data", pool.data_percent), ("metadata", pool.metadata_percent))
    return tuple(
        refusal(
            f"pool-{kind}-full",
            f"The {kind} of the thin pool {vg}/{pool.name} is {percent:.0f} %",
            f"full; a rehearsal needs it at {FULL:.0f} % or less.",
        )
        for kind, percent in kinds
        if percent > FULL
    )


def pool_damaged(vg: str, pool: str) -> Trouble:
    return refusal("pool-damaged", f"The thin pool {vg}/{pool} asks for a repair of its metadata.")


def pool_disagrees(vg: str, pool: str, lvm: int, kernel: int) -> Trouble:
    return refusal(
        "pool-disagrees",
        f"The thin pool {vg}/{pool} and LVM disagree about its last change",
        f"(transaction {kernel} and {lvm}).",
    )


def no_state_room(group: VolumeGroup) -> tuple[Trouble, ...]:
    """The state volume lies beside the pool; one that exists needs no room."""
    free = group.free_count * group.extent_size
    if group.lv(STATE_VOLUME) is not None or free >= STATE_SIZE:
        return ()
    return (
        refusal(
            "no-state-room",
            f"The volume group {group.name} has {free >> 20} MiB free outside",
            f"its thin pool; the state volume needs {STATE_SIZE >> 20} MiB.",
        ),
    )


def btrfs_in_lvm(volume: Volume) -> Trouble:
    return refusal(
        "btrfs-in-lvm",
        f"The root volume {volume.device} holds btrfs inside LVM: two snapshots of it would be one file",
        "system to the kernel, so that can not be rehearsed (yet).",
    )


def several_devices(device: str, count: int) -> Trouble:
    return refusal(
        "btrfs-devices",
        f"The btrfs file system of the root on {device} lies on {count} devices:",
        "only one on a single device can be rehearsed (yet).",
    )


def another_subvolume(device: str, path: str) -> Trouble:
    return refusal(
        "another-subvolume",
        f"The system on {device} lies in {f'the subvolume {path}' if path else 'its top level'},",
        "but its boot entry or its /etc/fstab names another one: put that right first.",
    )


def left_out(path: str) -> Trouble:
    return refusal(
        "subvolume-inside",
        f"/{path} is a subvolume of its own inside the root and holds files, which no snapshot of the root",
        "has: mount it by /etc/fstab, or make it a plain folder.",
    )


def set_outside(volume: Volume) -> Trouble:
    return refusal(
        "set-outside",
        f"{volume.target} lies on a volume of its own ({volume.device}) and",
        "holds what packages install: beside such a root that can not be rehearsed (yet).",
    )


def set_unreadable(volume: Volume, why: str) -> Trouble:
    return refusal("set-unreadable", f"{volume.target} ({volume.device}) belongs to the system, but {why}.")


def set_twice(volume: Volume) -> Trouble:
    return refusal(
        "set-twice",
        f"fstab has more than one line for {volume.target}: leave the one that counts in /etc/fstab on",
        "the running system.",
    )


def set_by_tag(volume: Volume) -> Trouble:
    return refusal(
        "set-by-tag",
        f"fstab names {volume.target} by what its snapshots bear as well (UUID or label): name it by",
        f"its path, {volume.device}, in /etc/fstab on the running system.",
    )


def hibernated(device: str) -> Trouble:
    return refusal(
        "hibernated", f"A system sleeps in {device} (hibernation): start it and shut it down properly first."
    )


def damaged(device: str) -> Trouble:
    return refusal("damaged-fs", f"The file system on {device} has recorded errors: it needs a repair first.")


def dirty(device: str) -> Trouble:
    return warning(
        "dirty-fs",
        f"The file system on {device} was not unmounted cleanly; its journal is replayed",
        "in the snapshot, not in the original.",
    )


def log_to_replay(device: str) -> Trouble:
    return refusal(
        "btrfs-log",
        f"The btrfs on {device} was not unmounted cleanly and has a log to replay, which nobody here may:",
        "start the system and shut it down properly first.",
    )


def boots_another(root: str, other: str) -> Trouble:
    return warning("boots-another", f"The boot loader starts {other} by default, not this system on {root}.")


def os_release_damaged(why: str) -> Trouble:
    return warning("os-release-damaged", f"What the system calls itself can not be read. {why}")


def fstab_damaged(why: str) -> Trouble:
    return refusal("fstab-damaged", f"The system's /etc/fstab can not be read. {why}")


def fstab_link(target: str) -> Trouble:
    return refusal(
        "fstab-link",
        f"The system's /etc/fstab is a symbolic link to {target}; a trial's has to name another root, and",
        "only a plain file is edited.",
    )


def device_missing(spec: str, target: str) -> Trouble:
    return warning(
        "device-missing", f"/etc/fstab mounts {spec} at {target}, which this machine does not have."
    )


def resume_missing(spec: str) -> Trouble:
    return warning(
        "resume-missing",
        f"The system would wake from {spec}, which this machine does not have: its starts wait.",
    )


def not_in_devices_file(path: str, vg: str) -> Trouble:
    return warning(
        "lvm-devices",
        f"The system's /etc/lvm/devices/system.devices does not name {path} as this machine does:",
        f"its LVM would not find the volume group {vg} (lvmdevices(8)).",
    )


def boot_not_partition(device: str) -> Trouble:
    return refusal(
        "boot-not-partition",
        f"/boot lies on {device}, which is no plain partition:",
        "the boot entry could not be written in one step there (yet).",
    )


NO_ESP = "it has no EFI system partition that could take its place"


def no_fallback(device: str, esp: str = NO_ESP) -> Trouble:
    return refusal(
        "no-fallback",
        f"There is no automatic fallback on this machine: GRUB can read /boot on {device}, but not write",
        f"there, so no trial would end by itself, and {esp}.",
    )


def boot_unreadable(device: str) -> Trouble:
    return refusal("boot-unreadable", f"/boot lies on {device}, which does not mount.")


def boot_in_root(device: str) -> Trouble:
    return refusal(
        "boot-in-root",
        f"/boot lies inside the root volume {device}: that goes with a root of ext4 on a partition",
        "which GRUB starts by a BIOS and without BLS, and not with this one (yet).",
    )


def boot_in_another(device: str, copy: str) -> Trouble:
    return refusal(
        "boot-in-root",
        f"/boot lies inside the root {device}, which is {copy}, and GRUB's own files lie in the root it was",
        "made of: another run of it can not be promoted (yet).",
    )


def no_esp() -> Trouble:
    return refusal(
        "no-esp", "The machine starts by UEFI but the system has no EFI system partition on its disks."
    )


def unknown_loader() -> Trouble:
    return refusal(
        "unknown-loader",
        "No boot loader was recognised: only GRUB with",
        "/boot/grub/grub.cfg and systemd-boot can be taken round (yet).",
    )


def bls_entries() -> Trouble:
    return refusal(
        "bls-entries",
        "GRUB takes its entries from /boot/loader/entries (BLS): that goes with a root on LVM and",
        "/boot on a partition, and not with this one (yet).",
    )


def no_custom_cfg() -> Trouble:
    return refusal(
        "no-41-custom",
        "GRUB's grub.cfg does not source custom.cfg (/etc/grub.d/41_custom is",
        "missing or off): our boot entry would never be read.",
    )


def foreign_custom_cfg(folder: str) -> Trouble:
    return refusal(
        "foreign-custom-cfg", f"/boot/{folder}/custom.cfg exists and is not ours: it is left alone."
    )


def not_systemd(init: str) -> Trouble:
    return refusal(
        "not-systemd",
        f"The system's init is {init or 'unknown'}, not systemd:",
        "its health could not be judged.",
    )


def other_packages(manager: str) -> Trouble:
    return refusal(
        "other-packages",
        f"The system's packages are managed by {manager or 'nothing known here'}:",
        "only apt can be rehearsed (yet).",
    )


def no_kernel() -> Trouble:
    return refusal("no-kernel", "No kernel with its initrd was found in /boot.")
