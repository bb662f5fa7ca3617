"""What comes over one RTSP connection, one piece at a time: requests, and media between them."""

import asyncio
from typing import NamedTuple

from app.ingest.rtsp.messages import MalformedMessage, Request, parse_request

MAX_HEAD_BYTES = 16 * 1024  # also the reader's limit


class MediaData(NamedTuple):
    """Interleaved binary data (RFC 2326 section 10.12)."""

    channel: int
    data: bytes


async def read_piece(reader: asyncio.StreamReader) -> MediaData | tuple[Request, bytes]:
    """Return the next media packet, or the next request with its body.

    Raises `MalformedMessage` for what is neither, `EOFError` at the end of the connection.
    """
    first = await reader.readexactly(1)
    if first == b"$":
        head = await reader.readexactly(3)
        return MediaData(head[0], await reader.readexactly(int.from_bytes(head[1:], "big")))
    try:
        request = parse_request(first + await reader.readuntil(b"\r\n\r\n"))
    except asyncio.LimitOverrunError:
        raise MalformedMessage("a request without an end") from None
    return request, await reader.readexactly(request.body_bytes)
