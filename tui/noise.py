"""Line noise is no key: bytes that are no UTF-8 (a break, a wrong speed, 8-bit controls) are dropped.

Textual's driver decodes strictly; one such byte would end the console.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

from textual.drivers import linux_driver


def _forgiving(encoding: str) -> Callable[[], codecs.IncrementalDecoder]:
    decoder = codecs.getincrementaldecoder(encoding)
    return lambda: decoder(errors="ignore")


def drop_noise() -> None:
    """Before a console runs: its driver makes its decoder when it starts."""
    linux_driver.getincrementaldecoder = _forgiving  # type: ignore[assignment,attr-defined]
