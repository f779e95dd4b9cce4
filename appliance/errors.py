"""What the appliance says when it stops: one clear error with a way on.

Every error a person can meet carries four parts: a stable code, what happened, what is safe, and
numbered next actions with the suggested one first.
"""

from __future__ import annotations


class ApplianceError(Exception):
    """An expected failure, fit for a screen. Anything else that is raised is a bug."""

    code = "GENERAL-01"
    safe = "Nothing on the installed system was changed."
    next_actions: tuple[str, ...] = ("Export the log and ask for support.",)
    exit_code = 1

    def __init__(
        self, what: str, *, safe: str | None = None, next_actions: tuple[str, ...] | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        if safe is not None:
            self.safe = safe
        if next_actions is not None:
            self.next_actions = next_actions

    def __str__(self) -> str:
        return self.what


class CommandFailed(ApplianceError):
    """A program ended with an unexpected status, was not found, or passed its time limit."""

    code = "HOST-01"
    next_actions = ("Look at the log: it holds the command and its output.", "Try again.")


class DamagedData(ApplianceError):
    """A file of ours, or input from outside, does not decode; the text names the key."""

    code = "DATA-01"
    next_actions = ("Put the named file right, or delete it to start afresh.",)


class Refused(ApplianceError):
    """The machine or the request is one we do not act on. `reasons` are full sentences, all at once.

    `warnings` are sentences that would stand beside the plan: they are to be read before trying again.
    `elsewhere` are the places, as a request names them, where a copy could lie that is only rehearsed.
    """

    code = "REFUSED-01"
    exit_code = 3
    next_actions = ("Read the reasons: each names what would have to change.",)

    def __init__(
        self,
        reasons: tuple[str, ...],
        warnings: tuple[str, ...] = (),
        *,
        next_actions: tuple[str, ...] | None = None,
        elsewhere: tuple[str, ...] = (),
    ) -> None:
        super().__init__(" ".join(reasons), next_actions=next_actions)
        self.reasons = reasons
        self.warnings = warnings
        self.elsewhere = elsewhere


class StalePlan(Refused):
    """The plan was made for another machine, or this machine has changed since."""

    code = "PLAN-01"
    next_actions = ("Make a new plan on this machine.",)


class Busy(ApplianceError):
    """Another operator or run holds the lock."""

    code = "BUSY-01"
    exit_code = 4
    next_actions = (
        "Watch the run that is going on.",
        "Take over knowingly: T in the console, --take-over at a command.",
    )


class ProbeFailed(ApplianceError):
    """The machine could not be read well enough to say what it is."""

    code = "PROBE-01"


class WrongPassphrase(ApplianceError):
    """An encrypted device does not open with what was typed."""

    code = "LUKS-01"
    exit_code = 3
    next_actions = ("Look at the keyboard layout, and type it again.",)


class OutOfSpace(ApplianceError):
    """A pool, volume group, /boot or the stick has no room for what the plan needs."""

    code = "SPACE-01"
    next_actions = ("Free the named space and start again.",)


class TwinFailed(ApplianceError):
    """The twin did not do what its machine does: start, answer, or stop in time."""

    code = "TWIN-01"
    next_actions = ("Look at the twin's console in the report.", "Rehearse again.")


class PatchFailed(ApplianceError):
    """The package manager did not finish its work in the twin."""

    code = "PATCH-01"
    next_actions = ("Read the package manager's output in the report.", "Rehearse other patches.")


class FileSystemFailed(ApplianceError):
    """A file system's own checker ended with errors left: the copy is not fit to be booted."""

    code = "FSCK-01"
    next_actions = (
        "Try another repair (X on the console, or `twinboot repair --help`). Each starts from the original.",
        "Look at the disk's health: M on the console, or `twinboot inspect`.",
    )


class BootConfigFailed(ApplianceError):
    """A write to the boot configuration, or reading it back as the loader, did not hold."""

    code = "BOOT-01"
    next_actions = ("Do not switch off yet: run `twinboot status`.",)


class DataNotPutBack(ApplianceError):
    """The system was rolled back and its data did not follow."""

    code = "BACK-01"
    safe = (
        "The old system boots. Nothing is lost: the data as it is now and as it was before the trial are both"
        " still there, in the volume or in a snapshot."
    )
    next_actions = (
        "Start the appliance again before the machine: it goes on.",
        "Look at the log: it holds the command and its output.",
    )


class ExportFailed(ApplianceError):
    """A record could not be taken away: no stick, one that takes nothing, an address that does not answer."""

    code = "EXPORT-01"
    safe = "The record is still in the appliance and on the machine. Nothing half-written was left behind."
    next_actions = (
        "Export to another place: stick, an address, a folder of the appliance.",
        "Look at the log: it holds what was tried.",
    )


class BundleFailed(ApplianceError):
    """A bundle could not be made whole: an archive that does not answer, or has changed while it was read."""

    code = "BUNDLE-01"
    safe = "What was fetched so far stays. The machines' lists were only read."
    next_actions = (
        "Run the same command again: it goes on where it stopped.",
        "Check the way to the archives, or name a mirror with --mirror.",
    )


class NeedsRescue(ApplianceError):
    """The journal is damaged in the middle or an undo failed: no guess is made."""

    code = "RESCUE-01"
    next_actions = ("Export everything to the stick.", "Do not promote; ask for support.")


class HistoryUnread(ApplianceError):
    """The state volume cannot be checked or mounted: what was done to this machine cannot be read."""

    code = "STATE-01"
    next_actions = (
        "Mend it in a shell (A, shell): `e2fsck -y` and the device named above, then I on the first page.",
        "Go back without it, where that is wanted: /root/TWINBOOT.txt on the system says how.",
        "Export the log and ask for support.",
    )


class Cancelled(ApplianceError):
    """The operator stopped the run; what it had made is removed."""

    code = "CANCEL-01"
    exit_code = 130
    next_actions = ("Start a new rehearsal when ready.",)


class EngineGone(ApplianceError):
    """The engine's socket does not answer."""

    code = "ENGINE-01"
    next_actions = ("Wait ten seconds: it is started again by itself.",)
