"""Open sockets of this process: who gets which frame, and what happens to a slow one."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.exceptions import RedisError
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.base.ids import new_id
from app.base.redis import FRAMES_CHANNEL, REVOKED_CHANNEL, subscribe
from app.base.tasks import end_task
from app.process import Context

logger = logging.getLogger(__name__)

QUEUE_FRAMES = 256
BEHIND_FRAMES = 32
SEND_SECONDS = 10.0
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013
TOO_SLOW = "this client reads too slowly"


class Connection:
    """One socket with its own bounded queue, so that a slow reader never holds up another."""

    def __init__(
        self,
        socket: WebSocket,
        account_id: str,
        collection_id: str,
        *,
        named_only: bool = False,
        credential_id: str = "",
    ) -> None:
        self.id = new_id("ws")
        self.account_id = account_id
        self.collection_id = collection_id
        self.named_only = named_only
        self.credential_id = credential_id
        self._socket = socket
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_FRAMES)
        self._closing: tuple[int, str] | None = None
        self._wake = asyncio.Event()

    def offer(self, frame: str) -> None:
        """Queue a frame; when the queue is full, close the socket rather than lose one silently."""
        try:
            self._queue.put_nowait(frame)
        except asyncio.QueueFull:
            self.close(TRY_AGAIN_LATER, TOO_SLOW)
        self._wake.set()

    @property
    def is_behind(self) -> bool:
        """Whether frames wait that its reader has not taken."""
        return self._queue.qsize() >= BEHIND_FRAMES

    def close(self, code: int, reason: str) -> None:
        self._closing = self._closing or (code, reason)
        self._wake.set()

    async def serve(self) -> None:
        """Send the connection id first, then frames, until either side closes (contract §3)."""
        await self._send(json.dumps({"connection_id": self.id}))
        reader = asyncio.create_task(self._drain_input())
        writer = asyncio.create_task(self._write())
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, writer):
                await end_task(task)
        if self._closing is not None:
            code, reason = self._closing
            with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
                async with asyncio.timeout(SEND_SECONDS):
                    await self._socket.close(code, reason)

    async def _drain_input(self) -> None:
        # Both SDKs can send; there is nothing to say to this server, so whatever comes is ignored.
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return

    async def _write(self) -> None:
        try:
            while self._closing is None:
                while not self._queue.empty():
                    await self._send(self._queue.get_nowait())
                await self._wake.wait()
                self._wake.clear()
        except TimeoutError:
            self.close(TRY_AGAIN_LATER, TOO_SLOW)
        except WebSocketDisconnect:
            pass  # it has left: the end of the connection like any other

    async def _send(self, text: str) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self._socket.send_text(text)


class Hub:
    """The process's connections, found by id or by account and collection."""

    def __init__(self) -> None:
        self._connections: dict[str, Connection] = {}

    def add(self, connection: Connection) -> None:
        self._connections[connection.id] = connection

    def remove(self, connection: Connection) -> None:
        self._connections.pop(connection.id, None)

    def dispatch(self, message: dict[str, Any]) -> None:
        """Queue a message's frames on the sockets of its route (outbox.events.Route).

        A socket that is behind does without those that a later message makes up for.
        """
        for connection in self._targets(message["account_id"], message["route"]):
            if message.get("may_be_skipped") and connection.is_behind:
                continue
            for frame in message["frames"]:
                connection.offer(json.dumps(frame))

    def close_revoked(self, credential_ids: Collection[str]) -> None:
        """Close the sockets that were opened with these keys and tokens."""
        for connection in self._connections.values():
            if connection.credential_id in credential_ids:
                connection.close(POLICY_VIOLATION, "the key or token of this socket was revoked")

    def close_all(self) -> None:
        for connection in self._connections.values():
            connection.close(GOING_AWAY, "the server is shutting down")

    def _targets(self, account_id: str, route: dict[str, Any]) -> list[Connection]:
        if route["connection_id"] is not None:
            named = self._connections.get(route["connection_id"])
            return [named] if named and named.account_id == account_id else []
        return [
            connection
            for connection in self._connections.values()
            if not connection.named_only
            and connection.account_id == account_id
            and route["collection_id"] in (None, connection.collection_id)
            and connection.id not in route["except_connection_ids"]
        ]


@asynccontextmanager
async def open_hub(context: Context) -> AsyncIterator[Hub]:
    """Run the hub for the length of the block; at its end every socket is closed with 1001."""
    hub = Hub()
    fan_out = asyncio.create_task(_fan_out(context, hub))
    try:
        yield hub
    finally:
        hub.close_all()
        await end_task(fan_out)


async def _fan_out(context: Context, hub: Hub) -> None:
    while True:
        try:
            async for message in subscribe(context.redis, FRAMES_CHANNEL, REVOKED_CHANNEL):
                if message is not None:
                    _dispatch(hub, message)
        except (RedisError, OSError) as error:
            logger.warning("live frames pause, Redis is away: %s", type(error).__name__)
            await asyncio.sleep(0.5)


def _dispatch(hub: Hub, message: dict[str, Any]) -> None:
    try:
        if "revoked" in message:
            hub.close_revoked(message["revoked"])
        else:
            hub.dispatch(message)
    except (KeyError, TypeError):
        # Another version of the relay may run for a while: one message is lost, not all that follow.
        logger.error("a live message is not understood", exc_info=True)
