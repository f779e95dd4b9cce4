"""A plan file named on the kernel command line runs once per plan digest and machine, with nobody there.

Promotion needs two keys: the kernel argument itself and, in the plan, the machine's serial number or
"any" said aloud.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from msgspec.structs import replace

from appliance.engine.bus import Bus
from appliance.engine.desk import Desk
from appliance.engine.runs import Runs
from appliance.errors import DamagedData, Refused
from appliance.host.run import Host, read
from appliance.model.events import Line
from appliance.model.plan import Plan, Request, UnattendedPlan, Verb
from appliance.model.verdict import Result, Verdict
from appliance.workflow.places import Places
from appliance.workflow.plan_files import FOLDER, read_plan_file, why_not_here

ARGUMENT = "twinboot.plan="


def plan_argument(command_line: str) -> str:
    """The value of twinboot.plan= on the kernel command line, empty where there is none."""
    return next((w.removeprefix(ARGUMENT) for w in command_line.split() if w.startswith(ARGUMENT)), "")


def fetch(host: Host, value: str, data: Path, scratch: Path) -> bytes:
    """The plan's bytes: a file under plans/ on the stick, or URL#sha256=HEX.

    Raises Refused for a URL without its hash and DamagedData where the hash differs.
    """
    if "://" not in value:
        path = data / FOLDER / Path(value).name
        if not path.is_file():
            raise Refused((f"The plan {value} is not in the folder plans on the stick.",))
        return path.read_bytes()
    url, _, wanted = value.partition("#sha256=")
    if len(wanted) != 64:
        raise Refused(("A plan from a URL needs its hash: twinboot.plan=URL#sha256=HEX.",))
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / "unattended.json"
    host.run(read("curl", "--fail", "--silent", "--show-error", "--output", str(target), url, timeout=120))
    content = target.read_bytes()
    if hashlib.sha256(content).hexdigest() != wanted:
        raise DamagedData(f"The plan at {url} is not the one that was announced: its sha256 differs.")
    return content


class Unattended:
    """Rehearse, and where the verdict is PASS and the plan says so, promote and reboot."""

    def __init__(self, host: Host, bus: Bus, desk: Desk, runs: Runs, places: Places) -> None:
        self.host = host
        self.bus = bus
        self.desk = desk
        self.runs = runs
        self.places = places

    def say(self, text: str, level: str = "info") -> None:
        self.bus.publish(Line(source="run", text=text, level=level))

    def run(self, command_line: Path = Path("/proc/cmdline")) -> None:
        """Does nothing where the kernel command line names no plan. Raises ApplianceError."""
        value = plan_argument(command_line.read_text())
        if not value:
            return
        content = fetch(self.host, value, self.places.data, self.places.runtime)
        wanted = read_plan_file(content, value)
        machine = self.desk.machine()
        digest = hashlib.sha256(content).hexdigest()
        if why := why_not_here(wanted, machine, value):
            raise Refused((why,))
        if self.places.unattended_begun(self.host, machine, digest):
            self.say(f"The plan {value} has already run on this machine; nothing is done.")
            return
        plan = self.desk.plan(replace(wanted.request, auto_keep=wanted.keep))
        self.places.begin_unattended(self.host, machine, plan, digest)
        self.say(f"Unattended plan {value}: {plan.names.run} begins.")
        verdict = self.rehearse(plan)
        promoted = False
        if plan.request.rehearse_only:
            self.say(f"{plan.names.run} was rehearsed only: nothing is promoted.")
            return
        if wanted.request.promote and verdict is not None:
            promoted = self.promote(plan.names.run, verdict, machine.identity, wanted)
        self.desk.services.to_stick(self.desk.machine(), plan.names.run)
        if wanted.reboot and promoted:
            self.say("Rebooting into the trial in 5 seconds.")
            time.sleep(5)
            self.desk.power("reboot")

    def rehearse(self, plan: Plan) -> Verdict | None:
        self.desk.start(plan, dry=False)
        self.runs.join()
        verdict = self.desk.record(plan.names.run).verdict
        self.say(f"Verdict: {verdict.headline if verdict else 'none, the run failed'}")
        return verdict

    def promote(self, run: str, verdict: Verdict, identity: str, wanted: UnattendedPlan) -> bool:
        if verdict.result is not Result.PASS and not wanted.request.force_bad:
            self.say(f"{run} is not promoted: {verdict.headline}", level="error")
            return False
        request = Request(verb=Verb.PROMOTE, run=run, force_bad=wanted.request.force_bad)
        plan = self.desk.plan(request)
        self.desk.start(plan, dry=False)
        self.runs.join()
        view = self.runs.view()
        while view is not None and view.gate:
            self.runs.approve(run, view.gate, identity[-4:].strip())
            self.runs.join()
            view = self.runs.view()
        going = self.runs.going
        return going is not None and going.journal.last == "done"
