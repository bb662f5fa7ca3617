"""The clients of `bench.events`: sockets, or bare subscribers of Redis, that note when each frame came."""

import asyncio
import base64
import os
import time
from typing import Any, Protocol
from urllib.parse import urlsplit

from bench.child import Command, serve

OPENED_AT_ONCE = 50
WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.2


class Client(Protocol):
    """What both kinds are to the bench."""

    opened: "asyncio.Future[None]"
    times: list[float]


class Socket(asyncio.Protocol):
    """As little of RFC 6455 as listening needs: what it costs is not what is measured."""

    def __init__(self, host: str, path: str) -> None:
        self.opened = asyncio.get_running_loop().create_future()
        self.times: list[float] = []
        self._hello = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
            # The SDKs offer it, so the server compresses as it does for them.
            "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        ).encode()
        self._buffer = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._buffer += data
        if not self._upgraded:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._upgraded, self._buffer = True, rest
        while (size := self._frame_bytes()) and len(self._buffer) >= size:
            is_text = self._buffer[0] & 0x0F == 1
            self._buffer = self._buffer[size:]
            if not is_text:
                continue
            if self.opened.done():
                self.times.append(now)
            else:
                self.opened.set_result(None)  # the connection id

    def _frame_bytes(self) -> int:
        if len(self._buffer) < 4:
            return 0
        length = self._buffer[1] & 0x7F
        return 4 + int.from_bytes(self._buffer[2:4], "big") if length == 126 else 2 + length


class Subscriber(asyncio.Protocol):
    """A bare `SUBSCRIBE`: the floor."""

    MARK = b"$7\r\nmessage\r\n"

    def __init__(self, password: str, channel: str) -> None:
        self.opened = asyncio.get_running_loop().create_future()
        self.times: list[float] = []
        self._hello = f"AUTH {password}\r\nSUBSCRIBE {channel}\r\n".encode()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._buffer += data
        if not self.opened.done() and b":1\r\n" in self._buffer:
            self.opened.set_result(None)
        count = self._buffer.count(self.MARK)
        self.times.extend([now] * count)
        self._buffer = self._buffer[self._buffer.rfind(self.MARK) + 1 if count else -len(self.MARK) :]


async def main() -> None:
    clients: list[Client] = []
    transports: list[asyncio.BaseTransport] = []
    loop = asyncio.get_running_loop()

    async def open_all(command: Command) -> Any:
        url = urlsplit(command["url"])
        host, port = url.hostname or "", url.port or 0
        for first in range(0, command["count"], OPENED_AT_ONCE):
            batch: list[Client] = []
            for _ in range(first, min(first + OPENED_AT_ONCE, command["count"])):
                made: Any = (
                    Socket(url.netloc, f"{url.path}?{url.query}")
                    if url.scheme == "ws"
                    else Subscriber(url.password or "", command["channel"])
                )
                transport, _ = await loop.create_connection(lambda made=made: made, host, port)
                batch.append(made)
                transports.append(transport)
            await asyncio.wait_for(asyncio.gather(*(one.opened for one in batch)), WAIT_SECONDS)
            clients.extend(batch)
        return len(clients)

    async def take(command: Command) -> Any:
        """By event: when it came to each client; then all are closed."""
        for _ in range(int(WAIT_SECONDS / LOOK_SECONDS)):
            if all(len(one.times) >= command["events"] for one in clients):
                break
            await asyncio.sleep(LOOK_SECONDS)
        found = [[one.times[number] for one in clients] for number in range(command["events"])]
        for transport in transports:
            transport.close()
        clients.clear()
        transports.clear()
        return found

    await serve({"open": open_all, "take": take})


if __name__ == "__main__":
    asyncio.run(main())
