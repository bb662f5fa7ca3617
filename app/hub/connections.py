"""One open socket: what it is to be sent, what it has been sent, and what happens when it is slow."""

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from app.base.tasks import end_task
from app.domain.outbox.published import PublishedEvent
from app.wire.tickets import SocketTicket

QUEUE_FRAMES = 256
BEHIND_FRAMES = 32
SEND_SECONDS = 10.0
NORMAL = 1000
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013
TOO_SLOW = "this client reads too slowly"


class Connection:
    """One socket with its own bounded queue, so that a slow reader never holds up another.

    `after` is the position up to which its events are behind it. Until it `is_live` the hub sends it nothing:
    what it missed comes first.
    """

    def __init__(self, socket: WebSocket, granted: SocketTicket, connection_id: str) -> None:
        self.id = connection_id
        self.granted = granted
        self.after = 0
        self.is_live = False
        self._socket = socket
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_FRAMES)
        self._closing: tuple[int, str] | None = None
        self._wake = asyncio.Event()

    @property
    def was_too_slow(self) -> bool:
        return self._closing == (TRY_AGAIN_LATER, TOO_SLOW)

    def wants(self, event: PublishedEvent) -> bool:
        """Whether the event's route leads here, and it is not behind this socket already (contract §3)."""
        if event.account_id != self.granted.account_id:
            return False
        if event.position is not None and event.position <= self.after:
            return False
        route = event.route
        if route["connection_id"] is not None:
            return bool(route["connection_id"] == self.id)
        return (
            not self.granted.named_only
            and route["collection_id"] in (None, self.granted.collection_id)
            and self.id not in route["except_connection_ids"]
        )

    def offer(self, texts: Iterable[str], *, may_be_skipped: bool = False) -> None:
        """Queue frames; when the queue is full, close the socket rather than lose one silently.

        Who is behind does without those that may be skipped: a later one makes up for them.
        """
        if may_be_skipped and self._queue.qsize() >= BEHIND_FRAMES:
            return
        try:
            for text in texts:
                self._queue.put_nowait(text)
        except asyncio.QueueFull:
            self.close(TRY_AGAIN_LATER, TOO_SLOW)
        self._wake.set()

    async def feed(self, texts: Iterable[str]) -> None:
        """Queue frames as the client makes room for them."""
        for text in texts:
            await self._queue.put(text)
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        self._closing = self._closing or (code, reason)
        self._wake.set()

    async def serve(self, last_event_id: str) -> None:
        """Send the connection id first, then frames, until either side closes (contract §3).

        `last_event_id` is told with it: what to resume from for who is cut off before the first event.
        """
        await self._send(json.dumps({"connection_id": self.id, "last_event_id": last_event_id}))
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
                while self._closing is None and not self._queue.empty():
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
