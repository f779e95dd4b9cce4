"""The root shell's command is run for real on a pty; the keyboard takes only what the image has."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from appliance.errors import CommandFailed, Refused
from appliance.host.run import Command, Effect, Output
from appliance.model.service_messages import LAYOUTS
from appliance.workflow.keyboard import Keyboard
from appliance.workflow.shell import Shells


def test_what_is_typed_and_shown_is_in_the_log(tmp_path: Path) -> None:
    ready = Shells(tmp_path).prepare("pts/3; reboot")
    assert Path(ready.log).parent == tmp_path / "shells" and "/" not in Path(ready.log).name
    ours, theirs = pty.openpty()
    process = subprocess.Popen(ready.argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.write(ours, b"echo $((40+2))-canary\nexit 5\n")
    try:
        while os.read(ours, 4096):
            pass
    except OSError:
        pass  # EIO: the other end has gone
    process.wait(20)
    log = Path(ready.log).read_text(errors="replace")
    assert "42-canary" in log and "exit leads back" in log
    assert os.stat(tmp_path / "shells").st_mode & 0o077 == 0


class Loads:
    def __init__(self) -> None:
        self.ran: list[str] = []
        self.fails = False

    def run(self, command: Command) -> Output:
        assert command.effect is Effect.READ
        self.ran.append(str(command))
        if self.fails:
            raise CommandFailed("loadkeys ended with status 1: Unable to open file: de")
        return Output(0, "")


def test_a_layout_is_loaded_and_remembered(tmp_path: Path) -> None:
    host = Loads()
    keyboard = Keyboard(host, tmp_path)
    assert keyboard.current() == "us"
    assert keyboard.choose("de") == "de" == Keyboard(host, tmp_path).current()
    assert host.ran == ["loadkeys --quiet --console=/dev/tty1 de-latin1-nodeadkeys"]


def test_a_layout_that_is_not_there_or_does_not_load_changes_nothing(tmp_path: Path) -> None:
    host = Loads()
    keyboard = Keyboard(host, tmp_path)
    with pytest.raises(Refused, match="no layout"):
        keyboard.choose("../../etc/passwd")
    assert host.ran == []
    host.fails = True
    with pytest.raises(CommandFailed):
        keyboard.choose("fr")
    assert keyboard.current() == "us"


def test_every_layout_has_its_own_code_and_words() -> None:
    assert len({layout.code for layout in LAYOUTS}) == len(LAYOUTS) > 15
    assert {"us", "de", "fr", "gb", "es", "it", "se"} <= {layout.code for layout in LAYOUTS}
    assert all(layout.words.isascii() for layout in LAYOUTS)
