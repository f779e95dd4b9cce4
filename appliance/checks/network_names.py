"""The names that the machine's network cards would have, against the network files of either system.

A card carries an address where a network file of the installed system gives it one under the name that
system's udev gives it. In the patched system it must, too, under the name it has there; and it must have a
driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.checks.network_ifupdown import read_ifupdown
from appliance.checks.network_netplan import read_netplan
from appliance.checks.network_setup import Named, Setup
from appliance.checks.network_units import read_keyfiles, read_networkd
from appliance.model.metal import Card, DeviceFate, Fate
from appliance.model.plain import plain
from appliance.model.verdict import CheckResult, Outcome
from appliance.probe.tree import Tree

NAME = "network names on this machine"
FIX = (
    "Let the patched system name the card as its network files do (a .link file with Name= for its MAC, "
    "net.ifnames=0 where it was), or put network files for the new name into the patch. Rehearse again."
)


@dataclass(frozen=True, slots=True)
class Network:
    """What one system makes of this machine's cards: their names, and its network files."""

    names: Mapping[str, Named]
    setups: tuple[Setup, ...]

    def file_for(self, card: Card) -> str:
        """The network file that gives `card` an address; empty where none does, or its name is not known."""
        named = self.names.get(card.link)
        if named is None:
            return ""
        # Of networkd's files the first that fits is the only one (systemd.network(5)); the others' say only
        # what has an address.
        found = next((setup for setup in self.setups if setup.fits(named)), None)
        if found is not None and not found.addressed:
            found = next((s for s in self.setups if s.addressed and not s.others_too and s.fits(named)), None)
        return found.file if found is not None else ""

    def name_of(self, card: Card) -> str:
        named = self.names.get(card.link)
        return named.name if named is not None else ""


def read_setups(tree: Tree) -> tuple[Setup, ...]:
    """Of every manager that the system has; netplan's before networkd's, as those that it writes sort."""
    return (*read_ifupdown(tree), *read_keyfiles(tree), *read_netplan(tree), *read_networkd(tree))


def why_unreachable(
    cards: tuple[Card, ...], before: Network, after: Network, fates: tuple[DeviceFate, ...]
) -> tuple[str, ...]:
    """Sentences for each card that carries an address in the installed system and would have none."""
    gone = {fate.place: fate for fate in fates if fate.fate is Fate.NONE}
    found = []
    for card in cards:
        file = before.file_for(card)
        if not file:
            continue
        if card.place in gone:
            found.append(_no_driver(card, before, gone[card.place]))
        elif after.name_of(card) and not after.file_for(card):
            found.append(_no_address(card, before, after, file))
    return tuple(found)


def _no_driver(card: Card, before: Network, fate: DeviceFate) -> str:
    return plain(
        f"The network card {card.mac}, which carries this machine's address as {before.name_of(card)}, has "
        f"no driver in the patched system: {fate.why}"
    )


def _no_address(card: Card, before: Network, after: Network, file: str) -> str:
    was, now = before.name_of(card), after.name_of(card)
    if was == now:
        return plain(
            f"The network card {card.mac} ({now}), which carries this machine's address by {file}, has none "
            "by the patched system's network files: the machine would not be reached."
        )
    return plain(
        f"The network card {card.mac}, which carries this machine's address as {was} ({file}), is called "
        f"{now} by the patched system's udev on this hardware, and no network file of it gives that an "
        "address: the machine would not be reached."
    )


def judge_names(
    cards: tuple[Card, ...], before: Network, after: Network, unreachable: tuple[str, ...]
) -> CheckResult:
    """Worse where the machine would not be reached; another name of a card is what no twin could try."""
    was, now = (_listed(cards, network) for network in (before, after))
    unnamed = [c for c in cards if not before.name_of(c) or not after.name_of(c)]
    moved = [c for c in cards if c not in unnamed and before.name_of(c) != after.name_of(c)]
    outcome, why = Outcome.SAME, ""
    if unreachable:
        outcome, why = Outcome.WORSE, " ".join(unreachable)
    elif moved:
        outcome = Outcome.NOT_TESTED
        pairs = ", ".join(f"{before.name_of(c)} is {after.name_of(c)} ({c.mac})" for c in moved)
        why = plain(f"Called otherwise by the patched system's udev on this hardware: {pairs}.")
    elif unnamed:
        outcome = Outcome.NOT_TESTED
        macs = ", ".join(card.mac for card in unnamed)
        why = f"What the systems' own udev would call {macs} could not be asked."
    return CheckResult(
        name=NAME,
        outcome=outcome,
        before=was,
        after=now,
        limit="as the network files have them",
        why=why,
        fix=FIX if unreachable else "",
    )


def _listed(cards: tuple[Card, ...], network: Network) -> str:
    return plain(", ".join(network.name_of(card) or "not known" for card in cards)) or "none"
