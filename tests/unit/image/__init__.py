"""Image building: menus, partition table, growth, initramfs script, lock, mirrors. Fast, without a build."""
