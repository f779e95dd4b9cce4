"""Whether a twin could fetch packages from here, before anything begins: a cable is in, or a bundle named."""

from __future__ import annotations

import time
from collections.abc import Callable

from appliance.errors import ApplianceError
from appliance.host.run import Host
from appliance.model.plan import PatchRequest
from appliance.model.service_messages import OnStick, Port
from appliance.model.wanted import KINDS, AptSetup
from appliance.probe.ports import read_ports
from appliance.workflow.bundle_check import Finding

SETTLED = 30.0
"""Seconds after its start in which a port of the appliance may not have found its cable yet."""
LOOK = 1.0
"""Seconds between two looks until then."""
NO_CABLE = (
    "No port here has a cable in, so the twin can fetch no package: plug one in, or take a bundle (--bundle; "
    "{there}), which an office makes of the list that `twinboot wanted` writes to the stick."
)
NO_ADDRESS = (
    "No port here has an address (yet): as long as that is so, the twin can fetch no package. "
    "`twinboot network` shows the ports, and sets one."
)


def can_fetch(
    host: Host,
    patch: PatchRequest,
    stick: OnStick,
    setup: Callable[[], AptSetup],
    uptime: Callable[[], float] = time.monotonic,
) -> Finding:
    """Sentences where the patches would come over a network that is not there.

    `setup` reads which sources the system has. `uptime` is in seconds since the appliance's start.
    """
    if patch.bundle or patch.kind not in KINDS:
        return Finding()
    try:
        ports = settled_ports(host, uptime)
    except ApplianceError:
        return Finding()  # whether there is a cable is not known: the twin will see
    if any(port.cable and port.addresses for port in ports) or not _over_a_network(setup):
        return Finding()
    if any(port.cable for port in ports):
        return Finding((), (NO_ADDRESS,))
    there = f"the stick has {', '.join(stick.bundles)}" if stick.bundles else "the stick has none"
    return Finding((NO_CABLE.format(there=there),))


def settled_ports(host: Host, uptime: Callable[[], float] = time.monotonic) -> tuple[Port, ...]:
    """The ports, once one has a cable or none will find one any more. Raises as `read_ports` does."""
    while True:
        ports = read_ports(host)
        if any(port.cable for port in ports) or uptime() >= SETTLED:
            return ports
        time.sleep(LOOK)


def _over_a_network(setup: Callable[[], AptSetup]) -> bool:
    """Whether the system has a source on a network; where that cannot be read, it has: nearly all do."""
    try:
        apt = setup()
    except ApplianceError:
        return True
    return bool(apt.sources) or not apt.installed
