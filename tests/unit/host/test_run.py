"""The one seam for commands: what ends badly is an error with words, and nothing outlives its limit."""

from __future__ import annotations

import os
import time

import pytest

from appliance.errors import CommandFailed
from appliance.host.run import Command, DryHost, Effect, Output, RealHost, read, write


def test_output_status_and_log() -> None:
    seen: list[tuple[str, int, float]] = []
    host = RealHost(lambda command, output, seconds: seen.append((str(command), output.status, seconds)))
    found = host.run(read("sh", "-c", "echo out; echo err >&2; exit 3", ok=frozenset({3})))
    assert found == Output(3, "out\n", "err\n")
    assert seen[0][:2] == ("sh -c 'echo out; echo err >&2; exit 3'", 3) and seen[0][2] > 0


def test_an_unexpected_status_says_the_last_line_it_said() -> None:
    with pytest.raises(CommandFailed, match=r"status 4: the reason$"):
        RealHost().run(read("sh", "-c", "echo first >&2; echo the reason >&2; exit 4"))


def test_the_reason_of_a_mount_is_not_its_advice_where_to_look() -> None:
    advice = "       dmesg(1) may have more information after failed mount system call."
    said = f"echo 'mount: /mnt: mount(2) system call failed: File exists.' >&2; echo '{advice}' >&2; exit 32"
    with pytest.raises(CommandFailed, match=r"failed: File exists\.$"):
        RealHost().run(read("sh", "-c", said))
    with pytest.raises(CommandFailed, match=r"dmesg\(1\) may have more"):
        RealHost().run(read("sh", "-c", f"echo '{advice}' >&2; exit 32"))


def test_a_missing_program_is_named() -> None:
    with pytest.raises(CommandFailed, match="no-such-program could not be started"):
        RealHost().run(read("no-such-program"))


def test_the_limit_kills_the_whole_group() -> None:
    started = time.monotonic()
    with pytest.raises(CommandFailed, match="did not finish within 1 s"):
        RealHost().run(read("sh", "-c", "sleep 31 & echo $! > /dev/null; wait", timeout=1))
    assert time.monotonic() - started < 15


def test_environment_is_fixed_and_stdin_is_given() -> None:
    os.environ["LEAKED"] = "yes"
    try:
        command = Command(("sh", "-c", "cat; env"), Effect.READ, stdin=b"secret\n", env=(("EXTRA", "1"),))
        text = RealHost().run(command).stdout
    finally:
        del os.environ["LEAKED"]
    assert text.startswith("secret\n") and "EXTRA=1" in text and "LC_ALL=C.UTF-8" in text
    assert "LEAKED" not in text and "secret" not in str(command)


def test_bytes_that_are_no_text_do_not_break_it() -> None:
    assert "a" in RealHost().run(read("printf", "a\\377b")).stdout


def test_dry_reads_and_only_records_writes(tmp_path: object) -> None:
    target = f"{tmp_path}/made here"
    dry = DryHost(RealHost())
    assert dry.run(read("echo", "x")).stdout == "x\n"
    dry.run(write("touch", target))
    assert not os.path.exists(target)
    assert dry.would == [f"touch '{target}'"]


def test_the_limit_holds_though_a_grandchild_lives_on_with_our_pipes() -> None:
    """As a daemon that was started by it, or a program that hangs in the kernel and cannot be killed."""
    started = time.monotonic()
    with pytest.raises(CommandFailed, match="did not finish within"):
        RealHost().run(read("sh", "-c", "setsid sleep 20 & sleep 20", timeout=0.3))
    assert time.monotonic() - started < 10
