"""The laboratory's signed APT repository: its pool, what a test publishes of it, and how that is served."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

from tests.lab.archive import SUITE
from tests.lab.native import run

KEY_NAME = "Twinboot laboratory <lab@localhost>"
RELEASE = """Origin: Twinboot laboratory
Label: lab
Suite: {suite}
Codename: {suite}
Components: main
Architectures: amd64 all
Date: {date}
SHA256:
"""


@dataclass(frozen=True, slots=True)
class Pool:
    """All packages the laboratory can offer: *.deb, each with a *.stanza, and the signing key."""

    folder: Path
    suite: str = SUITE

    @property
    def public_key(self) -> Path:
        return self.folder / "lab.gpg"

    def deb(self, name: str, version: str) -> Path:
        """Path of one package; KeyError when the pool has no such version."""
        for path in self.folder.glob(f"{name}_*.deb"):
            if path.name.split("_")[1] == version:
                return path
        raise KeyError(f"{name} {version} is not in {self.folder}")

    def publish(self, target: Path, debs: Iterable[Path], *, signed: bool = True) -> Path:
        """Write a repository offering exactly `debs` into the new folder `target` (pool/ and dists/);
        returns it.

        Packages are hard links where the file system allows. Unsigned repositories have a Release but no
        signature.
        """
        (target / "pool").mkdir(parents=True)
        stanzas = []
        for deb in debs:
            _link(deb, target / "pool" / deb.name)
            stanzas.append(deb.with_suffix(".stanza").read_text())
        suite = target / "dists" / self.suite
        index = suite / "main/binary-amd64/Packages"
        index.parent.mkdir(parents=True)
        index.write_text("\n".join(stanzas))
        index.with_suffix(".gz").write_bytes(gzip.compress(index.read_bytes(), mtime=0))
        text = RELEASE.format(suite=self.suite, date=formatdate(usegmt=True))
        for file in (index, index.with_suffix(".gz")):
            data = file.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            text += f" {digest} {len(data)} {file.relative_to(suite)}\n"
        (suite / "Release").write_text(text)
        if signed:
            self._sign(suite / "Release")
        return target

    def _sign(self, release: Path) -> None:
        with _gpg_home() as home:
            gpg = ("gpg", "--homedir", home, "--batch", "--yes", "--quiet")
            run(*gpg, "--import", self.folder / "lab.key")
            run(*gpg, "--clearsign", "-o", release.with_name("InRelease"), release)
            run(*gpg, "--armor", "--detach-sign", "-o", release.with_name("Release.gpg"), release)


def describe(deb: Path) -> None:
    """Write the package's Packages stanza beside it, so that publishing reads no package again."""
    data = deb.read_bytes()
    control = run("dpkg-deb", "--field", deb)
    extra = f"Filename: pool/{deb.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    deb.with_suffix(".stanza").write_text(control.rstrip("\n") + "\n" + extra)


def make_key(folder: Path) -> None:
    """Make a signing key: lab.key (secret, no passphrase, worthless outside the lab) and lab.gpg (public)."""
    with _gpg_home() as home:
        gpg = ("gpg", "--homedir", home, "--batch", "--yes", "--quiet", "--passphrase", "")
        run(*gpg, "--quick-generate-key", KEY_NAME, "ed25519", "sign", "never")
        run(*gpg, "--armor", "-o", folder / "lab.key", "--export-secret-keys")
        run(*gpg, "-o", folder / "lab.gpg", "--export")


@contextlib.contextmanager
def _gpg_home() -> Iterator[Path]:
    # A short path: gpg-agent's socket lives in it, and socket names end at 107 characters.
    home = Path(tempfile.mkdtemp(prefix="tbgpg", dir="/tmp"))
    home.chmod(0o700)
    try:
        yield home
    finally:
        run("gpgconf", "--homedir", home, "--kill", "all")
        shutil.rmtree(home, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@dataclass(slots=True)
class WebServer:
    """Serves folders over HTTP on a free port of 127.0.0.1: {"lab": folder} is http://127.0.0.1:PORT/lab/.

    `requests` lists every "METHOD path" in order, for tests that ask what was fetched. Files can be PUT into
    a folder served as "uploads", and nowhere else. Use as a context manager.
    """

    folders: dict[str, Path]
    requests: list[str] = field(default_factory=list)
    _server: http.server.ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        assert self._server is not None, "the server has not been started"
        return int(self._server.server_address[1])

    def __enter__(self) -> WebServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> WebServer:
        folders, requests = self.folders, self.requests

        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def translate_path(self, path: str) -> str:
                first, _, rest = path.split("?")[0].lstrip("/").partition("/")
                root = folders.get(first)
                if root is None:
                    return "/nonexistent"
                self.directory = str(root)
                return super().translate_path("/" + rest)

            def do_PUT(self) -> None:
                size, first = int(self.headers["Content-Length"]), self.path.lstrip("/").partition("/")[0]
                data = self.rfile.read(size)
                if first == "uploads":
                    Path(self.translate_path(self.path)).write_bytes(data)
                self.send_response(201 if first == "uploads" else 405)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_request(self, code: object = "-", size: object = "-") -> None:
                requests.append(f"{self.command} {self.path}")

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
