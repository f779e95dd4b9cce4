"""What a machine without network would fetch, written to the stick from the line mode."""

from __future__ import annotations

from appliance.model.plan import PatchKind
from appliance.model.service_messages import WriteWanted
from tui.link import Link
from tui.patches import WANTS
from tui.plain.packages import ask_packages
from tui.plain.talk import Talk
from tui.words import count


async def write_wanted(talk: Talk, link: Link, system: str) -> None:
    """Ask what would be fetched for `system`, have the list written, say where it is and what comes next."""
    word = await talk.choose("What would be fetched?", [(kind.value, text) for kind, text in WANTS.items()])
    if not word:
        return
    kind = PatchKind(word)
    names = await ask_packages(talk, link, system) if kind is PatchKind.PACKAGES else ""
    if kind is PatchKind.PACKAGES and not names:
        talk.say("Nothing was named.")
        return
    say = WriteWanted(system=system, kind=kind, packages=tuple(names.split()))
    done = await link.call(lambda session: session.write_wanted(say))
    talk.say(
        f"Written to {done.path}: {count(done.installed, 'package')}, {count(done.sources, 'source')},"
        f" {count(done.keys, 'key')}; no password.",
        *(f"[!] {sentence}" for sentence in done.unknown),
        "Next, on any Debian or Ubuntu with internet: twinboot bundle make LIST --stick.",
        "Then, back here: rehearse, bundle.",
    )
