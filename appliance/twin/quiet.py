"""What must not act in a rehearsal, and the one unit of ours that does. All of it hangs on the tools disk.

The agent and every quiet rule have the same condition: that our tools disk is (or is not) there. So one that
is forgotten would do nothing on the metal. They are removed, and proven removed, before the freeze.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from appliance.errors import TwinFailed
from appliance.model.verdict import AGENT_UNIT
from appliance.twin.domain import AGENT_CHANNEL, TOOLS_PATH
from appliance.twin.guest import Guest

TOOLS_MOUNT = "/run/twinboot/tools"
UNITS = "/etc/systemd/system"
SETTLE_UNIT = "twinboot-settle.service"
DROP_IN = "50-twinboot-quiet.conf"

# systemd's own escaping of the path (systemd-escape --path).
_DEVICE_UNIT = "dev-disk-by\\x2did-virtio\\x2dTWINBOOT\\x2dTOOLS.device"

QUIET_UNITS = (
    # time
    "cron.service", "crond.service", "cronie.service", "fcron.service", "anacron.service", "atd.service",
    "systemd-cron.target",
    # updates and first-boot work by themselves
    "apt-daily.service", "apt-daily-upgrade.service", "unattended-upgrades.service",
    "packagekit.service",
    "dnf-automatic.service", "dnf-makecache.service", "snapd.service", "fwupd.service",
    "cloud-init.service",
    "cloud-init-local.service", "cloud-init-main.service", "cloud-init-network.service",
    "cloud-config.service",
    "cloud-final.service",
    # mail queues
    "exim4.service", "postfix.service", "postfix@-.service", "sendmail.service", "opensmtpd.service",
    "nullmailer.service", "qmail.service",
    # backup
    "bacula-fd.service", "bareos-fd.service", "bareos-filedaemon.service", "urbackupclientbackend.service",
    "veeamservice.service", "burp.service", "amandabackup.service", "borgmatic.service", "nv_agent.service",
    "dsmcad.service", "networker.service", "avagent.service", "cvd.service",
    # cluster
    "corosync.service", "pacemaker.service", "sbd.service", "drbd.service", "keepalived.service",
    "glusterd.service", "ceph.target", "kubelet.service", "k3s.service", "k3s-agent.service", "etcd.service",
    "pve-cluster.service", "pve-ha-lrm.service", "pve-ha-crm.service", "patroni.service",
    # configuration management
    "puppet.service", "puppet-agent.service", "chef-client.service", "salt-minion.service",
    "cfengine3.service",
    "ansible-pull.service", "rundeckd.service",
    # monitoring
    "zabbix-agent.service", "zabbix-agent2.service", "nrpe.service", "nagios-nrpe-server.service",
    "check-mk-agent.socket", "check_mk.socket", "cmk-agent-ctl-daemon.service", "collectd.service",
    "telegraf.service", "datadog-agent.service", "newrelic-infra.service", "icinga2.service",
    "sensu-agent.service",
    "filebeat.service", "metricbeat.service", "fluent-bit.service", "falcon-sensor.service", "mdatp.service",
    # an agent of the machine's own would take our channel
    "qemu-guest-agent.service",
)  # fmt: skip
"""Kept from starting in the twin, whether installed or not. Timers are kept still altogether, by type."""

PATIENCE_FILE = "/etc/systemd/system.conf.d/50-twinboot-patience.conf"
PATIENCE = "[Manager]\nDefaultTimeoutStartSec=900\nDefaultTimeoutStopSec=600\nDefaultDeviceTimeoutSec=900\n"
"""Seconds. systemd gives devices and services 90 s, which an emulated twin may need for its first units."""

RESTORED = (
    "/var/spool/cron/atjobs", "/var/spool/cron/atspool", "/var/spool/at", "/var/spool/anacron",
    "/var/spool/exim4", "/var/spool/postfix", "/var/spool/mqueue", "/var/spool/clientmqueue",
    "/var/spool/nullmailer", "/var/spool/smtpd",
    "/var/lib/systemd/timers", "/var/lib/systemd/random-seed", "/var/lib/urandom/random-seed",
    "/var/lib/dhcp", "/var/lib/dhclient", "/var/lib/dhcpcd", "/var/lib/NetworkManager",
    "/etc/lvm/backup", "/etc/lvm/archive", "/etc/lvm/devices", "/etc/lvm/cache",
)  # fmt: skip
"""Run-time state that goes back to the origin's content at seal: what the twin did there is not its own."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One file or symbolic link (`link`) put into the snapshot, by its absolute path in the guest."""

    path: str
    content: str = ""
    link: str = ""


def agent_unit() -> str:
    """Mounts the tools disk and runs the guest agent from it, by the loader that lies beside it."""
    loader = f"{TOOLS_MOUNT}/lib/ld-linux.so --library-path {TOOLS_MOUNT}/lib"
    return (
        "[Unit]\n"
        "Description=Twinboot: hand of the rehearsal, only where its tools disk is attached\n"
        f"ConditionPathExists={TOOLS_PATH}\n"
        "DefaultDependencies=no\n"
        "Conflicts=shutdown.target\n"
        "Before=shutdown.target\n"
        "\n"
        "[Service]\n"
        "Type=exec\n"
        "Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8\n"
        f"ExecStartPre=/bin/mkdir -p {TOOLS_MOUNT}\n"
        f"ExecStartPre=-/bin/mount -t ext2 -o ro,nodev,nosuid {TOOLS_PATH} {TOOLS_MOUNT}\n"
        f"ExecStart={loader} {TOOLS_MOUNT}/bin/qemu-ga -m virtio-serial -r -t /run/twinboot"
        f" -p /dev/virtio-ports/{AGENT_CHANNEL}\n"
        # A freeze must not wait for the journal, nor a patch die with the agent.
        "StandardOutput=null\n"
        "StandardError=null\n"
        "KillMode=process\n"
        "Restart=on-failure\n"
        "RestartSec=1\n"
    )


def settle_unit() -> str:
    """Lets no timer or service begin before udev has had its look at the tools disk.

    The conditions below are asked when a unit starts; asked too early, a disk not seen yet reads as no disk.
    """
    return (
        "[Unit]\n"
        "Description=Twinboot: the rehearsal waits for its tools disk to be seen\n"
        "DefaultDependencies=no\n"
        "After=systemd-udevd.service systemd-udev-trigger.service\n"
        "Before=sysinit.target\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        "ExecStart=-/bin/sh -c 'exec udevadm settle --timeout=300'\n"
        "TimeoutStartSec=360\n"
    )


def drop_in() -> str:
    return (
        "# Twinboot's rehearsal keeps this still; without its tools disk this says nothing.\n"
        f"[Unit]\nConditionPathExists=!{TOOLS_PATH}\n"
    )


def placed_files(patient: bool = True) -> tuple[Placed, ...]:
    """Everything that is put into the snapshot before the twin's first boot, in the order of writing.

    `patient`: with longer limits, for a twin that is emulated.
    """
    wants = f"{UNITS}/{_DEVICE_UNIT}.wants/{AGENT_UNIT}"
    quiet = [Placed(f"{UNITS}/{name}.d/{DROP_IN}", drop_in()) for name in ("timer", *QUIET_UNITS)]
    hand = (
        Placed(f"{UNITS}/{AGENT_UNIT}", agent_unit()),
        Placed(wants, link=f"../{AGENT_UNIT}"),
        Placed(f"{UNITS}/{SETTLE_UNIT}", settle_unit()),
        Placed(f"{UNITS}/sysinit.target.wants/{SETTLE_UNIT}", link=f"../{SETTLE_UNIT}"),
    )
    return (*hand, *quiet, *((Placed(PATIENCE_FILE, PATIENCE),) if patient else ()))


def place(root: Path, patient: bool = False) -> None:
    """Put them into the snapshot's root file system mounted at `root`. May be called again.

    Raises TwinFailed where a folder on the way is a symbolic link: it could lead out of the snapshot.
    """
    for item in placed_files(patient):
        target = _inside(root, item.path)
        if target.is_symlink() or target.exists():
            target.unlink()
        if item.link:
            target.symlink_to(item.link)
        else:
            target.write_text(item.content)
            target.chmod(0o644)


def _inside(root: Path, path: str) -> Path:
    """`path` below `root`, its folders made where missing, none of them a symbolic link."""
    at = root
    for part in PurePosixPath(path).parts[1:-1]:
        at = at / part
        try:
            mode = os.lstat(at).st_mode
        except FileNotFoundError:
            at.mkdir(mode=0o755)
            continue
        if not stat.S_ISDIR(mode):
            raise TwinFailed(
                f"{at.relative_to(root)} in the installed system is no folder; it stays untouched."
            )
    return at / PurePosixPath(path).name


def removal_script() -> bytes:
    """POSIX sh: removes every placed file and each folder that is empty then; REMAINS names what is left."""
    files = [item.path for item in placed_files()]
    folders = sorted({str(PurePosixPath(path).parent) for path in files} - {UNITS})
    lines = ["set -u"]
    lines += [f"rm -f -- '{path}'" for path in files]
    lines += [f"rmdir -- '{folder}' 2>/dev/null" for folder in folders]
    lines += ["sync"]
    lines += [f"if [ -e '{path}' ] || [ -L '{path}' ]; then echo \"REMAINS {path}\"; fi" for path in files]
    return "\n".join([*lines, "exit 0", ""]).encode()


def remove(guest: Guest, limit: float = 300.0) -> None:
    """Remove what was placed, from inside the running twin, and prove it. TwinFailed if any is left."""
    said = guest.exec(("sh", "-s"), stdin=removal_script(), timeout=limit)
    left = [line for line in said.stdout.decode(errors="replace").splitlines() if line.startswith("REMAINS ")]
    if said.status != 0 or left:
        raise TwinFailed(
            f"Not everything of ours could be removed from the twin: {', '.join(left) or said.status}."
        )


def still_placed(root: Path) -> tuple[str, ...]:
    """Paths of ours that are in a file system mounted at `root`: the proof on the sealed snapshot itself."""
    return tuple(item.path for item in placed_files() if os.path.lexists(root / item.path.lstrip("/")))
