"""What is asked of the appliance itself, beside runs: export, plan files, network, shell, ssh, keyboard."""

from __future__ import annotations

import msgspec

from appliance.model.plan import Request
from appliance.model.wire import Reply as Reply
from appliance.model.wire import Say as Say

STICK = "stick"


class Export(Say, frozen=True, tag="export"):
    """Take the record of `run` away; without a run the machine as read and the log alone.

    `to` is "stick" (the folder reports on its data partition), an http(s) address that is PUT to, or the
    absolute path of a folder of the appliance.
    """

    run: str = ""
    to: str = STICK


class Exported(Reply, frozen=True, tag="exported"):
    """`where` is a folder or an address without credentials, `file` the archive's name in it.

    `size` is the archive's, in bytes; `masked` counts the places where a secret stood, by kind; `unread` are
    files that hold no text and went in as they are.
    """

    where: str
    file: str
    size: int
    files: int
    masked: tuple[tuple[str, int], ...] = ()
    unread: tuple[str, ...] = ()


class GetPlanFiles(Say, frozen=True, tag="plan-files"):
    """The plan files on the stick."""


class PlanFile(msgspec.Struct, frozen=True, kw_only=True):
    """`request` is None where the file does not read; `why_not` says why it can not run here."""

    name: str
    serial: str = ""
    command_line: str = ""
    request: Request | None = None
    promote: bool = False
    keep: bool = True
    reboot: bool = True
    why_not: str = ""


class PlanFiles(Reply, frozen=True, tag="plan-files"):
    """`stick`: whether the folder is on a stick, or in memory and gone at power-off."""

    folder: str
    stick: bool
    files: tuple[PlanFile, ...] = ()


class SavePlanFile(Say, frozen=True, tag="save-plan"):
    """Keep `request` as plans/`name`.json on the stick, for this machine, to be run with nobody there.

    Of a promote request the rehearsal of its run is kept. `promote` when the verdict is PASS, `keep` when the
    trial is healthy, `reboot` into the trial.
    """

    name: str
    request: Request
    promote: bool = False
    keep: bool = True
    reboot: bool = True


class PlanSaved(Reply, frozen=True, tag="plan-saved"):
    """`argument` is what the kernel command line needs to run it; `sha256` goes with an address."""

    path: str
    sha256: str
    argument: str


AnyServiceSay = Export | GetPlanFiles | SavePlanFile
AnyServiceReply = Exported | PlanFiles | PlanSaved
SERVICE_ACTS: tuple[type[Say], ...] = ()
"""Those that only the client in control may ask."""
