"""Plan files on the stick: what a person chose, kept for machines where nobody will be."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from msgspec.structs import replace

from appliance.errors import ApplianceError, DamagedData, Refused
from appliance.model.codec import from_json, to_pretty_json
from appliance.model.command_line import command_line
from appliance.model.machine import Machine
from appliance.model.plan import SCHEMA, PatchKind, Request, UnattendedPlan, Verb
from appliance.model.service_messages import PlanFile, PlanFiles, PlanSaved, SavePlanFile
from appliance.report.deliver import PLAN, put_file

FOLDER = "plans"
ANY = "any"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.I)


def read_plan_file(content: bytes, name: str) -> UnattendedPlan:
    """Raises DamagedData naming the key that is wrong, or the version."""
    plan: UnattendedPlan = from_json(content, UnattendedPlan, name)
    if plan.schema != SCHEMA:
        raise DamagedData(f"{name} is of version {plan.schema}; this version reads {SCHEMA}.")
    return plan


def why_not_here(plan: UnattendedPlan, machine: Machine, name: str) -> str:
    """A sentence where the plan is for another machine; empty where it may run here. Pure."""
    if plan.serial in (machine.identity, ANY):
        return ""
    return f"The plan {name} is for {plan.serial}; this machine is {machine.identity}."


def list_plan_files(data: Path, stick: bool, machine: Machine) -> PlanFiles:
    """Every *.json in the folder plans, sorted; one that does not read says why instead of what."""
    folder = data / FOLDER
    files = [p for p in sorted(folder.glob("*.json")) if p.is_file()] if folder.is_dir() else []
    return PlanFiles(folder=str(folder), stick=stick, files=tuple(_listed(p, machine) for p in files))


def _listed(path: Path, machine: Machine) -> PlanFile:
    try:
        plan = read_plan_file(path.read_bytes(), path.name)
    except ApplianceError as error:
        return PlanFile(name=path.name, why_not=error.what)
    except OSError as error:
        return PlanFile(name=path.name, why_not=f"{path.name} can not be read: {error.strerror}.")
    return PlanFile(
        name=path.name,
        serial=plan.serial,
        command_line=command_line(plan.request),
        # Attended, a promotion is asked for on its own page.
        request=replace(plan.request, promote=False, auto_keep=plan.keep),
        promote=plan.request.promote,
        keep=plan.keep,
        reboot=plan.reboot,
        why_not=why_not_here(plan, machine, path.name),
    )


def why_no_name(name: str) -> tuple[str, ...]:
    """Sentences on what is wrong with a file name that every computer must be able to read. Pure."""
    if not NAME.fullmatch(name) or RESERVED.fullmatch(name):
        return (
            f'"{name}" is no name for a plan file: letters, digits, ".", "_" and "-", at most 60, beginning'
            " with a letter or digit.",
        )
    return ()


def why_not_unattended(request: Request) -> tuple[str, ...]:
    """Sentences on why a request cannot be carried out with nobody there. Pure."""
    reasons = []
    if request.verb not in (Verb.REHEARSE, Verb.PROMOTE):
        reasons.append(f"A plan file rehearses, and may promote; {request.verb.value} needs a person.")
    if request.patch.kind is PatchKind.BY_HAND:
        reasons.append("By hand needs a person in the twin: choose packages or a script.")
    return tuple(reasons)


def save_plan_file(data: Path, machine: Machine, say: SavePlanFile, rehearsal: Request) -> PlanSaved:
    """Write the plan file with this machine's serial number in it. `rehearsal` is what it rehearses.

    Raises Refused (name, request, a file of that name), ExportFailed and OutOfSpace.
    """
    name = say.name.removesuffix(".json")
    if reasons := (*why_no_name(name), *why_not_unattended(rehearsal)):
        raise Refused(reasons)
    file = f"{name}.json"
    plan = UnattendedPlan(
        schema=SCHEMA,
        serial=machine.identity,
        request=replace(rehearsal, promote=say.promote, run=""),
        keep=say.keep,
        reboot=say.reboot,
    )
    content = to_pretty_json(plan).encode() + b"\n"
    taken = f"The stick already has a plan {file}: choose another name."
    path = put_file(content, data, f"{FOLDER}/{file}", PLAN, taken)
    sha256 = hashlib.sha256(content).hexdigest()
    return PlanSaved(path=str(path), sha256=sha256, argument=f"twinboot.plan={file}")
