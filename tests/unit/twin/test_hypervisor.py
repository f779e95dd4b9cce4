"""libvirt itself, by its test driver: a whole hypervisor inside this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import TwinFailed
from appliance.twin import hypervisor as hypervisor_module
from appliance.twin.hypervisor import Hypervisor, PowerState
from appliance.twin.lines import ConsoleLine, LibvirtChannel
from appliance.twin.picture import png_from_ppm

XML = """<domain type='test'><name>twinboot-tb1-work</name><memory unit='MiB'>64</memory>
<os><type arch='i686'>hvm</type></os></domain>"""


@pytest.fixture
def libvirt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hypervisor]:
    monkeypatch.setattr(hypervisor_module, "STATUS", tmp_path / "status")
    connection = Hypervisor("test:///default").open()
    yield connection
    connection.destroy("twinboot-tb1-work")
    connection.close()


def test_from_start_to_off(libvirt: Hypervisor) -> None:
    assert libvirt.state("twinboot-tb1-work") is PowerState.OFF
    libvirt.start("twinboot-tb1-work", XML)
    assert libvirt.state("twinboot-tb1-work") is PowerState.RUNNING
    libvirt.pause("twinboot-tb1-work")
    assert libvirt.state("twinboot-tb1-work") is PowerState.PAUSED
    libvirt.resume("twinboot-tb1-work")
    assert libvirt.state("twinboot-tb1-work") is PowerState.RUNNING
    libvirt.destroy("twinboot-tb1-work")
    libvirt.destroy("twinboot-tb1-work")
    assert libvirt.state("twinboot-tb1-work") is PowerState.OFF


def test_how_it_ended_is_known(libvirt: Hypervisor) -> None:
    libvirt.start("twinboot-tb1-work", XML)
    assert libvirt.how_it_ended("twinboot-tb1-work") == "not seen to end"
    libvirt.destroy("twinboot-tb1-work")
    end = time.monotonic() + 10
    while libvirt.how_it_ended("twinboot-tb1-work") == "not seen to end" and time.monotonic() < end:
        time.sleep(0.05)
    assert libvirt.how_it_ended("twinboot-tb1-work") == "destroyed"


def test_the_end_of_an_earlier_life_is_not_told_of_this_one(libvirt: Hypervisor) -> None:
    for _ in range(50):
        libvirt.start("twinboot-tb1-work", XML)
        assert libvirt.how_it_ended("twinboot-tb1-work") == "not seen to end"
        libvirt.destroy("twinboot-tb1-work")


def test_a_leftover_of_that_name_gives_way(libvirt: Hypervisor) -> None:
    libvirt.start("twinboot-tb1-work", XML)
    libvirt.pause("twinboot-tb1-work")
    libvirt.start("twinboot-tb1-work", XML)
    assert libvirt.state("twinboot-tb1-work") is PowerState.RUNNING


@pytest.mark.parametrize("xml", ["", "<domain/>", "<domain type='test'><name>x</name></domain>"])
def test_what_libvirt_refuses_is_said_in_its_words(libvirt: Hypervisor, xml: str) -> None:
    with pytest.raises(TwinFailed, match="does not start: "):
        libvirt.start("twinboot-tb1-work", xml)


def test_waiting_for_the_end_has_a_limit(libvirt: Hypervisor) -> None:
    libvirt.start("twinboot-tb1-work", XML)
    assert not libvirt.wait_off("twinboot-tb1-work", 0.2, lambda _: time.sleep(0.05))
    threading.Timer(0.3, libvirt.destroy, ("twinboot-tb1-work",)).start()
    assert libvirt.wait_off("twinboot-tb1-work", 10, lambda _: time.sleep(0.05))


class FakeStream:
    """virStream in memory: takes `room` bytes a call, says what `waiting` holds, then nothing (-2)."""

    def __init__(self, room: int = 3) -> None:
        self.room, self.typed, self.waiting = room, b"", [b"login: ", b"# "]
        self.callback: object = None
        self.aborted = False

    def eventAddCallback(self, events: int, callback: object, opaque: object) -> None:
        self.callback = callback

    def eventRemoveCallback(self) -> None:
        self.callback = None

    def recv(self, count: int) -> object:
        return self.waiting.pop(0) if self.waiting else -2

    def send(self, data: bytes) -> int:
        self.typed += data[: self.room]
        return len(data[: self.room]) or -2

    def abort(self) -> None:
        self.aborted = True


def test_what_is_typed_goes_through_in_pieces_and_what_comes_is_drained() -> None:
    stream = FakeStream()
    line = ConsoleLine(stream)
    line.send(b"uname -r\r")
    assert stream.typed == b"uname -r\r"
    stream.callback(stream, 1, None)  # type: ignore[operator]
    assert stream.waiting == [] and not line.ended
    line.close()
    line.close()
    assert stream.aborted and stream.callback is None


def test_a_line_that_has_gone_or_takes_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = FakeStream()
    line = ConsoleLine(gone)
    gone.waiting = [b""]
    gone.callback(gone, 1, None)  # type: ignore[operator]
    assert line.ended
    with pytest.raises(TwinFailed, match="switched off"):
        line.send(b"x")
    hung_up = FakeStream()
    line = ConsoleLine(hung_up)
    hung_up.callback(hung_up, 8, None)  # type: ignore[operator]  # VIR_STREAM_EVENT_HANGUP
    assert line.ended and hung_up.callback is None
    monkeypatch.setattr(ConsoleLine, "LIMIT", 0.05)
    with pytest.raises(TwinFailed, match="does not read"):
        ConsoleLine(FakeStream(room=0)).send(b"x")


@pytest.mark.parametrize("act", ["pause", "resume", "power_button", "screenshot", "open_console"])
def test_a_twin_that_is_off_can_not_be_asked(libvirt: Hypervisor, act: str) -> None:
    with pytest.raises(TwinFailed, match="is not running"):
        getattr(libvirt, act)("twinboot-tb1-work")


def test_an_agent_that_is_not_there_is_an_error_of_ours(libvirt: Hypervisor) -> None:
    with pytest.raises(TwinFailed):
        LibvirtChannel(libvirt, "twinboot-tb1-work").call("guest-ping", {}, 1)


def test_the_network_comes_and_goes(libvirt: Hypervisor) -> None:
    libvirt.network_down()
    libvirt.network_up("198.18.77.1")
    libvirt.network_up("198.18.77.1")
    libvirt.network_down()
    libvirt.network_down()


def test_no_libvirt_is_an_error_of_ours() -> None:
    with pytest.raises(TwinFailed, match="libvirt does not answer"):
        Hypervisor("nonsense:///x").open()


def test_a_connection_that_was_closed_is_opened_again(libvirt: Hypervisor) -> None:
    libvirt.close()
    assert libvirt.state("twinboot-tb1-work") is PowerState.OFF


def test_a_picture_is_the_same_picture() -> None:
    width, height = 3, 2
    png = png_from_ppm(b"P6\n3 2\n255\n" + bytes(range(width * height * 3)))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")


@pytest.mark.parametrize(
    "data", [b"", b"P6\n0 0\n255\n", b"P6\n10 10\n255\nshort", b"P5\n1 1\n255\nx", b"P6 1 1 15 abc"]
)
def test_a_picture_cut_short_is_an_error(data: bytes) -> None:
    with pytest.raises(TwinFailed):
        png_from_ppm(data)


def test_what_the_twin_uses_is_known_while_it_runs(libvirt: Hypervisor) -> None:
    libvirt.start("twinboot-tb1-work", XML)
    load = libvirt.load("twinboot-tb1-work")
    assert (load.cpus, load.most) == (1, 64 << 20)
    assert load.cpu >= 0 and load.memory > 0
    libvirt.destroy("twinboot-tb1-work")
    with pytest.raises(TwinFailed, match="not running"):
        libvirt.load("twinboot-tb1-work")
