"""RTSP (RFC 2326) between FFmpeg and a source, with the answers that would lead it elsewhere taken out.

Each answer is read as a message and written anew, so that there is one way only to read what FFmpeg gets:
nothing in it can be a redirect to FFmpeg that was not one here.
"""

import asyncio
import re

from app.ingest.pull.doorway import Doorway, Streams, copy, race

_MAX_BODY_BYTES = 256 * 1024
_STATUS = re.compile(r"RTSP/1\.0 ([1-5]\d\d)(?: [\x20-\x7e]*)?", re.ASCII)
_HEADER = re.compile(r"([A-Za-z0-9-]+):([\t\x20-\x7e]*)", re.ASCII)
REDIRECTED = "the source refers to another server, which is not followed for RTSP"


async def relay_rtsp(doorway: Doorway, here: Streams, there: Streams) -> None:
    """Carry an exchange and its interleaved media until one side ends."""
    await race(copy(here[0], there[1]), _answers(doorway, there[0], here[1]), there[1])


async def _answers(doorway: Doorway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        first = await reader.readexactly(1)
        if first == b"$":  # interleaved media (section 10.12)
            head = await reader.readexactly(3)
            piece = first + head + await reader.readexactly(int.from_bytes(head[1:], "big"))
        else:
            piece = await _answer(doorway, first + await reader.readuntil(b"\r\n\r\n"), reader)
        writer.write(piece)
        await writer.drain()


async def _answer(doorway: Doorway, head: bytes, reader: asyncio.StreamReader) -> bytes:
    """The answer with its body. Raises `ValueError` for a redirect, and for what is no answer."""
    status, *fields = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    found = _STATUS.fullmatch(status)
    if found is None:  # a request of the server's: FFmpeg needs none of them
        raise ValueError("not an answer")
    if found[1].startswith("3"):
        doorway.refusal = REDIRECTED
        raise ValueError("a redirect")
    kept, body_bytes = [], 0
    for field in fields:
        header = _HEADER.fullmatch(field)
        if header is None:
            continue
        if header[1].lower() == "content-length":
            body_bytes = int(header[2])
            continue
        kept.append(field)
    if not 0 <= body_bytes <= _MAX_BODY_BYTES:
        raise ValueError("too long a body")
    body = await reader.readexactly(body_bytes) if body_bytes else b""
    if body_bytes:
        kept.append(f"Content-Length: {body_bytes}")
    return "\r\n".join([status, *kept, "", ""]).encode("latin-1") + body
