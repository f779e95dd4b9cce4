"""Names of packages in line mode: typed, or first looked for among those that are installed."""

from __future__ import annotations

import time
from collections.abc import Iterator

from appliance.model.plan import not_packages
from appliance.model.service_messages import PackageList
from tui.link import Link
from tui.patches import installed_sentence, package_marks
from tui.plain.talk import Talk

MOST = 20
"""Packages told at once; more are found by a longer part of the name."""


async def ask_packages(talk: Talk, link: Link, system: str) -> str:
    """Names with blanks between, every one of them such as a package may have; empty to go back."""
    while True:
        said = " ".join((await talk.ask("Package names, or find and part of a name (Enter: back):")).split())
        word, _, part = said.partition(" ")
        if word == "find":
            talk.say(*told(await link.call(lambda s, part=part: s.packages(system, part))))  # type: ignore[misc]
        elif wrong := not_packages(said.split()):
            talk.say(*wrong)
            talk.wrong(said, ["names of packages", "find NAME"])
        else:
            return said


def told(known: PackageList) -> Iterator[str]:
    """How much there is, then what was found, the most urgent first."""
    yield installed_sentence(known, time.gmtime(known.lists_at))
    for row in known.rows[:MOST]:
        newer = f", newer: {row.newer}" if row.newer else ""
        marks = f", {mark}" if (mark := package_marks(row)) else ""
        yield f"   {row.name} {row.version}{newer}{marks}"
    if known.found > MOST:
        yield f"   and {known.found - MOST} more: find with more of the name."
    if not known.found:
        yield "No installed package has that in its name."
