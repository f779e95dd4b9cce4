"""A program in the foreground of this terminal: the shell that the engine has made ready, nothing else.

The engine has no terminal, so the one thing a front end must start by itself is what talks to its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence


def run(argv: Sequence[str]) -> int:
    """Run `argv` on this terminal to its end; its exit status, 127 where it could not be started.

    The signals a person can send by keys go to the program, not to the console behind it.
    """
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        child = os.posix_spawnp(
            argv[0], list(argv), os.environ, setsigdef=(signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)
        )
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except OSError:
        return 127
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
