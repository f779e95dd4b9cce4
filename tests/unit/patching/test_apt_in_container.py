"""Real apt and dpkg of Debian 12 and 13 in a container: what is applied, held, left behind."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from appliance.errors import Cancelled, PatchFailed, Refused
from appliance.model.events import Event, Line, Progress
from appliance.model.plan import PatchKind, PatchRequest
from appliance.patching.apt import Apt
from appliance.patching.base import Setting
from appliance.patching.choose import choose
from tests.lab.repository import Pool
from tests.lab.suite import BOOKWORM, TRIXIE, Suite
from tests.unit.patching.nspawn import PROXY, Container
from tests.unit.patching.offers import offer, offer_security

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]
ALL = PatchRequest(kind=PatchKind.ALL)
on_both = pytest.mark.parametrize("suite", (BOOKWORM, TRIXIE), ids=str)


def patcher(guest: Container, **settings: object) -> Apt:
    chosen = choose(guest, Setting(**{"poll": 0.2, **settings}))  # type: ignore[arg-type]
    assert isinstance(chosen, Apt)
    return chosen


def changed(applied: object) -> dict[str, tuple[str, str]]:
    return {c.name: (c.before, c.after) for c in applied.changes}  # type: ignore[attr-defined]


@on_both
def test_all_pending_updates_through_the_proxy(guest: Container, pool: Pool) -> None:
    offer(pool, guest.served, *(pool.deb(n, "1.1") for n in ("ledger", "grub-lab", "configured")))
    guest.sh("echo 'setting = of the site' >/etc/configured.conf")
    before = guest.sh(
        "find /etc /var/lib/dpkg/status -name status -prune -o -type f -print | sort | xargs md5sum"
    )
    apt = patcher(guest, proxy=PROXY)
    events: list[Event] = []

    assert apt.sources().hosts == ("10.0.2.100", "deb.debian.org", "security.debian.org")
    unread = apt.refresh(ALL, events.append)
    assert len(unread) == 3 and all("deb" in s for s in unread), unread  # Debian's own are not served here
    preview = apt.preview(ALL)
    assert {c.name for c in preview.changes} == {"ledger", "configured"}
    assert preview.held == ("grub-lab 1.0 → 1.1",)
    assert 500 < preview.download < 100_000

    applied = apt.apply(ALL, events.append)
    assert changed(applied) == {"ledger": ("1.0", "1.1"), "configured": ("1.0", "1.1")}
    assert applied.failure == ""
    assert applied.kept_conffiles == ("/etc/configured.conf.dpkg-dist",)
    assert any("boot loader: grub-lab 1.0 → 1.1" in s for s in applied.not_applied)
    assert apt.audit() == ()
    assert guest.sh("cat /etc/configured.conf") == "setting = of the site\n"
    assert "ledger 1.1" in guest.sh("curl -s localhost:8377")

    done = [e for e in events if isinstance(e, Progress) and e.unit == "packages"]
    assert (done[-1].done, done[-1].total) == (2, 2)
    assert any(isinstance(e, Progress) and e.unit == "bytes" for e in events)
    text = [e.text for e in events if isinstance(e, Line)]
    assert any("Setting up ledger (1.1)" in line for line in text)

    # Nothing of ours stays: no pin, no hold, no proxy, no cached package.
    assert guest.sh("apt-mark showhold; ls /var/cache/apt/archives/*.deb 2>/dev/null; true") == ""
    after = guest.sh(
        "find /etc /var/lib/dpkg/status -name status -prune -o -type f -print | sort | xargs md5sum"
    )
    new = {line.split()[1] for line in set(after.splitlines()) ^ set(before.splitlines())}
    assert new <= {"/etc/configured.conf.dpkg-dist", "/etc/ld.so.cache"}, new
    policy = guest.sh("apt-cache policy grub-lab")
    assert "Candidate: 1.1" in policy, "the loader pin must be gone after the run"


@on_both
def test_security_only_takes_security_archives_only(guest: Container, pool: Pool, suite: Suite) -> None:
    offer(pool, guest.served, pool.deb("configured", "1.1"), pool.deb("ledger", "1.2"))
    offer_security(pool, guest.served, pool.deb("ledger", "1.1"), pool.deb("grub-lab", "1.1"))
    guest.sh(
        "echo 'deb [signed-by=/etc/apt/keyrings/lab.gpg]"
        f" http://sec.example/lab {suite}-security main'"
        " >/etc/apt/sources.list"
    )
    request = PatchRequest(kind=PatchKind.SECURITY)
    apt = patcher(guest, proxy=PROXY)
    apt.refresh(request, lambda _: None)
    applied = apt.apply(request, lambda _: None)
    assert changed(applied) == {"ledger": ("1.0", "1.1")}, "neither 1.2 of the other archive nor configured"
    assert applied.changes[0].security
    assert [s for s in applied.not_applied if "grub-lab" in s]


@on_both
def test_named_packages(guest: Container, pool: Pool) -> None:
    offer(pool, guest.served, pool.deb("ledger", "1.1"), pool.deb("configured", "1.1"))
    apt = patcher(guest, proxy=PROXY)
    one = PatchRequest(kind=PatchKind.PACKAGES, packages=("configured",))
    apt.refresh(one, lambda _: None)
    assert changed(apt.apply(one, lambda _: None)) == {"configured": ("1.0", "1.1")}
    for name, words in {
        "no-such-thing": "No source",
        "grub-lab": "boot loader",
        "-o=x": "not a package",
    }.items():
        with pytest.raises(Refused, match=words):
            apt.preview(PatchRequest(kind=PatchKind.PACKAGES, packages=(name,)))


@on_both
def test_half_configured_package_is_a_failure_that_goes_on(guest: Container, pool: Pool) -> None:
    offer(pool, guest.served, pool.deb("ledger", "1.4"))
    apt = patcher(guest, proxy=PROXY)
    apt.refresh(ALL, lambda _: None)
    applied = apt.apply(ALL, lambda _: None)
    assert changed(applied) == {"ledger": ("1.0", "1.4")}
    assert "status 100" in applied.failure and "ledger" in applied.failure
    assert apt.audit() == ("Package ledger is half configured.",)


def test_a_source_that_does_not_answer_at_all_changes_nothing(guest: Container) -> None:
    apt = patcher(guest, proxy=PROXY)  # nothing is served
    with pytest.raises(PatchFailed, match="package lists could not be read"):
        apt.refresh(ALL, lambda _: None)


def test_a_package_that_vanished_from_the_archive_changes_nothing(guest: Container, pool: Pool) -> None:
    repository = offer(pool, guest.served, pool.deb("ledger", "1.1"))
    apt = patcher(guest, proxy=PROXY)
    apt.refresh(ALL, lambda _: None)
    shutil.rmtree(repository / "pool")
    with pytest.raises(PatchFailed, match="status 100"):
        apt.apply(ALL, lambda _: None)
    assert dict(apt.installed())["ledger"] == "1.0"
    assert apt.audit() == ()


def test_held_lock_forbids_a_seal(guest: Container) -> None:
    apt = patcher(guest)
    lock = "f=open('/var/lib/dpkg/lock-frontend','w');fcntl.lockf(f,fcntl.LOCK_EX)"
    hold = f"import fcntl,time\n{lock}\ntime.sleep(60)"
    guest.sh(f'setsid python3 -c "{hold}" >/dev/null 2>&1 </dev/null & sleep 0.5')
    assert any("lock-frontend is held by python3" in s for s in apt.audit())


def bundle(guest: Container, repository: Path) -> str:
    shutil.copytree(repository, guest.folder / "mnt/bundle")
    return "/mnt/bundle"


def test_signed_bundle_without_network(guest: Container, pool: Pool, tmp_path: Path) -> None:
    lists = guest.sh("ls /var/lib/apt/lists/*Packages 2>/dev/null; true")
    repository = pool.publish(tmp_path / "stick", [pool.deb("ledger", "1.1"), pool.deb("grub-lab", "1.1")])
    apt = patcher(guest, bundle=bundle(guest, repository))
    assert apt.why_not(ALL) == ()
    assert apt.refresh(ALL, lambda _: None) == ()
    applied = apt.apply(ALL, lambda _: None)
    assert changed(applied) == {"ledger": ("1.0", "1.1")}
    assert not any("not signed" in s for s in applied.not_applied)
    assert guest.sh("ls /var/lib/apt/lists/*Packages 2>/dev/null; true") == lists, (
        "the guest's own lists stay as they were"
    )


def test_unsigned_bundle_is_refused_unless_allowed(guest: Container, pool: Pool, tmp_path: Path) -> None:
    repository = pool.publish(tmp_path / "stick", [pool.deb("ledger", "1.1")], signed=False)
    apt = patcher(guest, bundle=bundle(guest, repository))
    assert "not signed" in apt.why_not(ALL)[0]
    with pytest.raises(Refused, match="not signed"):
        apt.refresh(ALL, lambda _: None)
    allowed = PatchRequest(kind=PatchKind.ALL, allow_unsigned=True)
    assert apt.why_not(allowed) == ()
    apt.refresh(allowed, lambda _: None)
    applied = apt.apply(allowed, lambda _: None)
    assert changed(applied) == {"ledger": ("1.0", "1.1")}
    assert any("not signed" in s for s in applied.not_applied)


def test_bundle_signed_by_a_stranger_is_refused(guest: Container, pool: Pool, tmp_path: Path) -> None:
    repository = pool.publish(tmp_path / "stick", [pool.deb("ledger", "1.1")])
    (guest.folder / "etc/apt/keyrings/lab.gpg").unlink()
    apt = patcher(guest, bundle=bundle(guest, repository))
    with pytest.raises(PatchFailed, match="not accepted"):
        apt.refresh(ALL, lambda _: None)


def test_plain_debs(guest: Container, pool: Pool) -> None:
    folder = guest.folder / "mnt/bundle"
    folder.mkdir()
    for name in ("ledger", "grub-lab"):
        shutil.copy(pool.deb(name, "1.1"), folder)
    apt = patcher(guest, bundle="/mnt/bundle")
    assert "not signed" in apt.why_not(ALL)[0], "a .deb carries no signature, and no list knows this one"
    allowed = PatchRequest(kind=PatchKind.ALL, allow_unsigned=True)
    assert apt.refresh(allowed, lambda _: None) == ()
    assert changed(apt.apply(allowed, lambda _: None)) == {"ledger": ("1.0", "1.1")}
    assert dict(apt.installed())["grub-lab"] == "1.0"


def test_plain_debs_that_the_guests_own_lists_know_need_no_leave(guest: Container, pool: Pool) -> None:
    offer(pool, guest.served, pool.deb("ledger", "1.1"))
    patcher(guest, proxy=PROXY).refresh(ALL, lambda _: None)
    (guest.folder / "mnt/bundle").mkdir()
    shutil.copy(pool.deb("ledger", "1.1"), guest.folder / "mnt/bundle")
    assert patcher(guest, bundle="/mnt/bundle").why_not(ALL) == ()


def test_bundle_with_two_versions_or_nothing_is_refused(guest: Container, pool: Pool) -> None:
    folder = guest.folder / "mnt/bundle"
    assert "cannot be opened" in patcher(guest, bundle="/mnt/bundle").why_not(ALL)[0]
    folder.mkdir()
    assert "neither a repository" in patcher(guest, bundle="/mnt/bundle").why_not(ALL)[0]
    for version in ("1.1", "1.2"):
        shutil.copy(pool.deb("ledger", version), folder)
    assert "ledger more than once" in patcher(guest, bundle="/mnt/bundle").why_not(ALL)[0]


def test_script(guest: Container) -> None:
    lines: list[str] = []

    def tell(event: Event) -> None:
        if isinstance(event, Line):
            lines.append(event.text)

    request = PatchRequest(kind=PatchKind.SCRIPT, script="fix.sh")
    good = patcher(guest, script=b"#!/bin/sh\necho working on it; touch /etc/fixed; exit 0\n")
    assert good.apply(request, tell).failure == ""
    assert lines == ["working on it"] and (guest.folder / "etc/fixed").exists()
    bad = patcher(guest, script=b"#!/usr/bin/env sh\necho no >&2; exit 3\n")
    assert bad.apply(request, tell).failure == "The script ended with status 3."
    assert "no" in lines
    assert "does not begin with #!" in patcher(guest, script=b"\x7fELF").why_not(request)[0]


def test_cancel_kills_what_runs_in_the_guest(guest: Container) -> None:
    asked = time.monotonic()
    script = b"#!/bin/sh\nsleep 1234 & sleep 1234\n"
    apt = patcher(guest, script=script, cancelled=lambda: time.monotonic() - asked > 1)
    with pytest.raises(Cancelled):
        apt.apply(PatchRequest(kind=PatchKind.SCRIPT, script="x"), lambda _: None)
    assert time.monotonic() - asked < 10
    assert guest.sh("grep -lsz '^1234$' /proc/[0-9]*/cmdline; true") == ""


def test_limit_ends_a_patch_that_hangs(guest: Container) -> None:
    apt = patcher(guest, script=b"#!/bin/sh\nsleep 1234\n", limit=1)
    with pytest.raises(PatchFailed, match="did not finish within"):
        apt.apply(PatchRequest(kind=PatchKind.SCRIPT, script="x"), lambda _: None)


def test_by_hand_is_read_back_from_the_package_database(guest: Container, pool: Pool) -> None:
    apt = patcher(guest)
    mark = apt.begin()
    shutil.copy(pool.deb("ledger", "1.1"), guest.folder / "mnt")
    guest.sh("dpkg -i /mnt/ledger_1.1_all.deb")
    assert changed(apt.collect(mark)) == {"ledger": ("1.0", "1.1")}
