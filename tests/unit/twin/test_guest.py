"""The agent's protocol, its limits, and above all that nothing is left frozen."""

from __future__ import annotations

import time

import pytest

from appliance.errors import TwinFailed
from appliance.twin.guest import CHUNK
from tests.unit.twin.fake_guest import FakeAgent, guest


def test_a_program_s_status_output_and_input() -> None:
    agent = FakeAgent(lambda argv, stdin: (3, stdin.upper(), b"no"), polls=4)
    said = guest(agent).exec(("tr", "a", "b"), stdin=b"abc", timeout=60)
    assert (said.status, said.stdout, said.stderr) == (3, b"ABC", b"no")


def test_a_signal_is_128_and_more() -> None:
    assert guest(FakeAgent(signal=9)).exec(("x",), timeout=60).status == 137


def test_a_program_that_does_not_end_is_killed() -> None:
    agent = FakeAgent(polls=10_000)
    with pytest.raises(TwinFailed, match="did not end within 5 s"):
        guest(agent).exec(("sleep", "1000"), timeout=5)
    assert agent.calls[-1] == "guest-exec", "the kill"


def test_output_that_was_cut_off_is_no_result() -> None:
    with pytest.raises(TwinFailed, match="more than the agent can carry"):
        guest(FakeAgent(truncated=True)).exec(("yes",), timeout=5)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_files_go_both_ways_whole(size: int) -> None:
    agent = FakeAgent()
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    guest(agent).write_file("/x", data, 0o600)
    assert guest(agent).read_file("/x") == data
    assert agent.open_files == 0


def test_a_failed_write_leaves_no_file_open() -> None:
    agent = FakeAgent(fail={"guest-file-write"})
    with pytest.raises(TwinFailed):
        guest(agent).write_file("/x", b"data", 0o600)
    assert agent.open_files == 0


def test_waiting_for_an_agent_that_comes_late() -> None:
    assert guest(FakeAgent(silent=7)).wait(60) == pytest.approx(7)


def test_waiting_has_a_limit() -> None:
    with pytest.raises(TwinFailed, match="did not answer within 30 s"):
        guest(FakeAgent(silent=10**6)).wait(30)


def test_waiting_ends_with_the_twin() -> None:
    with pytest.raises(TwinFailed, match="ended before"):
        guest(FakeAgent(silent=10**6)).wait(10**6, lambda: False)


def test_frozen_while_the_snapshot_is_taken_and_thawed_after() -> None:
    agent = FakeAgent()
    with guest(agent).frozen() as freeze:
        assert agent.frozen
    assert not agent.frozen
    assert freeze.held


def test_thawed_also_when_the_snapshot_fails() -> None:
    agent = FakeAgent()
    with pytest.raises(RuntimeError), guest(agent).frozen():
        raise RuntimeError("no room")
    assert not agent.frozen


def test_the_watchdog_thaws_and_the_seal_is_not_called_frozen() -> None:
    agent = FakeAgent()
    with guest(agent).frozen(limit=0.05) as freeze:
        time.sleep(0.5)
        assert not agent.frozen, "thawed by the watchdog while the block still runs"
    assert not freeze.held


def test_a_guest_that_thawed_itself_is_not_called_frozen() -> None:
    agent = FakeAgent()
    with guest(agent).frozen() as freeze:
        agent.frozen = False
    assert not freeze.held


def test_a_thaw_is_tried_again() -> None:
    agent = FakeAgent()
    with guest(agent).frozen() as freeze:
        agent.silent = 3
    assert not agent.frozen
    assert freeze.held


def test_shutdown_takes_silence_for_success() -> None:
    guest(FakeAgent()).shutdown()
