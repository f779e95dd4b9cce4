"""What clients and the engine say to each other: one JSON object a line over a unix socket.

A client sends a `Call` with a number of its choosing; the engine answers with an `Answer` of the same
number. After `Follow`, events arrive as `Pushed`, unasked.
"""

from __future__ import annotations

import msgspec

from appliance.model.events import AnyEvent
from appliance.model.lineage import Lineage
from appliance.model.machine import Machine
from appliance.model.plan import Plan, Request
from appliance.model.service_messages import AnyServiceReply, AnyServiceSay
from appliance.model.standing import Standing
from appliance.model.verdict import Verdict
from appliance.model.vm_messages import AnyVmReply, AnyVmSay
from appliance.model.wire import Reply as Reply
from appliance.model.wire import Say as Say

PROTOCOL = 1


class Hello(Say, frozen=True, tag="hello"):
    """First message: who is speaking ("tty1", "ttyS0", "cli")."""

    client: str
    protocol: int = PROTOCOL


class Inspect(Say, frozen=True, tag="inspect"):
    """Read the machine. `fresh` asks the disks again, else the last reading serves."""

    fresh: bool = False


class Unlock(Say, frozen=True, tag="unlock"):
    """Open the encrypted device with this UUID, until power-off. Answered by `Found`.

    Needs the operator lock. Refused for a device that is not locked; one that does not open is an error.
    """

    uuid: str
    passphrase: bytes

    def __repr__(self) -> str:
        return f"Unlock({self.uuid!r}, a passphrase)"


class GetStatus(Say, frozen=True, tag="status"):
    """What runs, what waits, what boots next."""


class MakePlan(Say, frozen=True, tag="plan"):
    """Answered by `Planned`, or by an error whose reasons are all the refusals at once."""

    request: Request


class Start(Say, frozen=True, tag="start"):
    """Begin the plan; `dry` prints every write and makes none. Needs the operator lock."""

    plan: Plan
    dry: bool = False


class Approve(Say, frozen=True, tag="approve"):
    """Let a waiting gate pass. `typed` is what the person typed to confirm."""

    run: str
    gate: str
    typed: str = ""


class Cancel(Say, frozen=True, tag="cancel"):
    """Stop the run and remove what it made; at a gate, refuse."""

    run: str


class TakeOver(Say, frozen=True, tag="take-over"):
    """Take the operator lock from another client, knowingly."""


class Follow(Say, frozen=True, tag="follow"):
    """Send every event after number `since`, those past and those to come."""

    since: int = 0


class GetRecord(Say, frozen=True, tag="record"):
    """The record of one run: answered by `RecordOf`."""

    run: str


class Power(Say, frozen=True, tag="power"):
    """`act` is reboot, poweroff or firmware (restart into its setup). Needs the operator lock."""

    act: str


AnySay = (
    Hello
    | Inspect
    | Unlock
    | GetStatus
    | MakePlan
    | Start
    | Approve
    | Cancel
    | TakeOver
    | Follow
    | GetRecord
    | Power
    | AnyServiceSay
    | AnyVmSay
)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    say: AnySay


class Welcome(Reply, frozen=True, tag="welcome"):
    version: str
    protocol: int = PROTOCOL


class Found(Reply, frozen=True, tag="found"):
    machine: Machine


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run going on or waiting, for a client that has just come."""

    run: str
    verb: str
    title: str
    plan: Plan
    gate: str = ""
    gate_sentence: str = ""
    started: float = 0.0
    finished: bool = False
    paused: bool = False


class Status(Reply, frozen=True, tag="status"):
    """`next_boot` and `fallback` are sentences; `writes` counts what was written to this machine's disks.

    `outdated`: all of it is from before the end of the last run, and the machine is about to be read again.
    `last_seq` is the last event that it knows of.
    """

    machine: Machine | None
    lineage: Lineage
    operator: str
    running: RunView | None = None
    writes: int = 0
    next_boot: str = ""
    fallback: str = ""
    next_step: str = ""
    last_seq: int = 0
    outdated: bool = False
    notices: tuple[str, ...] = ()
    standing: Standing = Standing()


class Planned(Reply, frozen=True, tag="planned"):
    plan: Plan
    command_line: str = ""


class Accepted(Reply, frozen=True, tag="accepted"):
    run: str = ""
    would: tuple[str, ...] = ()


class RecordOf(Reply, frozen=True, tag="record"):
    """`text` is the report as plain text, `folder` where its JSON and HTML stand in the appliance."""

    run: str
    verdict: Verdict | None
    text: str
    folder: str = ""


class Refusal(Reply, frozen=True, tag="error"):
    """An ApplianceError over the wire; `elsewhere` as in errors.Refused."""

    code: str
    what: str
    safe: str
    next_actions: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    exit_code: int = 1


AnyReply = Welcome | Found | Status | Planned | Accepted | RecordOf | Refusal | AnyServiceReply | AnyVmReply


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    id: int
    reply: AnyReply


class Pushed(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    event: AnyEvent


FromEngine = Answer | Pushed
