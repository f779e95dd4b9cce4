"""The arrays that an initrd's mdadm.conf names, after mdadm.conf(5): it brings them up by that."""

from __future__ import annotations

import re

CONFIGS = frozenset({"etc/mdadm/mdadm.conf", "etc/mdadm.conf"})
"""Where an initrd has it: initramfs-tools as Debian, dracut."""


def why_not_assembled(text: str, uuid: str, name: str) -> str:
    """A sentence where the array `uuid` would be left down by this configuration; empty where it comes up.

    One that is not named comes up by itself, unless AUTO says otherwise: where others are named and it is
    not, or it is to be ignored, what was packed is that of another machine.
    """
    lines = [words for line in _joined(text) if (words := line.split())]
    named = [line for line in lines if line[0].upper().startswith("ARR")]
    ours = [line for line in named if any(_is_uuid(word, uuid) for word in line)]
    if any("<ignore>" in line for line in ours):
        return f"The new initrd is told to ignore the array {name} (mdadm.conf)."
    if named and not ours:
        return f"The new initrd names other arrays than {name} (mdadm.conf): {_way(name)}."
    autos = [word.lower() for line in lines if line[0].upper().startswith("AUT") for word in line[1:]]
    first = next((word for word in autos if word in ("+all", "-all", "+1.x", "-1.x")), "+all")
    if not ours and first.startswith("-"):
        return f"The new initrd brings up no array that it does not name (AUTO {first}): {_way(name)}."
    return ""


def _way(name: str) -> str:
    said = f"add what `mdadm --detail --scan` says of {name}"
    return f"on the running system, {said}, then make the initrd anew"


def _joined(text: str) -> list[str]:
    """Without comments, which begin a word with #; a line that begins with a blank goes on with the last."""
    lines: list[str] = []
    for line in text.splitlines():
        bare = re.sub(r"(^|\s)#.*", "", line)
        if line[:1].isspace() and lines:
            lines[-1] += bare
        else:
            lines.append(bare)
    return lines


def _is_uuid(word: str, uuid: str) -> bool:
    key, _, value = word.partition("=")
    return key.lower() == "uuid" and _hex(value) == _hex(uuid)


def _hex(uuid: str) -> str:
    return "".join(c for c in uuid.lower() if c in "0123456789abcdef")
