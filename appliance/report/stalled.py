"""A limit for what writes to a medium that may stop answering: a stick that was pulled, or is dying.

A process that waits for such a medium cannot be ended by anybody, not by SIGKILL either (D in ps(1)). So the
work is done in a thread that may be left behind, and what counts is that it moves on.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from appliance.errors import ApplianceError
from appliance.report.bundle import Tell

STALLED = 90.0
"""Seconds without a step. A worn stick may take half a minute for one MiB; the kernel gives a disk's command
up after 30 s and tries again (SD_TIMEOUT in drivers/scsi/sd.h)."""


def while_it_moves(work: Callable[[Tell], Path], tell: Tell, stalled: ApplianceError, limit: float) -> Path:
    """What `work` returns or raises; `tell` is called in this thread. Raises `stalled` where `work` neither
    tells anything nor ends for `limit` seconds; should it ever come back, its next word ends it.
    """
    told: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
    ended, given_up = Future[Path](), threading.Event()

    def pass_on(done: int, total: int) -> None:
        if given_up.is_set():
            raise stalled
        told.put((done, total))

    def run() -> None:
        try:
            ended.set_result(work(pass_on))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to whoever waits
            ended.set_exception(error)
        told.put(None)

    threading.Thread(target=run, name="slow-medium", daemon=True).start()
    try:
        while (said := told.get(timeout=limit)) is not None:
            tell(*said)
    except queue.Empty:
        given_up.set()
        raise stalled from None
    return ended.result()
