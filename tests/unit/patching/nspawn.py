"""A real Debian, booted in seconds: the lab's root tree in a container, as the guest of patching and checks.

systemd-nspawn runs the tree's own systemd, apt and dpkg without emulation. The container has a network of its
own with nothing in it but a proxy, which answers for every host from a folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import TwinFailed
from tests.contract import alone
from tests.lab.native import LabError, run
from tests.lab.suite import BOOKWORM, Suite
from tests.lab.tree import base_tree, layered

PROXY_PORT = 3128
PROXY = f"http://127.0.0.1:{PROXY_PORT}"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def why_not() -> str:
    """Why containers cannot run here; empty when they can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [p for p in ("systemd-nspawn", "nsenter", "mmdebstrap", "gpg") if shutil.which(p) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


@dataclass(frozen=True, slots=True)
class Output:
    status: int
    stdout: bytes
    stderr: bytes


@dataclass(slots=True)
class Container:
    """A Guest over nsenter. `folder` is its root tree, `served` what its proxy serves: served/HOST/path.

    One that does not boot runs nothing of its own: for a tree without systemd.
    """

    folder: Path
    served: Path
    boots: bool = True
    leader: int = 0
    _nspawn: subprocess.Popen[bytes] | None = None
    _proxy: subprocess.Popen[bytes] | None = None
    calls: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """What systemd-nspawn and the container's systemd said."""
        return self.folder.parent / "nspawn.log"

    def start(self) -> None:
        argv = (
            "systemd-nspawn",
            "--register=no",
            "--keep-unit",
            "--private-network",
            "--console=pipe",
            "-D",
        )
        words = ("-b",) if self.boots else ("--as-pid2", "sleep", "infinity")
        self.log.unlink(missing_ok=True)
        with alone.held():
            with self.log.open("wb") as log:
                self._nspawn = subprocess.Popen(
                    (*argv, str(self.folder), *words), stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            self.leader = self._find_leader(self._nspawn.pid)
        if self.boots:
            self._wait_for_systemd()
        server = Path(__file__).with_name("proxy.py")
        self._proxy = subprocess.Popen(
            (
                "nsenter",
                "-t",
                str(self.leader),
                "-n",
                sys.executable,
                str(server),
                str(PROXY_PORT),
                str(self.served),
            )
        )
        self._wait_for_proxy()

    def stop(self, *, cut: bool = False) -> None:
        """Power off cleanly, or cut: everything in the container is killed at once."""
        if self._proxy is not None:
            self._proxy.kill()
            self._proxy.wait()
        if self._nspawn is None:
            return
        if cut and self.leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.leader, signal.SIGKILL)
        else:
            self._nspawn.send_signal(signal.SIGTERM)  # nspawn asks the container's systemd to power off
        try:
            self._nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()

    def reboot(self) -> None:
        self.stop()
        self.start()

    def _find_leader(self, pid: int) -> int:
        wanted = "systemd" if self.boots else "(sd-stubinit)"  # systemd-nspawn(1), --as-pid2
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                    # Until it becomes the container's init it is a copy of systemd-nspawn, by that name.
                    if Path(f"/proc/{child}/comm").read_text().strip() == wanted:
                        return int(child)
            time.sleep(0.2)
        raise LabError(f"The container did not start within 30 s.\n{self._said()}")

    def _wait_for_systemd(self) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end and self._nspawn is not None and self._nspawn.poll() is None:
            if self.exec(("systemctl", "is-active", "sysinit.target"), timeout=30).status == 0:
                return
            time.sleep(0.3)
        raise LabError(f"The container did not reach sysinit.target.\n{self._said()}")

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def _wait_for_proxy(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if self.exec(("ss", "-Htln", f"sport = :{PROXY_PORT}"), timeout=30).stdout:
                return
            time.sleep(0.2)
        raise LabError("The container's proxy did not start within 30 s.")

    # the Guest protocol

    def exec(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        env: tuple[tuple[str, str], ...] = (),
        timeout: float,
    ) -> Output:
        self.calls.append(argv)
        try:
            done = subprocess.run(
                ("nsenter", "-t", str(self.leader), "-a", "--", *argv),
                input=stdin,
                capture_output=True,
                timeout=timeout,
                env={"PATH": PATH, **dict(env)},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TwinFailed(f"{argv[0]} did not finish within {timeout:.0f} s in the twin.") from None
        return Output(
            done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout, done.stderr
        )

    def read_file(self, path: str) -> bytes:
        out = self.exec(("cat", path), timeout=30)
        if out.status:
            raise TwinFailed(f"{path} cannot be read in the twin.")
        return out.stdout

    def write_file(self, path: str, data: bytes, mode: int) -> None:
        text = 'cat >"$1" && chmod "$2" "$1"'
        if self.exec(("sh", "-c", text, "w", path, f"{mode:o}"), stdin=data, timeout=30).status:
            raise TwinFailed(f"{path} cannot be written in the twin.")

    def sh(self, text: str) -> str:
        """Run a line of sh in the container and return its output; LabError when it fails."""
        out = self.exec(("sh", "-c", text), timeout=120)
        if out.status:
            raise LabError(f"{text!r} ended with {out.status}: {out.stderr.decode(errors='replace')}")
        return out.stdout.decode(errors="replace")


@contextlib.contextmanager
def container(scratch: Path, debs: tuple[Path, ...] = (), suite: Suite = BOOKWORM) -> Iterator[Container]:
    """A booted container over the lab's tree with `debs` installed; what it wrote is gone at the end."""
    with layered(base_tree(suite)) as root:
        for deb in debs:
            shutil.copy(deb, root / "var/tmp")
            run("chroot", root, "dpkg", "-i", f"/var/tmp/{deb.name}")
            (root / "var/tmp" / deb.name).unlink()
        served = scratch / "served"
        served.mkdir(exist_ok=True)
        guest = Container(root, served)
        try:
            guest.start()
            yield guest
        finally:
            guest.stop(cut=True)
