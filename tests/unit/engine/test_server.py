"""Session and Server over a real unix socket: answers, refusals, the operator lock, the event stream."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.engine.bus import Bus
from appliance.engine.server import Server
from appliance.errors import EngineGone, OutOfSpace, Refused
from appliance.model import messages as m
from appliance.model.codec import to_json
from appliance.model.events import Line
from appliance.model.lineage import Lineage
from appliance.model.plan import Request, Verb
from appliance.session import SaidNo, Session


class FakeDesk:
    """Answers status; refuses plans; runs out of space on cancel; breaks on power."""

    version = "0"

    def handle(self, say: m.AnySay, operator: str) -> m.AnyReply:
        match say:
            case m.GetStatus():
                return m.Status(machine=None, lineage=Lineage(), operator=operator)
            case m.MakePlan():
                raise Refused(("The pool is full.", "There is no KVM."), ("The clock is wrong.",))
            case m.Cancel():
                raise OutOfSpace("The stick is full.")
            case m.Power():
                raise ZeroDivisionError("a bug")
        return m.Accepted()


@contextlib.asynccontextmanager
async def engine(path: Path) -> AsyncIterator[Bus]:
    bus = Bus()
    task = asyncio.create_task(Server(bus, FakeDesk()).listen(path))  # type: ignore[arg-type]
    while not path.exists():
        await asyncio.sleep(0.01)
    yield bus
    task.cancel()


async def test_refusals_arrive_whole(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with engine(path), Session("tty1", path) as session:
        with pytest.raises(SaidNo) as said:
            await session.cancel("tb1")
        assert (said.value.code, said.value.what, said.value.exit_code) == (
            "SPACE-01",
            "The stick is full.",
            1,
        )
        with pytest.raises(SaidNo) as refused:
            await session.plan(Request(verb=Verb.REHEARSE))
        assert refused.value.reasons == ("The pool is full.", "There is no KVM.")
        assert refused.value.warnings == ("The clock is wrong.",)
        assert refused.value.exit_code == 3


async def test_a_bug_in_the_engine_is_an_answer_and_not_its_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with engine(path), Session("tty1", path) as session:
        with pytest.raises(SaidNo, match="a bug"):
            await session.power("reboot")
        assert (await session.status()).operator == "tty1"


async def test_an_answer_to_one_who_gave_up_at_that_moment_is_nobody_elses_loss(tmp_path: Path) -> None:
    """The call was cancelled and has not come round to forgetting its number."""
    loop = asyncio.get_running_loop()
    session, reader = Session("tty1", tmp_path / "s"), asyncio.StreamReader()
    gone, other = loop.create_future(), loop.create_future()
    session._waiting.update({7: gone, 8: other})
    gone.cancel()
    for number in (7, 8):
        reader.feed_data(to_json(m.Answer(id=number, reply=m.Accepted(run=f"tb{number}"))) + b"\n")
    reader.feed_eof()
    await session._read(reader)
    assert other.result() == m.Accepted(run="tb8")


async def test_the_first_to_act_is_the_operator_until_another_takes_over(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with engine(path), Session("tty1", path) as first, Session("ttyS0", path) as second:
        assert (await first.status()).operator == ""
        await first.approve("tb1", "confirm")
        with pytest.raises(SaidNo) as busy:
            await second.approve("tb1", "confirm")
        assert (busy.value.code, busy.value.what, busy.value.exit_code) == (
            "BUSY-01",
            "tty1 is in control.",
            4,
        )
        await second.take_over()
        await second.approve("tb1", "confirm")
        assert (await first.status()).operator == "ttyS0"


async def test_the_lock_is_free_again_when_its_holder_hangs_up(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with engine(path), Session("ttyS0", path) as second:
        async with Session("tty1", path) as first:
            await first.approve("tb1", "confirm")
        for _ in range(100):
            if (await second.status()).operator == "":
                break
            await asyncio.sleep(0.01)
        await second.approve("tb1", "confirm")


async def test_a_late_client_sees_all_events_in_order(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with engine(path) as bus:
        for number in range(3):
            bus.publish(Line(source="log", text=str(number)))
        async with Session("tty1", path) as session:
            seen = []
            async for event in session.follow(since=1):
                seen.append((event.seq, event.text if isinstance(event, Line) else ""))
                if len(seen) == 2:
                    bus.publish(Line(source="log", text="3"))
                if len(seen) == 3:
                    break
            assert seen == [(2, "1"), (3, "2"), (4, "3")]


async def test_its_socket_is_there_only_while_somebody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "s", list[bool]()
    listen = socket.socket.listen

    def slowly(self: socket.socket, backlog: int) -> None:
        seen.append(path.exists())
        listen(self, backlog)

    monkeypatch.setattr(socket.socket, "listen", slowly)
    path.write_bytes(b"of an engine that was killed")
    task = asyncio.create_task(Server(Bus(), FakeDesk()).listen(path))  # type: ignore[arg-type]
    while not path.is_socket():
        await asyncio.sleep(0.01)
    assert seen == [False] and path.stat().st_mode & 0o777 == 0o660
    async with Session("tty1", path):
        assert [p.name for p in tmp_path.iterdir()] == ["s"]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not path.exists()


async def test_no_engine_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineGone, match="does not answer"):
        async with Session("tty1", tmp_path / "none"):
            pass


async def test_an_engine_that_goes_ends_the_stream_and_the_calls(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"type":"Answer","id":1,"reply":{"reply":"welcome","version":"0"}}\n')
        await reader.readline()
        writer.close()

    server = await asyncio.start_unix_server(once, str(path))
    async with server:
        with pytest.raises(EngineGone):
            async with Session("tty1", path) as session:
                await session.status()


async def test_rubbish_from_a_client_closes_only_that_client(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with engine(path):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"\xff\x00 rubbish\n")
        await writer.drain()
        assert await reader.read() == b""
        async with Session("tty1", path) as session:
            assert (await session.status()).operator == ""
