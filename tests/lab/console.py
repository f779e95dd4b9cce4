"""A serial line of a lab machine: all it says is kept; wait for words, send keys, run commands in a shell."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.lab.native import EmulatorDied, LabError, tail

ESCAPES = re.compile(r"\x1b(\[[0-9;?=]*[ -/]*[@-~]|[()][A-Z0-9]|[=>c78])")
PROMPT = "lab-prompt-7261>"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command in the machine's shell said (both streams) and its exit status."""

    status: int
    text: str


class Console:
    """Connects to QEMU's serial socket. All limits are in seconds.

    `how_it_died` says how QEMU crashed, and nothing where it did not.
    `wait_for` searches what came after the last match, so that earlier boots are not seen again.
    """

    def __init__(self, path: Path, name: str, how_it_died: Callable[[], str] = str) -> None:
        self.name = name
        self._how_it_died = how_it_died
        self._text = ""
        self._seen = 0
        self._changed = threading.Condition()
        self._closed = False
        self._socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 30
        while True:
            try:
                self._socket.connect(str(path))
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise LabError(f"QEMU did not open {path}.") from None
                time.sleep(0.05)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            with self._changed:
                self._text += data.decode(errors="replace")
                self._closed = not data
                self._changed.notify_all()
                if self._closed:
                    return

    @property
    def text(self) -> str:
        """Everything said since power on, as it came."""
        return self._text

    @property
    def plain(self) -> str:
        """Everything said, without terminal escapes and carriage returns."""
        return ESCAPES.sub("", self._text).replace("\r", "")

    def send(self, keys: str) -> None:
        self._socket.sendall(keys.encode())

    def wait_for(self, *patterns: str, limit: float = 300.0) -> re.Match[str]:
        """The first match of any pattern (regular expressions, multi-line) after the last one.

        LabError when none came within `limit` or the machine stopped; it ends with the end of the log.
        """
        match = self.says(*patterns, limit=limit)
        if match is None:
            raise LabError(self._waited(patterns, f"not within {limit:.0f} s"))
        return match

    def says(self, *patterns: str, limit: float) -> re.Match[str] | None:
        """The same, and None where none came within `limit`; LabError when the machine stopped."""
        wanted = re.compile("|".join(f"(?:{p})" for p in patterns), re.MULTILINE)
        deadline = time.monotonic() + limit
        with self._changed:
            while True:
                match = wanted.search(self._text, self._seen)
                if match is not None:
                    self._seen = match.end()
                    return match
                if self._closed:
                    said = self._waited(patterns, "the machine stopped")
                    if fault := self._how_it_died():
                        raise EmulatorDied(f"{said}\nQEMU said: {fault}")
                    raise LabError(said)
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(min(left, 1.0))

    def _waited(self, patterns: tuple[str, ...], why: str) -> str:
        return f"{self.name}: waited for {' | '.join(patterns)}: {why}. Its last words:\n{self.end()}"

    def end(self, lines: int = 40) -> str:
        return tail(self.plain, lines)

    def forget(self) -> None:
        """What was said so far is seen: `wait_for` looks at what comes."""
        with self._changed:
            self._seen = len(self._text)

    def login(self, user: str = "root", password: str = "lab", limit: float = 900.0) -> None:
        """Log in at a getty and make the shell fit for `run`.

        A getty gives up after 60 seconds, which a busy machine can take to check a password: ask three times.
        """
        self.wait_for(r"login: ", limit=limit)
        for _ in range(3):
            self.send(f"{user}\n")
            if self.wait_for(r"Password: ", r"timed out", limit=300)[0] == "Password: ":
                self.send(f"{password}\n")
                if self.wait_for(r"# ", r"timed out", r"Login incorrect", limit=300)[0] == "# ":
                    self.take_shell()
                    return
            self.wait_for(r"login: ", limit=300)
        raise LabError(f"{self.name}: no way in as {user}. Last words:\n{self.end()}")

    def take_shell(self, limit: float = 120.0) -> None:
        """Take over a shell that stands at its prompt: plain prompt, no echo, no colours."""
        prompt = f"{PROMPT[:4]}''{PROMPT[4:]}"
        self.send(f"\nexport PS1='{prompt}' TERM=dumb PAGER=cat SYSTEMD_PAGER=; stty -echo cols 500\n")
        self.wait_for(re.escape(PROMPT), limit=limit)
        self.run("true", limit=limit)

    def run(self, command: str, limit: float = 300.0) -> Answer:
        """Run one shell line and return what it said and its status."""
        mark = f"{time.monotonic_ns():x}"
        self.send(f"echo begin''-{mark}; {{ {command}\n}} 2>&1; s=$?; echo; echo status''-{mark}-$s\n")
        self.wait_for(rf"begin-{mark}\r?\n", limit=limit)
        start = self._seen
        match = self.wait_for(rf"\r?\nstatus-{mark}-(\d+)", limit=limit)
        said = self._text[start : match.start()].replace("\r", "")
        return Answer(int(match[1]), ESCAPES.sub("", said).removesuffix("\n"))

    def read(self, command: str, limit: float = 300.0) -> str:
        """What a command says; LabError when its status is not 0."""
        answer = self.run(command, limit)
        if answer.status != 0:
            raise LabError(f"{self.name}: {command} ended with status {answer.status}:\n{tail(answer.text)}")
        return answer.text

    def close(self) -> None:
        self._socket.close()
