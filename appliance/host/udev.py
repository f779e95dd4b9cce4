"""udev, which looks at a device when whoever wrote to it closes it."""

from __future__ import annotations

from appliance.host.run import Host, read


def settle(host: Host, seconds: int = 60) -> None:
    """Wait until it has looked, `seconds` at most. Nothing where none runs.

    Of a whole disk it has the kernel read the partition table anew, and for a moment none of its partitions
    is there (systemd, udevd: synthesize_change).
    """
    host.run(read("udevadm", "settle", f"--timeout={seconds}", timeout=2 * seconds, ok=frozenset({0, 1})))
