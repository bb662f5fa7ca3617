"""What FFmpeg gets to read of a source's RTSP: whole messages, written anew, and no redirect in any guise."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest

from app.domain.streams.source_urls import read_source_url
from app.ingest.pull.entrance import open_entrance

REDIRECT = b"RTSP/1.0 302 Found\r\nLocation: rtsp://127.0.0.2/x\r\nCSeq: 1\r\n\r\n"
LIMIT_SECONDS = 10


@asynccontextmanager
async def answering(data: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """What comes out of the relay when a server answers with `data` and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    source = read_source_url(f"rtsp://127.0.0.1:{port}/x")
    async with open_entrance(source, [ip_network("127.0.0.1/32")]) as (_, doorway):
        reader, writer = await asyncio.open_connection("127.0.0.1", doorway.port)
        writer.write(b"OPTIONS rtsp://x RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        yield reader
        writer.transport.abort()
    server.close()


async def relayed(data: bytes) -> bytes:
    async with answering(data) as reader:
        found = b""
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                while block := await reader.read(65536):
                    found += block
        except ConnectionError:
            pass
        return found


async def test_answers_and_media_pass() -> None:
    body = b"v=0\r\n"
    answer = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 5\r\n\r\n" + body
    media = b"$\x00\x00\x04abcd"
    assert await relayed(answer + media) == answer + media


@pytest.mark.parametrize(
    "data",
    [
        REDIRECT,
        REDIRECT.replace(b"302", b"301"),
        REDIRECT.replace(b"302 Found", b"399"),
        # The same behind what one reader takes for a body and another for the next answer.
        b"RTSP/1.0 200 OK\r\nCSeq: 1\nContent-Length: 0\r\n\r\n" + REDIRECT,
        b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n" + REDIRECT,
        b"RTSP/1.0 200 OK\r\nContent-Length: x\r\n\r\n" + REDIRECT,
        b"RTSP/1.0 200 OK\r\nContent-Length : 70\r\n\r\n" + REDIRECT,
        b"RTSP/1.0 200 OK\n\n" + REDIRECT,
        b"RTSP/1.0 200 OK\rLocation: x\r\n\r\n" + REDIRECT,
        b"RTSP/1.0  302 Found\r\nLocation: rtsp://127.0.0.2/x\r\n\r\n",
        b"RTSP/2.0 302 Found\r\n\r\n",
        b"REDIRECT rtsp://127.0.0.2/x RTSP/1.0\r\nCSeq: 9\r\n\r\n",
        b"\r\n\r\n" + REDIRECT,
    ],
)
async def test_no_redirect_passes(data: bytes) -> None:
    found = await relayed(data)
    assert b" 30" not in found
    assert b" 399" not in found
    assert b"REDIRECT" not in found
    assert b"Location" not in found


async def test_two_lengths_are_one() -> None:
    """The last is believed, and alone passed on: what follows cannot be read in two ways."""
    inner = REDIRECT
    data = b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner
    found = await relayed(data)
    assert found == b"RTSP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner


async def test_a_body_without_end_is_refused() -> None:
    assert await relayed(b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n") == b""
