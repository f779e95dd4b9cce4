"""A power cut at a command: a mix-in for a Host in memory, and a Host around another."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.host.run import Command, Effect, Host, Output


class PowerCut(Exception):
    pass


class DarkBefore:
    """Goes dark before the write number `left`."""

    left = 10**6

    def run(self, command: Command) -> Output:
        if command.effect is Effect.WRITE:
            if self.left == 0:
                raise PowerCut
            self.left -= 1
        said: Output = super().run(command)  # type: ignore[misc]  # the Host beside it
        return said


@dataclass
class DarkAfter:
    """A Host that runs `program` and no more."""

    inner: Host
    program: str

    def run(self, command: Command) -> Output:
        said = self.inner.run(command)
        if command.argv[0] == self.program:
            raise PowerCut
        return said
