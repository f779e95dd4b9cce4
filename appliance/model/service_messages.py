"""What is asked of the appliance itself, beside runs: export, plan files, network, shell, ssh, keyboard."""

from __future__ import annotations

from appliance.model.wire import Reply, Say

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


AnyServiceSay = Export
AnyServiceReply = Exported
SERVICE_ACTS: tuple[type[Say], ...] = ()
"""Those that only the client in control may ask."""
