"""What can be done from the line mode, each act with its questions. Nothing changes without a typed word."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from appliance.errors import ApplianceError
from appliance.model.lineage import Node, State
from appliance.model.machine import Machine, Role
from appliance.model.messages import Planned
from appliance.model.plan import Plan, RepairKind, Request, Verb
from appliance.model.service_messages import OnStick
from appliance.model.verdict import Result
from appliance.session import SaidNo
from tui import goingback, repairs
from tui.link import Link
from tui.patches import CHOICES, Choice
from tui.plain import told
from tui.plain.packages import ask_packages
from tui.plain.services import Services
from tui.plain.talk import Talk
from tui.plain.wanted import write_wanted
from tui.plain.watch import Ear, Watch

DATE = re.compile(r"\d{4}-\d{2}-\d{2}|")
SYSTEM, WITH_DATA = "system", "data"
OFFERED = {
    Verb.PROMOTE: (State.SEALED, State.STAGED),
    Verb.ROLLBACK: (State.ARMED, State.TRIAL, State.KEPT),
    Verb.KEEP: (State.TRIAL,),
}


TITLES = {
    "nothing": "change nothing, only test the reboot",
    "all": "all pending updates, from the system's own sources",
    "security": "security updates only, from the system's own sources",
    "packages": "chosen packages",
    "bundle": "a bundle on the stick",
    "script": "a script on the stick",
    "by-hand": "by hand: the twin waits while you work in it",
}
"""As this mode puts them, by the id of the choice."""
PATCHES = {choice.id: choice for choice in CHOICES}


class Acts:
    """`status` is the exit status so far: that of the last act that did not go well."""

    def __init__(self, talk: Talk, link: Link, ear: Ear) -> None:
        self.talk, self.link, self.ear = talk, link, ear
        self.services = Services(talk, link, self.start)
        self.status = 0

    # -- what is there -----------------------------------------------------------------------------------

    @property
    def machine(self) -> Machine | None:
        return self.ear.machine

    def nodes(self, verb: Verb | None = None) -> list[Node]:
        """The runs an act can be meant for, newest last; the engine decides whether it is allowed."""
        status = self.ear.status
        found = [
            n for n in (status.lineage.nodes if status else ()) if n.run and n.state is not State.RETIRED
        ]
        if verb in OFFERED:
            found = [n for n in found if n.state in OFFERED[verb]]
        if verb is Verb.RETIRE:
            found = [n for n in found if n.state is State.KEPT or not n.boots_next]
        return sorted(found, key=lambda n: n.made)

    async def run_for(self, verb: Verb | None) -> str:
        found = self.nodes(verb)
        if len(found) < 2:
            return found[0].run if found else ""
        return await self.talk.choose("Which run?", [(n.run, told.volume(n)) for n in found])

    async def guarded(self, act: Callable[[], Awaitable[None]]) -> None:
        """Whatever goes wrong is told in its four parts, and kept as the exit status."""
        try:
            await act()
        except ApplianceError as problem:
            self.status = problem.exit_code
            self.talk.say("", *told.error(problem))

    # -- a new rehearsal ---------------------------------------------------------------------------------

    async def rehearse(self) -> None:
        system = await self._system("rehearse")
        options = list(TITLES.items())
        word = await self.talk.choose("What shall the twin get?", options) if system else ""
        if not word:
            return
        request = await self._request(system, word)
        if request is not None:
            await self.start(request)

    async def start(self, request: Request) -> None:
        """A request that makes a run of its own: its plan, then yes."""
        await self._plan_and_start(request, "yes", "To start, type yes")

    async def _request(self, system: str, word: str) -> Request | None:
        patch, name = PATCHES[word], ""
        stick = await self.link.call(lambda s: s.on_stick())
        if patch.question:
            name = await self._name(system, word, patch, stick)
            if not name:
                self.talk.say("Nothing was named.")
                return None
        unsigned = word == "bundle" and await self._yes(
            "To accept unsigned packages, too, type yes, else Enter:"
        )
        emulate = await self._emulate()
        chosen = patch.request(name, unsigned)
        skipped = await self._skipped(stick.checks)
        return Request(verb=Verb.REHEARSE, system=system, patch=chosen, emulate=emulate, skip_checks=skipped)

    async def _name(self, system: str, word: str, patch: Choice, stick: OnStick) -> str:
        if word == "packages":
            return await ask_packages(self.talk, self.link, system)
        return " ".join((await self.talk.ask(self._question(word, patch, stick))).split())

    def _question(self, word: str, patch: Choice, stick: OnStick) -> str:
        """With the names to choose from, where the stick has any."""
        names = {"bundle": stick.bundles, "script": stick.scripts}.get(word, ())
        return f"{patch.question.removesuffix(':')} ({', '.join(names)}):" if names else patch.question

    async def _skipped(self, checks: tuple[str, ...]) -> tuple[str, ...]:
        if not checks:
            return ()
        self.talk.say(f"Checks of the stick: {', '.join(checks)}.")
        said = tuple((await self.talk.ask("Those to leave out (Enter: run all):")).split())
        for unknown in [name for name in said if name not in checks]:
            self.talk.wrong(unknown, checks)
        return tuple(name for name in said if name in checks)

    async def repair(self) -> None:
        """Mend a copy of a system that does not boot well."""
        system = await self._system("repair")
        if not system:
            return
        self.talk.say(repairs.known(self.ear.status.lineage if self.ear.status else None))
        options = [(a.kind.value, f"{a.title}. {a.about}") for a in repairs.ATTEMPTS]
        word = await self.talk.choose("What shall be tried on a copy?", options)
        if word:
            request = Request(
                verb=Verb.REPAIR, system=system, repair=RepairKind(word), emulate=await self._emulate()
            )
            await self._plan_and_start(request, "yes", "To start, type yes")

    async def wanted(self) -> None:
        if system := await self._system("make a list for"):
            await write_wanted(self.talk, self.link, system)

    async def _system(self, what: str) -> str:
        """The system that is meant; empty where there is none, or none was chosen."""
        systems = self.machine.systems if self.machine else ()
        if not systems:
            self.talk.say(f"There is no system to {what}: none was found on these disks.")
            return ""
        if len(systems) == 1:
            return systems[0].id
        options = [(s.id, f"{s.hostname}, {s.os_name}") for s in systems]
        return await self.talk.choose("Which system?", options)

    async def _emulate(self) -> bool:
        if self.machine is None or self.machine.kvm:
            return False
        self.talk.say("This machine offers no KVM: its twin would run emulated, some twenty times slower.")
        return await self._yes("To emulate, type yes, else Enter:")

    async def _yes(self, prompt: str) -> bool:
        return (await self.talk.ask(prompt)).casefold() == "yes"

    # -- acts on a run -----------------------------------------------------------------------------------

    async def act(self, verb: Verb) -> None:
        """Promote, roll back, keep or retire: every write first, then the machine's own characters."""
        run = await self.run_for(verb) if verb is not Verb.UNDO else ""
        if not run and verb is not Verb.UNDO:
            return
        retire_on = ""
        if verb is Verb.KEEP:
            retire_on = await self.talk.ask(
                "Offer the old system for deletion on (YYYY-MM-DD, Enter: no date):"
            )
            if not DATE.fullmatch(retire_on):
                self.talk.wrong(retire_on, ["a date like 2026-12-31"])
                return
        goes = await self._goes_back() if verb is Verb.ROLLBACK else SYSTEM
        if not goes:
            return
        force = verb is Verb.PROMOTE and await self._force(run)
        request = Request(
            verb=verb, run=run, retire_on=retire_on, force_bad=force, with_data=goes == WITH_DATA
        )
        last, prompt = self._secret(f"To {verb.value}")
        await self._plan_and_start(request, last, prompt)

    async def _goes_back(self) -> str:
        """What a roll back takes; nothing is asked where no system has data of its own. Empty goes back."""
        systems = self.machine.systems if self.machine else ()
        if not any(v.member for system in systems for v in system.volumes if v.role is Role.DATA):
            return SYSTEM
        options = [(SYSTEM, goingback.SYSTEM), (WITH_DATA, goingback.DATA)]
        return await self.talk.choose("What goes back?", options)

    async def _force(self, run: str) -> bool:
        verdict = (await self.link.call(lambda s: s.record(run))).verdict
        if verdict is None:
            return False
        self.talk.say("", *told.verdict(run, verdict))
        if verdict.result is Result.PASS:
            return False
        return await self._yes("The verdict is FAIL. To promote it all the same, type yes, else Enter:")

    def _secret(self, words: str) -> tuple[str, str]:
        """The last characters of the machine's identity, and the words that ask for them."""
        identity = self.machine.identity if self.machine else ""
        last = identity[-4:].strip()
        return last, f"{words}, type the last {len(last)} characters of {identity}"

    async def _plan_and_start(self, request: Request, expected: str, prompt: str) -> None:
        self.talk.say("", "The engine reads the disks and works out every step ...")
        try:
            planned = await self.link.call(lambda s: s.plan(request))
        except SaidNo as refused:
            if not refused.elsewhere:
                raise
            elsewhere = await self._elsewhere(refused)
            if not elsewhere:
                self.talk.say("Nothing was done.")
                return
            request = replace(request, rehearse_only=True, store=elsewhere, added=(), into="")
            planned = await self.link.call(lambda s: s.plan(request))
        self.talk.say("", *told.plan(planned))
        if not await self._confirmed(planned, expected, prompt):
            return
        Watch.forget(self.ear)
        accepted = await self.link.call(lambda s: s.start(planned.plan))
        typed = (planned.plan, expected) if not request.makes_a_run else None
        await self.watch(accepted.run, typed)

    async def _elsewhere(self, refused: SaidNo) -> str:
        """Where the copy shall lie that is only rehearsed; empty where that is not wanted."""
        self.talk.say("", *told.error(refused))
        places = {"stick": "on the stick", "ram": "in memory"}
        options = [(store, places.get(store, "on that USB disk")) for store in refused.elsewhere]
        return await self.talk.choose(
            "Rehearse only, with nothing to promote: where shall the copy lie?", options
        )

    async def _confirmed(self, planned: Planned, expected: str, prompt: str) -> bool:
        verb = planned.plan.request.verb
        save = ["save"] if verb in (Verb.REHEARSE, Verb.PROMOTE) else []
        more = "commands: what would be run; " + ("save: as a plan file; " if save else "")
        while True:
            said = await self.talk.ask(f"{prompt} ({more}Enter: back):")
            if said.casefold() == "commands":
                would = (await self.link.call(lambda s: s.start(planned.plan, dry=True))).would
                self.talk.say(*(f"   {command}" for command in would))
                continue
            if said.casefold() in save:
                await self.services.save(planned.plan.request)
                continue
            if expected and said.casefold() == expected.casefold():
                return True
            if said:
                right = expected if expected == "yes" else "those characters"
                self.talk.wrong(said, [right, "commands", *save])
            self.talk.say("Nothing was done.")
            return False

    # -- a run that goes on ------------------------------------------------------------------------------

    async def watch(self, run: str, confirmed: tuple[Plan, str] | None = None) -> None:
        self.status = await Watch(self.talk, self.link, self.ear, confirmed).until_it_stops(run)

    async def go_on(self) -> None:
        """Let the gate pass at which the run waits."""
        run = self.ear.run
        if run is None or not run.gate:
            return
        gate, expected, prompt = run.gate, "yes", "To go on, type yes"
        if not run.makes_a_run:
            expected, prompt = self._secret("To go on")
        self.talk.say(run.gate_sentence)
        if expected and (await self.talk.ask(f"{prompt} (Enter: back):")).casefold() == expected.casefold():
            await self.link.call(lambda s: s.approve(run.run, gate, expected))
            await self.watch(run.run)
            return
        self.talk.say("Nothing was done; it goes on waiting.")

    async def cancel(self) -> None:
        run = self.ear.run
        if run is None or run.over:
            return
        self.talk.say(
            "What the run made is deleted; the installed system and what it boots stay as they are."
        )
        if not await self._yes(f"To cancel {run.run}, type yes (Enter: back):"):
            self.talk.say("Nothing was done; the run goes on.")
            return
        await self.link.call(lambda s: s.cancel(run.run))
        await self.watch(run.run)
        self.status = 130

    async def take_over(self) -> None:
        if await self._yes("The other terminal watches from then on. To take over, type yes:"):
            await self.link.call(lambda s: s.take_over())
            self.talk.say("You are in control.")

    async def power(self, act: str) -> None:
        words = {
            "reboot": "restart this machine",
            "poweroff": "switch this machine off",
            "firmware": "restart this machine into its firmware's setup",
        }[act]
        if await self._yes(f"To {words}, type yes (Enter: back):"):
            await self.link.call(lambda s: s.power(act))
            self.talk.say("The machine is going down.")
        else:
            self.talk.say("Nothing was done.")
