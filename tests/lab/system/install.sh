#!/bin/sh
# PID 1 of the short installation VM: lays out LVM, if any, on the prepared disk (vda), copies the prepared root file
# system (vdb) into the root volume, and lets the system's own tools install the loader, as Debian's installer and
# package scripts do.
set -e
export PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin LC_ALL=C.UTF-8

finish() {
    echo "LAB-INSTALL-STATUS $1"
    sync
    echo o > /proc/sysrq-trigger
    sleep 60
}
trap 'finish failed' EXIT

mkdir -p /dev /proc /sys /run /stage /target
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys

exec </dev/console >/dev/console 2>&1
for word in $(cat /proc/cmdline); do
    case $word in lab.*) eval "$(echo "$word" | tr . _)" ;; esac
done
for module in virtio_pci virtio_blk ext4; do modprobe "$module"; done

mount -o ro /dev/vdb /stage
for place in dev proc sys; do mount --bind /$place /stage/$place; done
mount -t tmpfs run /stage/run
# LVM wants to write archives of its metadata; this root is read-only.
cp -a /stage/etc/lvm /lvm
mount --bind /lvm /stage/etc/lvm
for module in dm-thin-pool dm-snapshot vfat nls_ascii nls_cp437; do chroot /stage modprobe "$module"; done
chroot /stage /lib/systemd/systemd-udevd --daemon
chroot /stage udevadm trigger --action=add
chroot /stage udevadm settle

echo "LAB-INSTALL $lab_storage"
in_stage() { chroot /stage "$@"; }
if [ "$lab_storage" != partition ]; then
    if [ -n "$lab_passphrase" ]; then
        for module in aesni-intel dm-crypt; do chroot /stage modprobe "$module"; done
        # cryptsetup's locks
        mkdir -p /stage/run/cryptsetup
        # As cheap as cryptsetup lets it be: making a key takes an emulated processor fifty times as long.
        printf %s "$lab_passphrase" | in_stage cryptsetup luksFormat -q --type luks2 --uuid "$lab_luks_uuid" \
            --pbkdf argon2id --pbkdf-memory 32768 --pbkdf-parallel 1 --pbkdf-force-iterations 4 \
            --key-file - "$lab_pv"
        printf %s "$lab_passphrase" | in_stage cryptsetup open --key-file - "$lab_pv" "$lab_luks_name"
        lab_pv=/dev/mapper/$lab_luks_name
    fi
    if [ -n "$lab_second_leg" ]; then
        chroot /stage modprobe raid1
        # Both are blank: they need not be put in step. A bitmap, as mdadm gives one to whatever is large.
        in_stage mdadm --create /dev/md/0 --run --level=1 --raid-devices=2 --metadata=1.2 --bitmap=internal \
            --assume-clean --homehost="${lab_array_name%%:*}" --name="${lab_array_name##*:}" --uuid="$lab_array_uuid" \
            "$lab_pv" "$lab_second_leg"
        lab_leg=$lab_pv
        lab_pv=/dev/md/0
    fi
    if [ -n "$lab_boot_legs" ]; then
        # shellcheck disable=SC2046 # one word for each leg
        in_stage mdadm --create /dev/md/1 --run --level=1 --raid-devices=2 --metadata=1.2 --bitmap=internal \
            --assume-clean --homehost="${lab_boot_array_name%%:*}" --name="${lab_boot_array_name##*:}" \
            --uuid="$lab_boot_array_uuid" $(echo "$lab_boot_legs" | tr , ' ')
        in_stage dd if=/dev/vdd of=/dev/md/1 bs=1M conv=sparse,fsync status=none
    fi
    [ "$lab_second" = 0 ] || lab_pv="$lab_pv /dev/vdc"
    # shellcheck disable=SC2086 # one word for each physical volume
    in_stage pvcreate -q $lab_pv
    # shellcheck disable=SC2086
    in_stage vgcreate -q vg0 $lab_pv
    if [ "$lab_storage" = thick ]; then
        in_stage lvcreate -y -L "${lab_root}m" -n root vg0
        [ "$lab_srv" = 0 ] || in_stage lvcreate -y -L "${lab_srv}m" -n srv vg0
    else
        in_stage lvcreate -y --type thin-pool -L "${lab_pool}m" --poolmetadatasize 16m -n pool vg0
        in_stage lvcreate -y -V "${lab_root}m" --thinpool vg0/pool -n root
        in_stage lvcreate -y -V "${lab_srv}m" --thinpool vg0/pool -n srv
        for beside in var usr; do
            eval "size=\$lab_$beside"
            [ "$size" = 0 ] || in_stage lvcreate -y -V "${size}m" --thinpool vg0/pool -n "$beside"
        done
    fi
    if [ "$lab_boot" != 0 ]; then
        in_stage lvcreate -y -L "${lab_boot}m" -n boot vg0
        in_stage dd if=/dev/vdc "of=$lab_boot_dev" bs=1M conv=sparse,fsync status=none
    fi
    if [ "$lab_swap" = 0 ]; then
        in_stage lvcreate -y -l 100%FREE -n swap vg0
    else
        in_stage lvcreate -y -L "${lab_swap}m" -n swap vg0
    fi
fi
[ "$lab_srv" = 0 ] || in_stage mkfs.ext4 -q -U "$lab_srv_uuid" /dev/vg0/srv
in_stage mkswap -U "$lab_swap_uuid" "$lab_swap_dev"

echo "LAB-INSTALL copy"
if [ "$lab_root_fs" = ext4 ]; then
    # Only the blocks in use, in place: a thin root maps nothing else.
    in_stage e2image -ra /dev/vdb "$lab_root_dev"
    mount "$lab_root_dev" /target
else
    chroot /stage modprobe "$lab_root_fs"
    if [ "$lab_root_fs" = btrfs ]; then
        in_stage mkfs.btrfs -q -U "$lab_root_uuid" "$lab_root_dev"
        mount -t btrfs "$lab_root_dev" /target
        mount --bind /target /stage/mnt
        in_stage btrfs subvolume create /mnt/@rootfs
        in_stage btrfs subvolume create /mnt/@home
        [ "$lab_by_default" = 0 ] || in_stage btrfs subvolume set-default /mnt/@rootfs
        umount /stage/mnt
        umount /target
        mount -t btrfs -o subvol=@rootfs "$lab_root_dev" /target
        mkdir /target/home
        mount -t btrfs -o subvol=@home "$lab_root_dev" /target/home
    else
        in_stage "mkfs.$lab_root_fs" -q -m "uuid=$lab_root_uuid" "$lab_root_dev"
        mount -t "$lab_root_fs" "$lab_root_dev" /target
    fi
    # A second view of it, without what is mounted over the first.
    mkdir -p /copy
    mount -o ro /dev/vdb /copy
    cp -a /copy/. /target/
    umount /copy
fi
# Volumes beside the root take what lies in their folders.
mkdir -p /beside
for beside in var usr; do
    eval "size=\$lab_$beside"
    [ "$size" = 0 ] || {
        in_stage mkfs.ext4 -q "/dev/vg0/$beside"
        mount "/dev/mapper/vg0-$beside" /beside
        cp -a "/target/$beside/." /beside/
        umount /beside
        rm -rf "/target/$beside"
        mkdir "/target/$beside"
        mount "/dev/mapper/vg0-$beside" "/target/$beside"
    }
done
# The links by UUID, which the loader's tools look for.
in_stage udevadm settle
[ "$lab_loader" != grub ] || mount "$lab_boot_dev" /target/boot
mkdir -p /target/boot/efi
mount -t vfat /dev/vda2 /target/boot/efi
[ "$lab_srv" = 0 ] || mount /dev/mapper/vg0-srv /target/srv
for place in dev proc sys; do mount --bind /$place /target/$place; done
# udev's knowledge of the devices: grub-probe and LVM ask for it.
mount --bind /stage/run /target/run
if [ -d /sys/firmware/efi ]; then
    chroot /stage modprobe efivarfs
    mount -t efivarfs efivarfs /sys/firmware/efi/efivars
    mount --bind /sys/firmware/efi/efivars /target/sys/firmware/efi/efivars
fi

echo "LAB-INSTALL $lab_loader"
if [ "$lab_loader" = systemd-boot ]; then
    # What the package's postinst does on a running system: the entry gets that one's command line.
    chroot /target bootctl install --make-machine-id-directory=auto
    mkdir -p /target/run/kernel
    . /target/etc/default/grub
    echo "root=$lab_root_dev ro $GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT" > /target/run/kernel/cmdline
    for image in /target/boot/vmlinuz-*; do
        version=${image##*/vmlinuz-}
        KERNEL_INSTALL_CONF_ROOT=/run/kernel chroot /target kernel-install add "$version" "/boot/vmlinuz-$version"
    done
    chroot /target bootctl list --no-pager
    chroot /target efibootmgr -v
elif [ -d /sys/firmware/efi ]; then
    chroot /target grub-install
    chroot /target efibootmgr -v
else
    chroot /target grub-install /dev/vda
fi
# A root by default is not named for the kernel either.
[ "$lab_by_default" = 0 ] || sed -i 's/rootflags=subvol=${rootsubvol} //' /target/etc/grub.d/10_linux
[ "$lab_loader" != grub ] || chroot /target update-grub
[ "$lab_storage" = partition ] || chroot /target vgcfgbackup -q vg0

echo "LAB-INSTALL finish"
for place in sys/firmware/efi/efivars run sys proc dev srv home boot/efi boot var usr; do
    umount "/target/$place" 2>/dev/null || true
done
umount /target
sync
[ "$lab_storage" = partition ] || vgchange -q -an vg0 || in_stage vgchange -q -an vg0
if [ -n "$lab_second_leg" ]; then
    in_stage mdadm --stop /dev/md/0
    [ -z "$lab_boot_legs" ] || in_stage mdadm --stop /dev/md/1
    in_stage mdadm --examine "$lab_leg" "$lab_second_leg"
fi
[ -z "$lab_passphrase" ] || in_stage cryptsetup close "$lab_luks_name"
trap - EXIT
finish ok
