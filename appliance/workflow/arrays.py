"""A machine whose volumes lie on a mirror: when that is brought up for writing, and how a plan says so.

Inspecting and planning read one leg. The array itself is started when the machine's history on it is mounted
or a run begins, and stays up until power-off, as the history does.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from msgspec.structs import replace

from appliance.host.run import Host
from appliance.model.machine import Layer, Machine
from appliance.model.plan import Plan, PlannedStep, Write
from appliance.probe import raid_up
from appliance.probe.machine import exclusive

STEP = "array"
IN_STEP = (
    "no leg is ever written alone: the machine boots as it would have, and md puts in step what was under way"
)


def mirrors(machine: Machine, group: str) -> tuple[Layer, ...]:
    """The arrays beneath the volume group of that name, and beside it those that are /boot itself."""
    found = machine.vg(group)
    if found is None:
        return ()
    return (*machine.mirrors_under(found), *machine.boot_mirrors(found))


def bring_up(host: Host, machine: Machine, group: str, root: Path = raid_up.ROOT) -> None:
    """Start them for writing, or make sure that they are whole. Raises Refused, CommandFailed, Busy."""
    if layers := mirrors(machine, group):
        # A probe shows a leg by itself, and no array starts meanwhile.
        with exclusive(root):
            for layer in layers:
                raid_up.bring_up(host, layer, root)


def kept_shown(
    machine: Machine, device: str, root: Path = raid_up.ROOT
) -> contextlib.AbstractContextManager[None]:
    """While `device` is read: an array that nothing has up is read by a leg, which a look at the machine
    would take away meanwhile. Raises Busy where one goes on for too long."""
    return exclusive(root) if machine.mirror_at(device) is not None else contextlib.nullcontext()


def with_arrays(plan: Plan, machine: Machine) -> Plan:
    """`plan` with what is said and looked at first where its volumes lie on a mirror."""
    layers = mirrors(machine, plan.names.vg)
    if not layers or plan.request.rehearse_only:
        return plan
    return replace(plan, steps=(_planned(layers), *plan.steps))


def _planned(layers: tuple[Layer, ...]) -> PlannedStep:
    writes = tuple(
        Write(
            what=f"the super blocks of the array {layer.name} on {' and '.join(layer.below)}: it is at work "
            "until this medium is switched off",
            if_cut=IN_STEP,
        )
        for layer in layers
    )
    names = " and ".join(layer.name for layer in layers)
    whole = f"the arrays {names}, all their legs" if len(layers) > 1 else f"the array {names}, all its legs"
    return PlannedStep(id=STEP, title=f"Write by {whole}", weight=2, writes=writes)
