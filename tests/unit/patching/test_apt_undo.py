"""apt's own history: which transaction was the last, and the words that take it back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import Refused
from appliance.patching.apt_undo import Change, last_transaction, not_undone, read_last, undo_words
from appliance.twin.guest import GuestOutput

# As apt 2.6 wrote it; the paragraph after it is of a run that was cut off before its End-Date.
HISTORY = """
Start-Date: 2026-11-25  18:16:24
Commandline: apt-get -y install /var/tmp/ledger_1.0.deb
Install: ledger:amd64 (1.0)
End-Date: 2026-11-25  18:16:24

Start-Date: 2026-11-25  18:20:02
Commandline: apt-get upgrade
Requested-By: tech (1000)
Install: linux-image-6.1.0-55-amd64:amd64 (6.1.192-1, automatic)
Upgrade: ledger:amd64 (1.0, 1.4), libc6:amd64 (2.36-9+deb12u4, 2.36-9+deb12u7), @GRUB@
Remove: old-tool:amd64 (1:0.9-1)
""".replace("@GRUB@", "grub-pc:amd64 (2.06-13, 2.06-13+deb12u1)")


class Guest:
    """Answers by a word of the script it is given."""

    def __init__(self, history: str = HISTORY, cached: str = "", known: str = "") -> None:
        self.said = {"history.log": history, "ls /var/cache": cached, "apt-cache": known}

    def exec(self, argv: tuple[str, ...], *, timeout: float, **_: object) -> GuestOutput:
        text = next(text for word, text in self.said.items() if word in argv[2])
        if "apt-cache" in argv[2]:
            text = "\n".join(word for word in argv[4:] if word in text.split())
        return GuestOutput(0, text.encode(), b"")


def test_the_last_transaction_is_found_with_what_it_did() -> None:
    found = last_transaction(HISTORY)
    assert found is not None
    assert (found.at, found.command) == ("2026-11-25 18:20:02", "apt-get upgrade")
    assert found.changes == (
        Change("ledger", "amd64", "1.0", "1.4"),
        Change("libc6", "amd64", "2.36-9+deb12u4", "2.36-9+deb12u7"),
        Change("old-tool", "amd64", "1:0.9-1", ""),
        Change("linux-image-6.1.0-55-amd64", "amd64", "", "6.1.192-1"),
    )
    assert found.loaders == ("grub-pc",), "its work lies outside the copy"


def test_an_end_that_changed_nothing_is_passed_over_and_none_is_refused() -> None:
    idle = HISTORY + "\nStart-Date: 2026-11-25  19:00:00\nCommandline: apt-get -f install\nEnd-Date: x\n"
    found = last_transaction(idle)
    assert found is not None and found.at == "2026-11-25 18:20:02"
    with pytest.raises(Refused, match="tells of no transaction"):
        read_last(Guest(history=""))
    with pytest.raises(Refused, match="tells of no transaction"):
        read_last(Guest(history="Start-Date: 1\nUpgrade: grub-pc:amd64 (1, 2)\n"))


def test_downloaded_packages_come_first_and_the_sources_only_where_they_may() -> None:
    cached = "ledger_1.0_all.deb\nold-tool_1%3a0.9-1_amd64.deb\nlock\npartial\n"
    libc = "libc6:amd64=2.36-9+deb12u4"
    guest = Guest(cached=cached, known=libc)
    wanted = read_last(guest)
    assert undo_words(guest, wanted, network=True) == (
        "/var/cache/apt/archives/ledger_1.0_all.deb",
        "/var/cache/apt/archives/old-tool_1%3a0.9-1_amd64.deb",
        "linux-image-6.1.0-55-amd64:amd64-",
        libc,
    )
    with pytest.raises(Refused) as said:
        undo_words(guest, wanted, network=False)
    (reason,) = said.value.reasons
    assert reason.startswith("libc6 2.36-9+deb12u4 is not in /var/cache/apt/archives")


def test_every_version_that_cannot_be_had_is_named_at_once() -> None:
    with pytest.raises(Refused) as said:
        undo_words(Guest(), read_last(Guest()), network=True)
    assert [reason.split()[0] for reason in said.value.reasons] == ["ledger", "libc6", "old-tool"]


def test_what_is_not_back_is_named() -> None:
    changes = read_last(Guest()).changes
    before = (("ledger", "1.0"), ("libc6", "2.36-9+deb12u4"), ("old-tool", "1:0.9-1"))
    assert not_undone(changes, before) == ()
    now = (("ledger", "1.4"), ("libc6:amd64", "2.36-9+deb12u4"), ("linux-image-6.1.0-55-amd64", "6.1.192-1"))
    assert not_undone(changes, now) == (
        "ledger is 1.4, not 1.0.",
        "old-tool is not installed, not 1:0.9-1.",
        "linux-image-6.1.0-55-amd64 is 6.1.192-1, not removed.",
    )


@given(st.text())
def test_a_damaged_history_gives_less_and_never_an_error(text: str) -> None:
    found = last_transaction(text)
    assert found is None or all(not c.name.startswith("-") for c in found.changes)
