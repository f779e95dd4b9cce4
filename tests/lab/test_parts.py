"""The laboratory's parts that need no machine: write logs, the repository, the cache, the ledger service."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.lab import cache, circle, disks, kernels, ledger, media
from tests.lab.archive import PrivateApt, host_mirror
from tests.lab.firmware import variables_template
from tests.lab.hardware import Hardware
from tests.lab.machine import Machine
from tests.lab.mail import MailServer
from tests.lab.native import LabError, run
from tests.lab.repository import Pool, WebServer, describe, make_key
from tests.lab.suite import BOOKWORM, TRIXIE, Suite

needs_qemu = pytest.mark.skipif(shutil.which("qemu-io") is None, reason="qemu-io is not installed")
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")


def _write_through_log(folder: Path, *commands: str) -> tuple[Path, Path]:
    """Run qemu-io commands on a 1 MiB disk behind a write log; returns (disk before, log)."""
    disk, top, log = folder / "before.qcow2", folder / "top.qcow2", folder / "log"
    disks.empty(disk, 1)
    disks.overlay(disk, top)
    log.touch()
    node = (
        f"driver=blklogwrites,file.driver=qcow2,file.file.filename={top},log.driver=file,log.filename={log}"
    )
    run("qemu-io", "--image-opts", node, *(word for c in commands for word in ("-c", c)))
    return disk, log


@needs_qemu
def test_power_cut_keeps_what_was_flushed_and_loses_the_rest(tmp_path: Path) -> None:
    before, log = _write_through_log(tmp_path, "write -P 0x11 0 4k", "flush", "write -P 0x22 4k 4k")
    # qemu-io flushes when it closes: a power cut comes before that.
    entries = disks.write_log(log)
    while entries[-1].flags & disks.FLUSH:
        entries.pop()
    after = disks.replay(before, disks.survivors(entries), tmp_path / "after.qcow2")
    assert disks.read_region(after, 0, 4096) == b"\x11" * 4096
    assert disks.read_region(after, 4096, 4096) == bytes(4096)
    seeds = {len(disks.survivors(entries, seed)) for seed in range(20)}
    assert len(seeds) == 2, "over twenty seeds the loose write must arrive sometimes and sometimes not"


@needs_qemu
def test_write_log_of_an_untouched_disk_is_empty(tmp_path: Path) -> None:
    _, log = _write_through_log(tmp_path, "read 0 4k")
    assert [entry for entry in disks.write_log(log) if entry.size] == []


def test_a_file_that_is_no_write_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 4096)
    with pytest.raises(LabError, match="is not a write log"):
        disks.write_log(tmp_path / "log")


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    folder = tmp_path / "pool"
    folder.mkdir()
    make_key(folder)
    for version in ("1.0", "1.1"):
        describe(ledger.build(version, tmp_path / "scratch", folder))
    return Pool(folder)


@needs_dpkg
def test_published_repository_is_signed_and_offers_exactly_what_was_chosen(
    tmp_path: Path, pool: Pool
) -> None:
    lab = pool.publish(tmp_path / "lab", [pool.deb("ledger", "1.1")])
    release = lab / "dists/bookworm/InRelease"
    run("gpgv", "--keyring", pool.public_key, release)
    packages = (lab / "dists/bookworm/main/binary-amd64/Packages").read_text()
    assert packages.count("Package: ledger") == 1
    assert "Version: 1.1" in packages
    release.write_text(release.read_text().replace("Codename: bookworm", "Codename: trixie"))
    with pytest.raises(LabError, match="BAD signature"):
        run("gpgv", "--keyring", pool.public_key, release)


@needs_dpkg
def test_unsigned_repository_has_no_signature(tmp_path: Path, pool: Pool) -> None:
    lab = pool.publish(tmp_path / "lab", [pool.deb("ledger", "1.1")], signed=False)
    assert sorted(p.name for p in (lab / "dists/bookworm").iterdir()) == ["Release", "main"]


def test_web_server_serves_its_folders_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("here")
    (tmp_path / "secret").write_text("not here")
    with WebServer({"lab": tmp_path / "in"}) as server:
        base = f"http://127.0.0.1:{server.port}"
        assert urllib.request.urlopen(f"{base}/lab/file", timeout=10).read() == b"here"
        for path in ("/secret", "/lab/../secret", "/lab/%2e%2e/secret"):
            with pytest.raises(OSError, match="404"):
                urllib.request.urlopen(base + path, timeout=10)
    assert server.requests[0] == "GET /lab/file"


def test_relay_joins_a_connection_to_the_server(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x" * 300_000)
    relay = Path(__file__).with_name("relay.py")
    with WebServer({"lab": tmp_path}) as server:
        request = b"GET /lab/file HTTP/1.0\r\n\r\n"
        argv = [sys.executable, str(relay), str(server.port)]
        done = subprocess.run(argv, input=request, capture_output=True, timeout=20, check=True)
    assert done.stdout.endswith(b"x" * 300_000)


def test_cache_builds_once_and_publishes_only_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built: list[str] = []

    def build(folder: Path) -> None:
        built.append(folder.name)
        (folder / "half").write_text("x")
        if len(built) == 1:
            raise RuntimeError("the power went")

    key = cache.key_of("a")
    with pytest.raises(RuntimeError):
        cache.cached("thing", key, build)
    assert not (cache.cache_folder() / f"thing-{key}").exists()
    first = cache.cached("thing", key, build)
    assert cache.cached("thing", key, build) == first
    assert len(built) == 2


def test_cache_prunes_only_what_is_old_and_more_than_a_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = [cache.cached("thing", cache.key_of(str(n)), lambda f: None) for n in range(6)]
    assert all(folder.is_dir() for folder in folders)
    long_ago = time.time() - 30 * 86400
    for number, folder in enumerate(folders):
        os.utime(folder, (long_ago + number, long_ago + number))
    newest = cache.cached("thing", cache.key_of("new"), lambda f: None)
    left = {folder for folder in folders if folder.exists()}
    assert newest.is_dir()
    assert left == set(folders[-(cache.KEEP - 1) :])


def test_cache_key_follows_code_but_not_comments(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text('"""One."""\nx = 1  # first\n')
    key = cache.key_of(source)
    source.write_text('"""Other words."""\n\nx = 1\n')
    assert cache.key_of(source) == key
    source.write_text('"""One."""\nx = 2  # first\n')
    assert cache.key_of(source) != key


def test_host_mirror_reads_both_kinds_of_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TWINBOOT_DEBIAN_MIRROR", "TWINBOOT_SECURITY_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    assert host_mirror(tmp_path).debian == "http://deb.debian.org/debian"
    (tmp_path / "sources.list").write_text(
        "# deb http://old/debian x main\ndeb [a=b] http://one/debian/ bookworm main\n"
    )
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/s.sources").write_text(
        "Types: deb\nURIs: https://two/debian-security\nSuites: s\n"
    )
    assert host_mirror(tmp_path).debian == "http://one/debian"
    assert host_mirror(tmp_path).security == "https://two/debian-security"
    monkeypatch.setenv("TWINBOOT_DEBIAN_MIRROR", "http://three/debian")
    assert host_mirror(tmp_path).debian == "http://three/debian"


@dataclass(frozen=True, slots=True)
class Archive(PrivateApt):
    """An archive whose suite itself has the kernel `own`, and with its updates `kernels`."""

    own: str = ""
    kernels: tuple[str, ...] = ()

    def names(self, pattern: str) -> list[str]:
        return [f"linux-image-{release} - Linux" for release in self.kernels]

    def candidates(self, package: str) -> list[tuple[str, str]]:
        if package == "linux-image-amd64":
            return [("9", f"http://x {self.suite}-security/main"), ("8", f"http://x {self.suite}/main")]
        return [(f"{package.split('-')[2]}-1", f"http://x {self.suite}/main")]

    def field(self, package: str, version: str, field: str) -> str:
        assert version == "8", "the suite's own, not that of its security updates"
        return f"linux-image-{self.own} (= 1)"


@pytest.mark.parametrize(
    ("suite", "form", "own", "offered", "chosen"),
    [
        (BOOKWORM, "6.1.0-{}-amd64", 50, (9, 50, 100, 55), (50, 55, 100)),
        (TRIXIE, "6.12.{}+deb13-amd64", 117, (90, 116, 117, 118), (116, 117, 118)),
        (TRIXIE, "6.12.{}+deb13-amd64", 101, (90, 101, 117, 118), (101, 117, 118)),
    ],
)
def test_the_three_kernels_follow_one_another(
    tmp_path: Path, suite: Suite, form: str, own: int, offered: tuple[int, ...], chosen: tuple[int, ...]
) -> None:
    """Also just after a point release, when the suite's own kernel is one of the two newest."""
    releases = tuple(form.format(n) for n in offered)
    archive = Archive(tmp_path, host_mirror(), suite.name, form.format(own), releases)
    found = kernels.choose(archive, suite)
    assert tuple(k.release for k in found) == tuple(form.format(n) for n in chosen)
    with pytest.raises(LabError, match="three kernels"):
        kernels.choose(replace(archive, kernels=releases[:2]), suite)


def _ledger(version: str, folder: Path) -> Path:
    """The service's program of one version, with its fixed places moved into `folder`."""
    ledger.build(version, folder / "scratch", folder / "pool")
    text = (folder / f"scratch/ledger-{version}/usr/lib/ledger/ledger").read_text()
    text = text.replace("/srv/ledger", f"{folder}/srv").replace("/run/ledger", f"{folder}/run")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        text = text.replace(f"{ledger.PORT}", str(free.getsockname()[1]))
    program = folder / f"ledger-{version}.py"
    program.write_text(text)
    return program


@needs_dpkg
def test_a_migrated_data_file_is_refused_by_the_older_ledger(tmp_path: Path) -> None:
    old, new = _ledger("1.0", tmp_path), _ledger("1.6", tmp_path)
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/data").write_text("schema 1\nopened by ledger 1.0\n")
    subprocess.run([sys.executable, new, "--migrate"], check=True, timeout=20)
    assert (tmp_path / "srv/data").read_text().splitlines()[0] == "schema 2"
    done = subprocess.run([sys.executable, old], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "schema 2" in done.stderr


@needs_dpkg
def test_bad_versions_fail_as_described(tmp_path: Path) -> None:
    program = _ledger("1.2", tmp_path)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "internal error" in done.stderr
    program = _ledger("1.3", tmp_path)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=20, check=False)
    assert "FileNotFoundError" in done.stderr
    (tmp_path / "run").mkdir()
    running = subprocess.Popen([sys.executable, program])
    time.sleep(1.0)
    assert running.poll() is None, "with /run/ledger in place 1.3 must work"
    running.send_signal(signal.SIGTERM)
    running.wait(10)


@needs_dpkg
@pytest.mark.skipif(shutil.which("mcopy") is None, reason="mtools are not installed")
def test_files_are_taken_in_one_folder_only(tmp_path: Path) -> None:
    for name in ("uploads", "lab"):
        (tmp_path / name).mkdir()
    with WebServer({name: tmp_path / name for name in ("uploads", "lab")}) as server:
        for name, status in (("uploads", 201), ("lab", 405)):
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            connection.request("PUT", f"/{name}/record.bin", b"kept\0")
            assert connection.getresponse().status == status
            connection.close()
    assert (tmp_path / "uploads/record.bin").read_bytes() == b"kept\0"
    assert list((tmp_path / "lab").iterdir()) == []


def test_a_repository_fits_on_a_fat_stick(tmp_path: Path, pool: Pool) -> None:
    lab = pool.publish(tmp_path / "lab", [pool.deb("ledger", "1.1")])
    fat = media.fat_image(tmp_path / "fat", lab)
    copy = tmp_path / "copy"
    copy.mkdir()
    run("mcopy", "-s", "-n", "-i", fat, "::/*", copy)
    run("gpgv", "--keyring", pool.public_key, copy / "dists/bookworm/InRelease")
    assert (copy / "pool/ledger_1.1_all.deb").read_bytes() == pool.deb("ledger", "1.1").read_bytes()


@needs_qemu
def test_a_machine_starts_shows_a_picture_and_dies_with_its_plug(tmp_path: Path) -> None:
    disk = disks.empty(tmp_path / "empty.qcow2", 64)
    with Machine(disk, Hardware(acceleration="tcg", memory=256, bus="ahci", write_log=True)) as machine:
        with pytest.raises(LabError, match="never on"):
            machine.power_off()
        machine.power_on()
        assert machine.screenshot(tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")
        with pytest.raises(LabError, match="must be off"):
            machine.fork()
        with pytest.raises(LabError, match=r"not within 1 s.*Its last words"):
            machine.console.wait_for("a login prompt", limit=1)
        assert machine.processor_seconds > 0
        machine.power_cut()
        assert not machine.running
        assert machine.written() == []
        with machine.fork() as other:
            assert other.region_hash(0, 4096) == machine.region_hash(0, 4096)
        with pytest.raises(LabError, match="is off"):
            machine.reset()


def test_qemu_that_refuses_its_command_line_is_reported_in_its_own_words(tmp_path: Path) -> None:
    disk = disks.empty(tmp_path / "empty.qcow2", 64)
    hardware = Hardware(acceleration="tcg", disk_serial="x,no-such-option=1")
    with Machine(disk, hardware) as machine, pytest.raises(LabError, match="no-such-option"):
        machine.power_on()


def test_a_machine_does_not_outlive_its_process(tmp_path: Path) -> None:
    disk = disks.empty(tmp_path / "empty.qcow2", 64)
    own = tmp_path / "m"
    program = (
        "import os, sys; from pathlib import Path; from tests.lab.machine import *\n"
        f"hardware = Hardware(acceleration='tcg', memory=256); own = Path({str(own)!r})\n"
        f"m = Machine(Path({str(disk)!r}), hardware, folder=own)\n"
        "m.power_on(); os.kill(os.getpid(), 9)"
    )
    checkout = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=checkout, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while (
        subprocess.run(
            ["pgrep", "-f", f"{tmp_path}/m/qmp"], stdout=subprocess.DEVNULL, check=False
        ).returncode
        == 0
    ):
        assert time.monotonic() < deadline, "QEMU is still there"
        time.sleep(0.2)


@pytest.mark.lab
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_net_boot_runs_the_script_from_tftp_and_fetches_by_http(tmp_path: Path, firmware: str) -> None:
    pxe = tmp_path / "pxe"
    pxe.mkdir()
    (pxe / "boot.ipxe").write_text("#!ipxe\nimgfetch http://10.0.2.100/pxe/kernel\npoweroff\n")
    (pxe / "kernel").write_text("not a kernel")
    disk = disks.empty(tmp_path / "empty.qcow2", 64)
    variables = variables_template() if firmware == "uefi" else None
    hardware = Hardware(firmware=firmware, acceleration="tcg", memory=512)
    with Machine(disk, hardware, variables=variables) as machine:
        machine.net_boot(pxe)
        machine.power_on()
        deadline = time.monotonic() + 100
        while "GET /pxe/kernel" not in machine.site.requests:
            assert time.monotonic() < deadline, f"asked for: {machine.site.requests}"
            time.sleep(0.5)
        assert any(b"boot.ipxe" in frame for frame in machine.frames())


def test_mail_server_keeps_what_is_sent() -> None:
    messages: list[str] = []
    server = MailServer(messages)
    with smtplib.SMTP("127.0.0.1", server.port, timeout=20) as client:
        for text in ("one", "two\n.dot"):
            client.sendmail("root@ledger", ["ops@site"], f"Subject: {text}\n\n{text}\n")
    server.stop()
    assert [message.splitlines()[0] for message in messages] == ["Subject: one", "Subject: two"]


class Closing:
    """Stands for a machine, and for the story that ends with it."""

    def __init__(self) -> None:
        self.closed = 0
        self.machine = self

    def close(self) -> None:
        self.closed += 1


def test_a_machine_outlives_its_story_and_not_a_failure() -> None:
    kept, failed = Closing(), Closing()
    with circle.outliving(kept) as machine:  # type: ignore[arg-type]
        assert machine is kept
    with pytest.raises(LabError), circle.outliving(failed):  # type: ignore[arg-type]
        raise LabError("it does not boot")
    assert (kept.closed, failed.closed) == (0, 1)


def test_a_lent_story_is_closed_once_its_tests_are_over(tmp_path: Path) -> None:
    story = Closing()
    lent = circle.lent(lambda _: story, tmp_path)  # type: ignore[arg-type,type-var,return-value]
    assert next(lent) is story and story.closed == 0  # type: ignore[comparison-overlap]
    assert next(lent, None) is None and story.closed == 1
