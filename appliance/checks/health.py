"""The one sh file of the twin and the metal: the fact collector with further verbs put in."""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).with_name("health.sh")
_MARKER = "#: dispatch\n"


def script(*parts: str) -> bytes:
    """health.sh with `parts` (functions only, verb_NAME among them) before its dispatch."""
    functions, marker, dispatch = FILE.read_text().partition(_MARKER)
    if not marker:
        raise ValueError("health.sh has lost its dispatch marker")
    texts = (functions, *parts)
    return ("\n\n".join(text.strip("\n") for text in texts) + f"\n\n{marker}{dispatch}").encode()
