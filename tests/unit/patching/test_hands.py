"""The root shell for work by hand: where it lies, what it starts with, what is said where it cannot be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.errors import TwinFailed
from appliance.patching import hands
from appliance.patching.apt import Apt
from appliance.patching.base import Setting
from tests.unit.twin.fake_guest import FakeAgent, guest

PROXY = "http://198.18.77.1:3128"


def test_everything_of_it_lies_in_memory_and_goes_again() -> None:
    ran: list[list[str]] = []
    agent = FakeAgent(program=lambda argv, stdin: (ran.append(argv), (0, b"", b""))[1])
    hands.open_shell(guest(agent), (("http_proxy", PROXY),), ("You are root.",))
    assert set(agent.files) == {f"{hands.FOLDER}/shell", f"/run/systemd/system/{hands.UNIT}"}
    assert "systemctl start twinboot-hands.service" in ran[-1][-1]
    hands.close_shell(guest(agent))
    assert all(path.startswith(("/run/twinboot/hands", "/run/systemd/system")) for path in agent.files)
    assert f"rm -rf {hands.FOLDER} /run/systemd/system/{hands.UNIT}" in ran[-1][-1]


def test_a_twin_that_does_not_run_it_says_why() -> None:
    agent = FakeAgent(program=lambda argv, stdin: (int(argv[0] == "sh"), b"", b"it has no serial port\n"))
    with pytest.raises(TwinFailed, match="twin's serial console: it has no serial port"):
        hands.open_shell(guest(agent), (), ())


def test_systemd_takes_the_unit_as_it_is(tmp_path: Path) -> None:
    """systemd-analyze(1) verify: an unknown setting or a value it does not read is told on stderr."""
    path = tmp_path / hands.UNIT
    path.write_text(hands.unit((("http_proxy", PROXY), ("APT_CONFIG", "/run/x"))))
    try:
        said = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=60
        )
    except FileNotFoundError:
        pytest.skip("this system has no systemd-analyze")
    assert not [line for line in said.stderr.splitlines() if hands.UNIT in line and ": " in line], said.stderr


def test_the_shell_greets_and_obeys_and_keeps_no_history(tmp_path: Path) -> None:
    script = tmp_path / "shell"
    script.write_text(hands.shell(("You are root in the TWIN.", "$(reboot) `reboot`")))
    environment = {**dict(hands.ENVIRONMENT), "HOME": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    said = subprocess.run(
        ["sh", str(script)], input="echo \"history:$HISTFILE: $TERM\"\nexit 3\n",
        capture_output=True, text=True, env=environment, timeout=60,
    )  # fmt: skip
    assert said.stdout.startswith("You are root in the TWIN.\n$(reboot) `reboot`\n")
    assert "history:: vt220" in said.stdout and said.returncode == 3
    assert {p.name for p in tmp_path.iterdir()} == {"shell"}


def test_a_persons_own_apt_keeps_the_loader_and_the_proxy() -> None:
    agent = FakeAgent()
    setting = Setting(proxy=PROXY)
    environment = dict(Apt(guest(agent), setting).by_hand())
    config = agent.files[environment["APT_CONFIG"]].decode()
    assert 'Dir::Etc::Preferences "/run/twinboot/patch/preferences";\n' in config
    assert f'Acquire::http::Proxy "{PROXY}";\n' in config
    assert environment["http_proxy"] == environment["https_proxy"] == PROXY
    offline = FakeAgent()
    assert list(dict(Apt(guest(offline), Setting()).by_hand())) == ["APT_CONFIG"]
    assert b"Proxy" not in offline.files[environment["APT_CONFIG"]]
