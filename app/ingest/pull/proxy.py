"""An HTTP proxy (RFC 9110 clause 9.3.6, RFC 9112 clause 3.2.2) as narrow as FFmpeg's HLS reader needs it."""

import asyncio
from urllib.parse import urlsplit

from app.base.outbound import AddressRefused
from app.ingest.pull.doorway import HEAD_SECONDS, Doorway, Streams, join

_OWN_HEADERS = ("proxy-", "connection", "keep-alive")


async def carry_http(doorway: Doorway, here: Streams) -> None:
    """Serve one request: a tunnel for TLS, or a plain request passed on. Raises `ValueError`, `OSError`."""
    reader, writer = here
    async with asyncio.timeout(HEAD_SECONDS):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, version = line.split(" ")
    is_tunnel = method == "CONNECT"
    parts = urlsplit(f"//{target}" if is_tunnel else target)
    if not parts.hostname or (not is_tunnel and (parts.scheme != "http" or method != "GET")):
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        return
    try:
        there = await doorway.connect(parts.hostname, parts.port or (443 if is_tunnel else 80), has_tls=False)
    except (AddressRefused, OSError):
        writer.write(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        return
    if is_tunnel:
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    else:
        path = parts._replace(scheme="", netloc="").geturl() or "/"
        kept = [field for field in fields if not field.lower().startswith(_OWN_HEADERS)]
        lines = [f"{method} {path} {version}", *kept, "Connection: close", "", ""]
        there[1].write("\r\n".join(lines).encode("latin-1"))
    await join(here, there)
