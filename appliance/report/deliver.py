"""Takes finished files away: into a folder (the stick) or to an address. All of them arrive, or none."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from appliance.errors import ApplianceError, ExportFailed, OutOfSpace, Refused
from appliance.host.files import sync_folder
from appliance.host.run import Command, Effect, Host
from appliance.report.bundle import Tell
from appliance.report.stalled import STALLED, while_it_moves

CHUNK = 1 << 20
"""Bytes between two words of progress: each is on the medium when it is told."""
SLACK = 64 * 1024
"""Bytes a file system may need for names and tables."""
UPLOAD = 500.0
"""Seconds; curl itself stops when less than 1 KiB a second goes through for 30 s."""

# curl(1), EXIT CODES.
CURL_SAYS = {
    3: "the address is malformed",
    5: "the name of the proxy is not known",
    6: "the name of the server is not known",
    7: "nobody answers there",
    28: "it took too long",
    35: "the TLS handshake failed",
    52: "the server closed the connection without an answer",
    55: "the connection broke while sending",
    56: "the connection broke while waiting for the answer",
    60: "the server's certificate is not one this appliance trusts",
    67: "the server did not accept the name and password",
}

HTTP_SAYS = {
    "301": " (moved: use the address it has moved to)",
    "302": " (moved: use the address it has moved to)",
    "401": " (it wants a name and password: http://NAME:PASSWORD@SERVER/...)",
    "403": " (it does not allow this)",
    "404": " (it knows no such place)",
    "405": " (it does not take uploads by PUT there)",
    "413": " (the record is too large for it)",
    "507": " (it has no room)",
}


@dataclass(frozen=True, slots=True)
class Cargo:
    """What is taken away, for sentences: what it is, what is safe when it does not arrive, another way."""

    what: str
    safe: str
    otherwise: str


RECORD = Cargo("record", ExportFailed.safe, "Export to another place.")
PLAN = Cargo(
    "plan file",
    "Nothing half-written was left behind.",
    "Keep the command line: it asks for the same.",
)
WANTED = Cargo("list of wanted packages", "Nothing half-written was left behind.", "Use another stick.")
BUNDLE = Cargo("bundle", "What was fetched so far stays.", "Run the same command again: it goes on.")


def to_folder(files: Sequence[tuple[str, Path]], root: Path, below: str, tell: Tell) -> Path:
    """Copy `files` (name, source) into the new or existing folder `below` of `root`; returns that folder.

    Raises ExportFailed (gone, read-only, broken) and OutOfSpace; then what was begun is removed. Where `root`
    stops answering, its half files stay: they begin with a dot and end in ".part".
    """
    stalled = _no_answer(root, "The record is still in the appliance and on the machine.", RECORD)
    return while_it_moves(lambda told: _to_folder(files, root, below, told), tell, stalled, STALLED)


def _to_folder(files: Sequence[tuple[str, Path]], root: Path, below: str, tell: Tell) -> Path:
    total = sum(source.stat().st_size for _, source in files)
    check_room(root, total)
    folder, made, begun = root / below, [], []
    try:
        with plain_words(root, total):
            for name, _ in files:
                made += _folders(root, (folder / name).parent)
            done = 0
            for name, source in files:
                target = folder / name
                part = target.with_name(f".{target.name}.part")
                begun.append(part)
                with source.open("rb") as data:
                    done = _copy(data, part, done, total, tell)
            for name, _ in files:
                target = folder / name
                os.replace(target.with_name(f".{target.name}.part"), target)
            for path in {(folder / name).parent for name, _ in files}:
                sync_folder(path)
    except ApplianceError:
        _clear(begun, made)
        raise
    return folder


def put_file(content: bytes, root: Path, name: str, cargo: Cargo, taken: str = "") -> Path:
    """Write the file `name` ("folder/file") below `root`, whole or not at all; returns where it is.

    One of that name is replaced, or refused with the sentence `taken` where there is one. Raises Refused,
    ExportFailed (gone, read-only, broken, no answer) and OutOfSpace.
    """

    def put(tell: Tell) -> Path:
        target, made = root / name, list[Path]()
        part = target.with_name(f".{target.name}.part")
        check_room(root, len(content), cargo)
        if taken and target.exists():
            raise Refused((taken,))
        try:
            with plain_words(root, len(content), cargo):
                made += _folders(root, target.parent)
                _copy(io.BytesIO(content), part, 0, len(content), tell)
                os.replace(part, target)
                sync_folder(target.parent)
        except ApplianceError:
            _clear([part], made)
            raise
        return target

    stalled = _no_answer(root, f"The {cargo.what} was not written.", cargo)
    return while_it_moves(put, lambda done, total: None, stalled, STALLED)


def _no_answer(root: Path, safe: str, cargo: Cargo) -> ExportFailed:
    return ExportFailed(
        f"{root} does not answer: nothing was written to it for {STALLED:.0f} s.",
        safe=f"{safe} Files that end in .part may be left.",
        next_actions=("Use another stick: this one is worn out or was pulled.", cargo.otherwise),
    )


def check_room(root: Path, total: int, cargo: Cargo = RECORD) -> None:
    """Refuse before the first byte what cannot end well."""
    if not root.is_dir():
        raise ExportFailed(f"There is no folder {root}.")
    found = os.statvfs(root)
    if found.f_flag & os.ST_RDONLY:
        raise ExportFailed(
            f"{root} is read-only: the stick's lock is on, or its file system is damaged.",
            safe=cargo.safe,
            next_actions=(cargo.otherwise, "Check the stick on another computer."),
        )
    free = found.f_bavail * found.f_frsize
    if free < total + SLACK:
        raise _full(root, total, free, cargo)


def _full(root: Path, total: int, free: int, cargo: Cargo) -> OutOfSpace:
    return OutOfSpace(
        f"The {cargo.what} needs {-(-total // 1024)} KiB; {root} has {free >> 10} KiB free.",
        safe=cargo.safe,
        next_actions=("Delete old files there, then try again.", cargo.otherwise),
    )


@contextlib.contextmanager
def plain_words(root: Path, total: int, cargo: Cargo = RECORD) -> Iterator[None]:
    """An OSError inside becomes OutOfSpace or ExportFailed, which say what `root` did not take."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            found = os.statvfs(root)
            raise _full(root, total, found.f_bavail * found.f_frsize, cargo) from error
        raise ExportFailed(
            f"{root} does not take the {cargo.what}: {error.strerror}.",
            safe=cargo.safe,
            next_actions=(cargo.otherwise, "Check the stick on another computer."),
        ) from error


def _folders(root: Path, wanted: Path) -> list[Path]:
    """Make the missing folders between `root` and `wanted`; returns those made, outermost first."""
    made = []
    for path in [*reversed(wanted.relative_to(root).parents), wanted.relative_to(root)]:
        if not (root / path).is_dir():
            (root / path).mkdir()
            made.append(root / path)
    return made


def _copy(data: BinaryIO, target: Path, done: int, total: int, tell: Tell) -> int:
    """Copy with fsync: it is said to be there only when the medium has it."""
    with target.open("wb") as out:
        more = True
        while more:
            chunk = data.read(CHUNK)
            more = len(chunk) == CHUNK
            out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
            done += len(chunk)
            tell(done, total)
    return done


def _clear(begun: Sequence[Path], made: Sequence[Path]) -> None:
    for part in begun:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    for folder in reversed(made):
        with contextlib.suppress(OSError):
            folder.rmdir()


def why_no_address(text: str) -> tuple[str, ...]:
    """Sentences on what is wrong with an address to PUT to; empty where nothing is. Pure."""
    if any(not c.isprintable() or c in ' "\\' for c in text):
        return ("The address holds blanks, quotes or control characters.",)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        return (f"The address is malformed: {error}.",)
    reasons = []
    if parts.scheme not in ("http", "https"):
        reasons.append(f'The address must begin with http:// or https://, not "{parts.scheme or text}".')
    if not parts.hostname:
        reasons.append("The address names no server.")
    if port == 0:
        reasons.append("Port 0 is no port.")
    return tuple(reasons)


def shown_address(text: str) -> str:
    """The address without name and password."""
    parts = urlsplit(text)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def to_address(host: Host, file: Path, address: str, proxy: str = "") -> str:
    """PUT `file` to `address` (curl adds the file's name where it ends with "/"); returns where it is.

    `address` may hold credentials: it reaches curl by its standard input, which no log sees.
    Raises Refused for no address and ExportFailed with the reason.
    """
    if reasons := why_no_address(address):
        raise Refused(reasons)
    shown = shown_address(address) + (file.name if address.endswith("/") else "")
    config = f'url = "{address}"\nupload-file = "{file}"\n' + (f'proxy = "{proxy}"\n' if proxy else "")
    argv = ("curl", "--silent", "--show-error", "--output", "/dev/null", "--write-out", "%{http_code}")
    limits = ("--connect-timeout", "20", "--speed-limit", "1024", "--speed-time", "30")
    # READ: nothing of this machine is written; the counter of writes is about its disks.
    command = Command(
        (*argv, *limits, "--max-time", f"{UPLOAD:.0f}", "--config", "-"),
        Effect.READ,
        ok=frozenset(range(256)),
        timeout=UPLOAD + 30,
        stdin=config.encode(),
    )
    said = host.run(command)
    if said.status:
        why = CURL_SAYS.get(said.status, f"curl ended with status {said.status}")
        raise _not_sent(shown, why)
    code = said.stdout.strip()[-3:]
    if not code.startswith("2"):
        raise _not_sent(shown, f"the server answered {code or 'nothing'}{HTTP_SAYS.get(code, '')}")
    return shown


def _not_sent(shown: str, why: str) -> ExportFailed:
    return ExportFailed(
        f"The record could not be sent to {shown}: {why}.",
        next_actions=(
            "Check address and network (page Network), then export again.",
            "Export to the stick.",
        ),
    )
