"""The receiver of `bench.events`: an HTTP server that answers at once and notes when each event came."""

import asyncio
import time
from typing import Any

from bench.child import Command, serve

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Receiver(asyncio.Protocol):
    """As little of HTTP/1.1 as a POST with a length needs: what it costs is not what is measured."""

    def __init__(self, seen: dict[str, float]) -> None:
        self._seen = seen
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].lower().split(b"\r\n")
            headers = dict(line.split(b": ", 1) for line in lines[1:])
            size = end + 4 + int(headers.get(b"content-length", b"0"))
            if len(self._buffer) < size:
                return
            self._buffer = self._buffer[size:]
            self._seen.setdefault(headers[b"webhook-id"].decode(), time.time())
            assert self._transport is not None
            self._transport.write(ANSWER)


async def main() -> None:
    seen: dict[str, float] = {}
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(seen), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhooks"

    async def tell_url(_: Command) -> Any:
        return url

    async def count(command: Command) -> Any:
        for _ in range(20):  # a question now and then costs the measured processes nothing
            if len(seen) >= command["wait_for"]:
                break
            await asyncio.sleep(0.05)
        return len(seen)

    async def take(_: Command) -> Any:
        found = dict(seen)
        seen.clear()
        return found

    async with server:
        await serve({"url": tell_url, "count": count, "take": take})


if __name__ == "__main__":
    asyncio.run(main())
