import asyncio
from typing import Any

import pytest
from starlette.websockets import WebSocket

from app.hub import connections
from app.hub.connections import BEHIND_FRAMES, Connection
from app.wire.tickets import SocketTicket
from tests.fixtures.eventually import eventually

GRANTED = SocketTicket("acc-1", "c-1")
LIMIT_SECONDS = 10


class Wire:
    """The server's side of a socket, in memory; `stuck` lets no text out."""

    def __init__(self, *, stuck: bool) -> None:
        self.sent: list[Any] = []
        self.gone = asyncio.Event()
        self._stuck = stuck
        self._accepted = False

    async def receive(self) -> Any:
        if not self._accepted:
            self._accepted = True
            return {"type": "websocket.connect"}
        await self.gone.wait()
        return {"type": "websocket.disconnect", "code": 1001}

    async def send(self, message: Any) -> None:
        if self._stuck and "connection_id" not in message.get("text", "connection_id"):
            await asyncio.Event().wait()
        self.sent.append(message)

    async def socket(self) -> WebSocket:
        opened = WebSocket({"type": "websocket"}, self.receive, self.send)
        await opened.accept()
        return opened


async def test_a_client_that_takes_nothing_is_closed_and_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SEND_SECONDS", 0.05)
    wire = Wire(stuck=True)
    connection = Connection(await wire.socket(), GRANTED, "ws-1")
    connection.offer(["{}"])
    async with asyncio.timeout(LIMIT_SECONDS):
        await connection.serve("")
    assert connection.was_too_slow
    assert wire.sent[-1] == {
        "type": "websocket.close",
        "code": 1013,
        "reason": "this client reads too slowly",
    }


async def test_a_client_that_leaves_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire(stuck=False)
    connection = Connection(await wire.socket(), GRANTED, "ws-1")
    serving = asyncio.create_task(connection.serve("evt-1"))
    wire.gone.set()
    async with asyncio.timeout(LIMIT_SECONDS):
        await serving
    assert [message["type"] for message in wire.sent] == ["websocket.accept", "websocket.send"]


async def test_a_client_that_is_behind_does_without_what_may_be_skipped() -> None:
    wire = Wire(stuck=False)
    connection = Connection(await wire.socket(), GRANTED, "ws-1")
    for _ in range(2 * BEHIND_FRAMES):
        connection.offer(["so far"], may_be_skipped=True)
    connection.offer(["all of it"])
    serving = asyncio.create_task(connection.serve(""))
    await eventually(lambda: bool(wire.sent) and wire.sent[-1].get("text") == "all of it")
    wire.gone.set()
    await serving
    assert sum(one.get("text") == "so far" for one in wire.sent) == BEHIND_FRAMES
