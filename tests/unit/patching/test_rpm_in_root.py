"""Real dnf and real zypper in an installed root: what is applied, what is held, what is left behind.

The two are asked the same questions: where an answer differs, the managers do.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import PatchFailed, Refused
from appliance.model.events import Event, Line, Progress
from appliance.model.plan import PatchKind, PatchRequest
from appliance.patching.base import Applied, Setting
from appliance.patching.choose import recognise
from appliance.patching.rpm import OverRpm
from tests.lab.rpm_tree import NAMED
from tests.unit.patching.nspawn import PROXY, Container, why_not
from tests.unit.patching.rpm_guest import FEDORA, LEAP, NEWER, etc, offer, publish, rpm, rpm_container

pytestmark = [pytest.mark.root, pytest.mark.timeout(1800)]
ALL = PatchRequest(kind=PatchKind.ALL)
SECURITY = PatchRequest(kind=PatchKind.SECURITY)


def named(*packages: str) -> PatchRequest:
    return PatchRequest(kind=PatchKind.PACKAGES, packages=packages)


@pytest.fixture(params=[FEDORA, LEAP], ids=["dnf", "zypper"])
def guest(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Container]:
    if reason := why_not():
        pytest.skip(reason)
    with rpm_container(tmp_path, request.param) as started:
        yield started


def patcher(guest: Container, **settings: object) -> OverRpm:
    found = recognise(guest, Setting(**{"poll": 0.2, **settings}))  # type: ignore[arg-type]
    assert isinstance(found, OverRpm)
    return found


def changed(applied: Applied) -> set[tuple[str, str, str]]:
    return {(c.name, c.before, c.after) for c in applied.changes}


def test_all_pending_updates_through_the_proxy(guest: Container) -> None:
    offer(guest, *NEWER)
    guest.sh("for f in configured replaced; do echo of the site >/etc/$f.conf; done")
    # A proxy that the system has set for itself must not be used: it cannot be reached from the twin.
    guest.sh("mkdir -p /etc/sysconfig; echo proxy=http://192.0.2.7:99 >>/etc/yum.repos.d/lab.repo")
    guest.sh('printf \'PROXY_ENABLED="yes"\\nHTTP_PROXY="http://192.0.2.7:99"\\n\' >/etc/sysconfig/proxy')
    before = etc(guest)
    manager = patcher(guest, proxy=PROXY)
    events: list[Event] = []

    assert manager.sources().hosts == ("repo.example",)
    assert manager.why_not(ALL) == ()
    assert manager.refresh(ALL, events.append) == ()
    preview = manager.preview(ALL)
    assert [(c.name, c.before, c.after) for c in preview.changes] == [
        ("configured", "1.0-1", "1.1-1"),
        ("kernel-core", "", "6.1.0-2"),
        ("ledger", "1.0-1", "1.1-1"),
        (NAMED, "2:1.0-1", "2:1.1-1"),
    ]
    assert [c.name for c in preview.changes if c.new_kernel] == ["kernel-core"]
    assert [c.name for c in preview.changes if c.security] == ["ledger"]
    assert preview.held == ("grub2-lab 1.0-1 → 1.1-1",)
    assert 20_000 < preview.download < 40_000

    applied = manager.apply(ALL, events.append)
    assert applied.changes == preview.changes and applied.failure == ""
    assert applied.kept_conffiles == ("/etc/configured.conf.rpmnew",)
    assert applied.not_applied == (
        "boot loader: grub2-lab 1.0-1 → 1.1-1 (its work lies outside the snapshot)",
        "configuration: /etc/replaced.conf is the package's now,"
        " the site's own is /etc/replaced.conf.rpmsave",
    )
    assert manager.audit() == ()
    assert [version for name, version in manager.installed() if name == "kernel-core"] == [
        "6.1.0-1",
        "6.1.0-2",
    ]
    done = [e for e in events if isinstance(e, Progress) and e.unit == "packages"]
    assert (done[-1].done, done[-1].total) == (4, 4)
    assert any(isinstance(e, Progress) and e.unit == "bytes" for e in events)
    assert not any(isinstance(e, Line) and e.text.startswith("<") for e in events)

    # Nothing of ours stays: no lock, no repository, no proxy, no cached package.
    new = {line.split()[1] for line in set(etc(guest).splitlines()) ^ set(before.splitlines())}
    assert new == {"/etc/configured.conf.rpmnew", "/etc/replaced.conf", "/etc/replaced.conf.rpmsave"}
    assert guest.sh("find /var/cache -name '*.rpm'") == ""


@pytest.mark.full
def test_security_only_takes_what_an_advisory_names(guest: Container) -> None:
    offer(guest, *NEWER)
    manager = patcher(guest, proxy=PROXY)
    manager.refresh(SECURITY, lambda _: None)
    applied = manager.apply(SECURITY, lambda _: None)
    assert changed(applied) == {("ledger", "1.0-1", "1.1-1")}
    assert applied.changes[0].security and applied.failure == ""


@pytest.mark.full
def test_named_packages(guest: Container) -> None:
    offer(guest, *NEWER, "ledger-1.2-1")
    manager = patcher(guest, proxy=PROXY)
    manager.refresh(ALL, lambda _: None)
    applied = manager.apply(named("configured", "ledger=1.1-1"), lambda _: None)
    assert changed(applied) == {("configured", "1.0-1", "1.1-1"), ("ledger", "1.0-1", "1.1-1")}
    for name, words in {
        "no-such-thing": "no-such-thing",
        "grub2-lab": "boot loader",
        "-o=x": "not a package",
    }.items():
        with pytest.raises(Refused, match=words):
            manager.preview(named(name))


@pytest.mark.full
def test_a_script_that_fails_after_its_package_is_a_failure_that_goes_on(guest: Container) -> None:
    offer(guest, "ledger-1.4-1")
    manager = patcher(guest, proxy=PROXY)
    manager.refresh(ALL, lambda _: None)
    applied = manager.apply(ALL, lambda _: None)
    assert changed(applied) == {("ledger", "1.0-1", "1.4-1")}
    assert "The %post script of ledger-1.4-1.noarch failed with status 1." in applied.failure
    assert manager.audit() == (), "rpm remembers no such failure"


@pytest.mark.full
def test_a_script_that_fails_before_its_package_changes_nothing(guest: Container) -> None:
    offer(guest, "ledger-1.5-1")
    manager = patcher(guest, proxy=PROXY)
    manager.refresh(ALL, lambda _: None)
    with pytest.raises(PatchFailed, match=r"%prein script of ledger-1\.5-1\.noarch failed"):
        manager.apply(ALL, lambda _: None)
    assert ("ledger", "1.0-1") in manager.installed() and manager.audit() == ()


@pytest.mark.full
def test_what_has_no_source_or_no_dependency_is_refused_or_left(guest: Container) -> None:
    offer(guest, "ledger-1.6-1")
    manager = patcher(guest, proxy=PROXY)
    manager.refresh(ALL, lambda _: None)
    assert manager.apply(ALL, lambda _: None).changes == ()
    with pytest.raises(Refused, match="nothing provides no-such-thing"):
        manager.preview(named("ledger=1.6-1"))


@pytest.mark.full
def test_a_source_that_does_not_answer_at_all_changes_nothing(guest: Container) -> None:
    with pytest.raises(PatchFailed, match="package lists could not be read"):
        patcher(guest, proxy=PROXY).refresh(ALL, lambda _: None)


@pytest.mark.full
def test_one_of_two_sources_that_does_not_answer_is_said(guest: Container) -> None:
    offer(guest, "ledger-1.1-1")
    for folder in ("yum.repos.d", "zypp/repos.d"):
        guest.sh(f"sed 's/lab/gone/g' /etc/{folder}/lab.repo >/etc/{folder}/gone.repo")
    (said,) = patcher(guest, proxy=PROXY).refresh(ALL, lambda _: None)
    assert said.startswith("Package source not read: gone: ")


@pytest.mark.full
def test_a_key_the_system_does_not_have_is_never_taken(guest: Container) -> None:
    offer(guest, "ledger-1.1-1")
    guest.sh("rpm -e $(rpm -q gpg-pubkey)")
    manager = patcher(guest, proxy=PROXY)
    with pytest.raises((PatchFailed, Refused)):
        manager.refresh(ALL, lambda _: None)
        manager.apply(ALL, lambda _: None)
    assert ("ledger", "1.0-1") in manager.installed()
    assert guest.exec(("rpm", "-q", "gpg-pubkey"), timeout=60).status == 1


@pytest.mark.full
def test_a_cut_off_transaction_and_a_held_lock_forbid_a_seal(guest: Container) -> None:
    shutil.copy(rpm(guest, "ledger-1.1-1"), guest.folder / "mnt")
    guest.sh("rpm -i --force /mnt/ledger-1.1-1.noarch.rpm")  # both versions: as a cut before the clean-up
    assert patcher(guest).audit() == (
        "Package ledger is installed in 2 versions (1.0-1, 1.1-1): an update of it was not finished.",
    )
    guest.sh("rpm -e ledger-1.0-1; echo 1 >/run/zypp.pid")
    (said,) = patcher(guest).audit()
    assert said.startswith("/run/zypp.pid is held by") and said.endswith("(process 1).")


@pytest.mark.full
def test_signed_bundle_without_network(guest: Container) -> None:
    publish(guest, "/mnt/bundle", *NEWER)
    manager = patcher(guest, bundle="/mnt/bundle")
    assert manager.why_not(SECURITY) == ()
    assert manager.refresh(ALL, lambda _: None) == ()
    applied = manager.apply(ALL, lambda _: None)
    assert {name for name, _, _ in changed(applied)} == {"configured", "kernel-core", "ledger", NAMED}
    assert not any("signature" in s for s in applied.not_applied)
    assert guest.sh("find /var/cache -name '*bundle*'") == "", "its lists were below /run"


@pytest.mark.full
def test_unsigned_bundle_is_refused_unless_allowed(guest: Container) -> None:
    publish(guest, "/mnt/bundle", "ledger-1.1-1", "unsigned-1.1-1")
    manager = patcher(guest, bundle="/mnt/bundle")
    assert manager.why_not(ALL)[0].startswith("unsigned-1.1-1.noarch.rpm of the bundle is not signed")
    with pytest.raises(Refused, match="not signed"):
        manager.refresh(ALL, lambda _: None)
    allowed = PatchRequest(kind=PatchKind.ALL, allow_unsigned=True)
    manager.refresh(allowed, lambda _: None)
    applied = manager.apply(allowed, lambda _: None)
    assert changed(applied) == {("ledger", "1.0-1", "1.1-1"), ("unsigned", "1.0-1", "1.1-1")}
    assert "signature check: unsigned 1.1-1 is not signed" in applied.not_applied


@pytest.mark.full
def test_plain_rpms(guest: Container) -> None:
    folder = guest.folder / "mnt/bundle"
    assert "cannot be opened" in patcher(guest, bundle="/mnt/bundle").why_not(ALL)[0]
    folder.mkdir()
    assert "no .rpm file" in patcher(guest, bundle="/mnt/bundle").why_not(ALL)[0]
    for name in ("ledger-1.1-1", "grub2-lab-1.1-1"):
        shutil.copy(rpm(guest, name), folder)
    manager = patcher(guest, bundle="/mnt/bundle")
    assert "which of them are security" in manager.why_not(SECURITY)[0]
    assert manager.refresh(ALL, lambda _: None) == ()
    assert changed(manager.apply(ALL, lambda _: None)) == {("ledger", "1.0-1", "1.1-1")}
    assert ("grub2-lab", "1.0-1") in manager.installed()


@pytest.mark.full
def test_by_hand_is_read_back_and_a_loader_is_said(guest: Container) -> None:
    manager = patcher(guest, proxy=PROXY)
    mark = manager.begin()
    assert ("http_proxy", PROXY) in manager.by_hand()
    for name in ("ledger-1.1-1", "grub2-lab-1.1-1"):
        shutil.copy(rpm(guest, name), guest.folder / "mnt")
    guest.sh("rpm -U /mnt/*.rpm")
    applied = manager.collect(mark)
    assert changed(applied) == {("ledger", "1.0-1", "1.1-1"), ("grub2-lab", "1.0-1", "1.1-1")}
    assert [s for s in applied.not_applied if s.startswith("boot loader: grub2-lab was changed all the same")]
