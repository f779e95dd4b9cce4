"""A script of the site as the patch: run in the twin, its output in the log, its status the result."""

from __future__ import annotations

import shlex

from appliance.errors import Refused
from appliance.patching.apt_progress import AptProgress
from appliance.patching.base import Guest, Setting, Tell
from appliance.patching.job import FOLDER, Job

_PATH = f"{FOLDER}/script"


def interpreter(data: bytes) -> tuple[str, ...]:
    """The words of the #! line. /run is mounted noexec on Debian, so the program is named, not the file."""
    first = data.partition(b"\n")[0]
    if not first.startswith(b"#!"):
        raise Refused(("The script does not begin with #!, so nothing says which program runs it.",))
    words = tuple(shlex.split(first[2:].decode(errors="replace").strip()))
    if not words or not words[0].startswith("/"):
        raise Refused(("The script's first line names no program by its full path.",))
    return words


def run_script(guest: Guest, setting: Setting, environment: tuple[str, ...], tell: Tell) -> int:
    """Run Setting.script to its end and return its status. `environment` is an `env` argv prefix."""
    words = interpreter(setting.script)
    guest.exec(("mkdir", "-p", FOLDER), timeout=60)
    guest.write_file(_PATH, setting.script, 0o700)
    progress = AptProgress(tell, setting.step, 0, 0, setting.clock)
    bundle = (f"TWINBOOT_BUNDLE={setting.bundle}",) if setting.bundle else ()
    try:
        return Job(guest, setting).run((*environment, *bundle, *words, _PATH), progress.heard, "The script")
    finally:
        guest.exec(("rm", "-rf", f"{FOLDER}/job", _PATH), timeout=60)
