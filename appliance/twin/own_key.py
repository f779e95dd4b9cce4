"""The key of a twin's disk: made for it, and thrown away with it. Nobody's passphrase goes into a twin.

What opens it is the same on every keyboard and in every encoding, for it is typed on the twin's screen too.
"""

from __future__ import annotations

from pathlib import Path

from appliance.host.run import Command, Effect, Host
from appliance.twin.luks_header import LARGEST, Form
from appliance.twin.segments import SECTOR

PASSPHRASE = b"    "
"""Four spaces: the one key beside Enter that is the same in every layout."""

ROOM = 1 << 20
"""Bytes behind the header, without which cryptsetup finds the device too small."""

LIMIT = 300.0
ITERATIONS = 1000
"""As few as cryptsetup takes: it keeps nothing secret (cryptsetup-luksFormat(8))."""


def make_header(host: Host, form: Form, at: Path) -> bytes:
    """The beginning of a device that is like `form`, but for its key; made in the file `at`, in memory.

    Raises CommandFailed.
    """
    at.parent.mkdir(parents=True, exist_ok=True)
    with at.open("wb") as file:
        file.truncate(form.offset + ROOM)
    named = (("--label", form.label), ("--subsystem", form.subsystem))
    argv = (
        "cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--uuid", form.uuid,
        *(word for pair in named if pair[1] for word in pair),
        "--cipher", form.cipher, "--sector-size", str(form.sector), "--offset", str(form.offset // SECTOR),
        "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", str(ITERATIONS),
        "--disable-keyring", "--key-file", "-", str(at),
    )  # fmt: skip
    try:
        host.run(Command(argv, Effect.WRITE, timeout=LIMIT, stdin=PASSPHRASE))
        with at.open("rb") as file:
            return file.read(min(form.offset, 2 * LARGEST))
    finally:
        at.unlink(missing_ok=True)
