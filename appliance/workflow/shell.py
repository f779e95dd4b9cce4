"""A root shell for a person on their own terminal, and the log of what was done in it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.model.service_messages import ShellReady

RC = """\
[ -r /etc/bash.bashrc ] && . /etc/bash.bashrc
PS1='twinboot root shell, exit leads back: \\w # '
echo "This is a root shell of the appliance. What you type and see is logged."
echo "The machine's disks can be written from here: nothing asks again. exit leads back to the console."
"""


@dataclass(frozen=True, slots=True)
class Shells:
    """`folder` holds one typescript for each shell: script(1), util-linux."""

    runtime: Path

    @property
    def folder(self) -> Path:
        return self.runtime / "shells"

    def prepare(self, client: str) -> ShellReady:
        """The command that a client runs in the foreground of its own terminal."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / "rc").write_text(RC)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        log = self.folder / f"shell-{re.sub(r'[^A-Za-z0-9]+', '-', client)}-{stamp}.log"
        shell = f"bash --noprofile --rcfile {self.folder / 'rc'} -i"
        argv = ("script", "--quiet", "--flush", "--log-out", str(log), "--command", shell)
        return ShellReady(argv=argv, log=str(log))
