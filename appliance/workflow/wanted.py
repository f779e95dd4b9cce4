"""What a machine would fetch, onto the stick: a list that an office with internet makes a bundle from."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from appliance.errors import Refused
from appliance.model.codec import to_json
from appliance.model.lineage import Lineage
from appliance.model.machine import Machine
from appliance.model.plan import PatchKind, Request, Verb, not_packages
from appliance.model.service_messages import WantedWritten, WriteWanted
from appliance.model.wanted import KINDS, SCHEMA, AptSetup, Wanted, file_name, read_wanted
from appliance.patching.apt_text import why_loader
from appliance.report.deliver import WANTED, put_file
from appliance.workflow.selection import choose_system

FOLDER = "wanted"


def write_wanted(
    data: Path,
    machine: Machine,
    lineage: Lineage,
    say: WriteWanted,
    setup: Callable[[str, Machine], AptSetup],
) -> WantedWritten:
    """Write the list of one system; `setup` reads it. A list of the same system that is there is replaced.

    Raises Refused before anything is read, what `setup` raises, ExportFailed and OutOfSpace.
    """
    system = choose_system(machine, Request(verb=Verb.REHEARSE, system=say.system), lineage)
    if reasons := why_not(say):
        raise Refused(reasons)
    apt = setup(system.id, machine)
    if not apt.architecture or not apt.installed:
        raise Refused((f"{system.os_name} on {system.id} has no dpkg: only apt systems can be listed.",))
    wanted = Wanted(
        schema=SCHEMA,
        identity=machine.identity,
        system=system.id,
        hostname=system.hostname,
        os_name=system.os_name,
        written_at=int(time.time()),
        kind=say.kind,
        packages=say.packages,
        apt=apt,
    )
    content = to_json(wanted) + b"\n"
    name = file_name(wanted, several=len(machine.systems) > 1)
    read_wanted(content, name)  # what the office would refuse must not leave the machine
    return WantedWritten(
        path=str(put_file(content, data, f"{FOLDER}/{name}", WANTED)),
        installed=len(apt.installed),
        sources=len(apt.sources),
        keys=len(apt.keys),
        unknown=apt.unknown,
    )


def why_not(say: WriteWanted) -> tuple[str, ...]:
    """Sentences on a request that nothing can be fetched for. Pure."""
    if say.kind not in KINDS:
        return (f"What {say.kind.value} would fetch cannot be known: choose all, security or packages.",)
    if say.kind is PatchKind.PACKAGES and not say.packages:
        return ("No package was named: give --packages a list.",)
    return (*not_packages(say.packages), *why_loader(say.packages))
