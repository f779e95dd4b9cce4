"""Which installed system a request means."""

from __future__ import annotations

from appliance.errors import Refused
from appliance.model.lineage import Lineage, State
from appliance.model.machine import InstalledSystem, Machine
from appliance.model.plan import Request


def choose_system(machine: Machine, request: Request, lineage: Lineage) -> InstalledSystem:
    """The named system, or the only one that is not a fallback. Raises Refused otherwise."""
    if request.system:
        named = machine.system(request.system)
        if named is None:
            known = ", ".join(s.id for s in machine.systems) or "none"
            raise Refused((f"There is no installed system {request.system} here; found: {known}.",))
        return named
    passive = {n.volume for n in lineage.nodes if n.state is not None and n.state is not State.KEPT}
    able = [s for s in machine.systems if s.root.member not in passive]
    if not able:
        raise Refused(("No installed Linux system was found on this machine's disks.",))
    if len(able) > 1:
        names = ", ".join(f"{s.id} ({s.os_name} {s.os_version})" for s in able)
        raise Refused((f"There are {len(able)} installed systems and none was chosen: {names}.",))
    return able[0]
