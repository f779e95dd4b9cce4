"""The stick, started on a lab machine and driven by its command line: a root shell on ttyS1."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any

from tests.lab.console import Answer
from tests.lab.machine import Machine
from tests.lab.native import LabError, tail

DEBUG_SHELL = "systemd.debug_shell=ttyS1"
"""On the stick's kernel command line (stick.prepare, `extra_args`), or there is no way in."""

PROGRAM = "/opt/twinboot/bin/twinboot"
RUNS = "/run/twinboot/state/runs"
START = 900.0
REHEARSAL = 4800.0
"""Seconds that starting, and one emulated rehearsal, may take on a noisy machine."""

HOME_KEY = "\x01"


class Appliance:
    """A running appliance. `boot` switches the machine on; its stick must be in."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.shell = machine.debug

    @classmethod
    def boot(cls, machine: Machine) -> Appliance:
        """Start the stick, although a trial may be pending: its menu then has to be told."""
        console = machine.power_on()
        said = console.wait_for(r"starts in 10 seconds", r"Twinboot: looking for the medium", limit=START)
        if "10 seconds" in said[0]:
            console.wait_for(r"Verify this medium", limit=60)
            console.send(HOME_KEY + "\r")
        started = cls(machine)
        started.shell.wait_for(r"[#$] $", limit=START)
        started.shell.take_shell()
        # The shell is there before the engine is, and the engine comes after the stick's data partition.
        started.shell.read("until [ -S /run/twinboot/engine.sock ]; do sleep 1; done", limit=START)
        return started

    def twinboot(self, *words: str, limit: float = 300.0) -> Answer:
        """One call of the command line, whatever comes of it."""
        return self.shell.run(shlex.join((PROGRAM, *words)), limit)

    def read(self, *words: str, limit: float = 300.0) -> str:
        """What a call says; LabError where it ends with another status than 0."""
        answer = self.twinboot(*words, limit=limit)
        if answer.status != 0:
            raise LabError(
                f"twinboot {shlex.join(words)} ended with {answer.status}:\n{tail(answer.text, 80)}"
            )
        return answer.text

    def inspect(self) -> dict[str, Any]:
        return dict(json.loads(self.read("inspect", "--json")))

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.read("status", "--json")))

    def recovered(self, limit: float = 600.0) -> None:
        """Wait until the engine is done with what an earlier start left; LabError names what goes on."""
        deadline = time.monotonic() + limit
        while (running := self.status()["running"]) and not running["finished"]:
            if time.monotonic() > deadline:
                raise LabError(f"{running['title']} is not finished after {limit:.0f} s.")
            time.sleep(2)

    def rehearse(self, *words: str) -> dict[str, Any]:
        """Rehearse to the end; the verdict. The run's exit status is not judged: a verdict may be bad."""
        answer = self.twinboot("rehearse", *words, limit=REHEARSAL)
        run = self.newest_run()
        verdict = self.shell.run(f"cat {RUNS}/{run}/verdict.json")
        if verdict.status != 0:
            raise LabError(f"{run} has no verdict:\n{tail(answer.text, 80)}")
        return dict(json.loads(verdict.text))

    def newest_run(self) -> str:
        """The run with the highest number; one that failed stands last in the tree, whatever its number."""
        runs = [node["run"] for node in self.status()["lineage"]["nodes"] if node["run"]]
        return max(runs, key=lambda run: int(run.removeprefix("tb")))

    def volumes(self) -> set[str]:
        """Names of all logical volumes, without the pool."""
        said = self.shell.read("lvs --noheadings -o lv_name,segtype vg0")
        pairs = (line.split() for line in said.splitlines() if line.strip())
        return {name for name, kind in pairs if kind != "thin-pool"}

    def reboot(self) -> None:
        """Restart the machine; returns when its menu hands over to the trial or fallback that is pending.

        What was said before is forgotten: on its console the twin said what the metal will say.
        """
        self.machine.console.forget()
        self.shell.send("systemctl reboot\n")
        self.machine.console.wait_for(r"starts in 10 seconds", limit=START)

    def power_off(self) -> None:
        self.shell.send("systemctl poweroff\n")
        self.machine.wait_off()
