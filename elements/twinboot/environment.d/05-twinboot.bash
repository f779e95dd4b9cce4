# Settings every build of the appliance shares; mirrors are the caller's business.
export DIB_RELEASE=${DIB_RELEASE:-trixie}
export DIB_DEBIAN_COMPONENTS=main,non-free-firmware
export DIB_PYTHON_VERSION=3
# systemd-networkd names and configures the interfaces.
export DIB_APT_MINIMAL_CREATE_INTERFACES=0
# The kernel package would build an initrd of its own that nobody boots.
export INITRD=No
