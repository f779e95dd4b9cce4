"""What can be read from the line mode: verdicts, the log, what the loader finds, history and space."""

from __future__ import annotations

from tui import standing
from tui.plain import told
from tui.plain.acts import Acts
from tui.words import moment


class Looks:
    """Nothing here asks for more than to be told."""

    def __init__(self, acts: Acts) -> None:
        self.acts = acts
        self.talk, self.link, self.ear = acts.talk, acts.link, acts.ear

    async def verdict(self) -> None:
        run = await self.acts.run_for(None)
        if not run:
            return
        record = await self.link.call(lambda s: s.record(run))
        if record.verdict is None:
            self.talk.say("", *(record.text.splitlines() or [f"{run} reached no verdict."]))
            return
        self.talk.say("", *told.verdict(run, record.verdict))
        for diff in record.verdict.configs:
            self.talk.say("Configuration file " + next(lines := told.config(diff)))
            self.talk.say(*lines, indent="   ")

    async def boot(self) -> None:
        """Entries as the loader reads them, what was done to this machine, how long its room lasts."""
        for view in standing.VIEWS[1:]:
            rows = standing.rows_of(self.ear.status, view, told.WIDTH)
            self.talk.say("", f"{view.capitalize()}:", *(told.text_of(row.line) for row in rows))

    async def log(self) -> None:
        said = await self.talk.ask("Text to find, or Enter for the last 20 lines:")
        found = [entry for entry in self.ear.log if said.casefold() in entry.text.casefold()][-20:]
        for entry in found:
            level = f" {entry.level}:" if entry.level != "info" else ""
            self.talk.say(f"{moment(entry.at)} {entry.source}{level} {entry.text}", indent="   ")
        if not found:
            self.talk.say("No line of the log has that.")
