"""udev, which looks at a device when whoever wrote to it closes it."""

from __future__ import annotations

from appliance.host.run import Host, read


def settle(host: Host) -> None:
    """Wait until it has looked. Of a whole disk it has the kernel read the partition table anew, and for a
    moment none of its partitions is there (systemd, udevd: synthesize_change). Nothing where none runs."""
    host.run(read("udevadm", "settle", "--timeout=60", timeout=120, ok=frozenset({0, 1})))
