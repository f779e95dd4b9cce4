"""What a twin can get: the choices of a rehearsal, the same on every terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass

from appliance.model.plan import PatchKind, PatchRequest
from appliance.model.service_messages import Network, PackageList, PackageRow
from tui.words import count


@dataclass(frozen=True)
class Choice:
    """One entry of the list of patches; `question` is asked where it needs a name."""

    id: str
    kind: PatchKind
    title: str
    about: str
    question: str = ""

    def request(self, name: str, unsigned: bool) -> PatchRequest:
        """The patch as the engine wants it; `name` is the answer to `question`."""
        return PatchRequest(
            kind=self.kind,
            packages=tuple(name.split()) if self.id == "packages" else (),
            script=name if self.id == "script" else "",
            bundle=name if self.id == "bundle" else "",
            allow_unsigned=unsigned and self.id == "bundle",
        )


WANTS = {
    PatchKind.ALL: "All pending updates",
    PatchKind.SECURITY: "Security updates only",
    PatchKind.PACKAGES: "Chosen packages",
}
"""What a list for an office can be of: all else fetches nothing that is known before."""


def has_network(found: Network) -> bool:
    """Whether any port of the appliance has a cable and an address: what lies behind it is not known."""
    return any(port.cable and port.addresses for port in found.links)


def installed_sentence(known: PackageList, read_at: time.struct_time) -> str:
    """How much is installed and how much of it has a newer version; of when that is known."""
    words = [f"{known.installed} installed"]
    if known.lists_at:
        newer = f"{known.newer} newer, {known.security} of them security"
        words.append(f"{newer} (apt's lists of {time.strftime('%Y-%m-%d', read_at)})")
    else:
        words.append("no apt lists here say what is newer")
    if known.unread:
        words.append(f"{count(known.unread, 'list')} not readable")
    return "; ".join(words) + "."


def package_marks(row: PackageRow) -> str:
    return " ".join(word for word, on in (("SECURITY", row.security), ("HELD", row.held)) if on)


CHOICES = (
    Choice(
        "nothing",
        PatchKind.NOTHING,
        "Change nothing, only test the reboot",
        "Boots the twin twice and compares: shows whether this machine would survive a reboot today.",
    ),
    Choice(
        "all",
        PatchKind.ALL,
        "All pending updates, from the system's own sources",
        "The package manager's full upgrade, over the network through a proxy that lets nothing else pass.",
    ),
    Choice(
        "security",
        PatchKind.SECURITY,
        "Security updates only, from the system's own sources",
        "Only what comes from the distribution's security archive.",
    ),
    Choice(
        "packages",
        PatchKind.PACKAGES,
        "Chosen packages",
        "Upgrades or installs the packages you name, and what they need.",
        "Package names, with spaces between:",
    ),
    Choice(
        "bundle",
        PatchKind.ALL,
        "A bundle on the stick",
        "A folder on the stick's data partition with a repository or plain packages. No network is needed.",
        "Folder on the stick:",
    ),
    Choice(
        "script",
        PatchKind.SCRIPT,
        "A script",
        "Runs the file in the twin as root; its exit status decides whether the patch went well.",
        "Script on the stick:",
    ),
    Choice(
        "by-hand",
        PatchKind.BY_HAND,
        "By hand",
        "The twin waits while you work in it, then you say that you are done.",
    ),
)
