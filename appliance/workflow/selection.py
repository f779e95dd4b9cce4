"""Which installed system a request means, what of its data goes round with it, and where its second root
goes."""

from __future__ import annotations

from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model.lineage import Lineage, State
from appliance.model.machine import InstalledSystem, Machine, Role
from appliance.model.plan import Request
from appliance.model.spares import why_no_spare
from appliance.probe.obstacles import of_line


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


def with_added(system: InstalledSystem, places: tuple[str, ...]) -> InstalledSystem:
    """`system` with its data at `places` in the volume set: from there on it is what /var is."""
    added = {volume for volume in system.data if volume.target in places}
    volumes = (replace(v, role=Role.SET) if v in added else v for v in system.volumes)
    return replace(system, volumes=tuple(volumes))


def why_not_into(machine: Machine, system: InstalledSystem, request: Request) -> tuple[str, ...]:
    """Full sentences why the second root can not go into the partition that was named. Pure."""
    if not request.into:
        return ()
    if request.rehearse_only:
        return ("What is rehearsed only has no second root: leave out --into, or --rehearse-only.",)
    return why_no_spare(machine, system, request.into)


def why_not_added(system: InstalledSystem, request: Request) -> tuple[str, ...]:
    """A sentence for each of the request's data volumes that can not go round with the root. Pure."""
    if request.added and request.rehearse_only:
        return ("What is rehearsed only keeps nothing: leave out --set, or --rehearse-only.",)
    able = {volume.target: volume for volume in system.addable}
    reasons: list[str] = []
    for place in request.added:
        if place in able:
            reasons += [t.sentence for t in of_line(system, able[place])]
        else:
            reasons.append(
                f"{place} can not go round with the root; of this system's data {', '.join(able) or 'none'} "
                "can: what lies on thin volumes of LVM beside a thin root."
            )
    return tuple(reasons)
