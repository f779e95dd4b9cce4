"""What one network file says: the card it is for, and that this card has an address by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from appliance.model.metal import Card


@dataclass(frozen=True, slots=True)
class Named:
    """A card under the name that a system's udev gives it; `others` are its alternative names there."""

    card: Card
    name: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setup:
    """A card that has an address by `file`, itself or through what is stacked on it (bridge, bond, VLAN).

    Whatever is empty fits every card. `names` are globs, those that begin with "!" must not fit.
    `others_too`: an alternative name is as good (systemd.network(5), Name=). `addressed` is false for a file
    that is for a card and gives it none: where the first file that fits is the only one, it counts.
    """

    file: str
    names: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    others_too: bool = False
    addressed: bool = True

    def fits(self, named: Named) -> bool:
        card = named.card
        called = (named.name, *named.others) if self.others_too else (named.name,)
        return (
            any_glob(self.names, called)
            and (not self.macs or card.mac in {mac.lower().replace("-", ":") for mac in self.macs})
            and any_glob(self.paths, (card.path,))
            and any_glob(self.drivers, (card.driver,))
        )


def any_glob(globs: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """As systemd.network(5) has it: one of the plain ones fits, if there are any, and none behind a "!"."""
    if any(fnmatchcase(word, glob[1:]) for glob in globs if glob.startswith("!") for word in words):
        return False
    wanted = [glob for glob in globs if not glob.startswith("!")]
    return not wanted or any(fnmatchcase(word, glob) for glob in wanted for word in words)


def ini(text: str) -> Iterator[tuple[str, str, str]]:
    """(section, key, value) of every line: a key may come more than once (systemd.syntax(7))."""
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and line[0] not in "#;" and "=" in line:
            key, _, value = line.partition("=")
            yield section, key.strip(), value.strip()
