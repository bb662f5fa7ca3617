"""A proxy that leads the one host an unmodified SDK calls to this server, and refuses every other."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from app.embedded.certificates import keep_certificate

logger = logging.getLogger(__name__)

VENDOR_HOST = "api.videodb.io"
VENDOR_AUTHORITY = f"{VENDOR_HOST}:443"
HEAD_BYTES = 8 * 1024
HEAD_SECONDS = 10
CONNECT_SECONDS = 5
IDLE_SECONDS = 600  # the SDK waits 30 s for a reply, but has no limit on an upload
PIPE_BYTES = 64 * 1024
MAX_CONNECTIONS = 128


@dataclass(frozen=True)
class Target:
    """Where the redirected connections go: the server's host and port, and TLS where its URL is https."""

    host: str
    port: int
    tls: bool

    @classmethod
    def of(cls, base_url: str) -> "Target":
        parts = urlsplit(base_url)
        tls = parts.scheme == "https"
        return cls(parts.hostname or "127.0.0.1", parts.port or (443 if tls else 80), tls)


@dataclass(frozen=True)
class Redirect:
    """A redirector that listens; `environment` is what a client exports to be led through it."""

    port: int
    environment: dict[str, str]


@asynccontextmanager
async def serve_redirect(data_dir: Path, base_url: str, port: int) -> AsyncIterator[Redirect]:
    """Listen on 127.0.0.1:`port` (0: any) for the time of the block and lead api.videodb.io to `base_url`.

    Raises OSError where the port is taken.
    """
    certificate = await asyncio.to_thread(keep_certificate, data_dir / "redirect", VENDOR_HOST)
    redirector = _Redirector(Target.of(base_url), certificate.server_context())
    server = await asyncio.start_server(redirector.serve, "127.0.0.1", port, limit=HEAD_BYTES)
    try:
        port = server.sockets[0].getsockname()[1]
        hosts = dict.fromkeys(["localhost", "127.0.0.1", redirector.target.host])
        yield Redirect(
            port,
            {
                "HTTPS_PROXY": f"http://127.0.0.1:{port}",
                "REQUESTS_CA_BUNDLE": str(certificate.authority),
                "NODE_EXTRA_CA_CERTS": str(certificate.authority),
                "NO_PROXY": ",".join(hosts),
            },
        )
    finally:
        server.close()
        await redirector.close()


class _Refused(Exception):
    """The client is told `status` and the message, and the connection ends."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Redirector:
    def __init__(self, target: Target, context: ssl.SSLContext) -> None:
        self.target = target
        self._context = context
        self._connections: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Called by the server for each connection; the task is ours, so that `close` can end it."""
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._redirect(reader, writer)
        except _Refused as refused:
            body = f"{refused}\n".encode()
            head = f"HTTP/1.1 {refused.status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode("ascii") + b"Connection: close\r\n\r\n" + body)
        except (OSError, EOFError) as error:
            logger.info("redirected connection ended early: %s", type(error).__name__)
        finally:
            await _close(writer)

    async def _redirect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) > MAX_CONNECTIONS:
            raise _Refused("503 Service Unavailable", "too many connections")
        await _read_connect(reader)
        up_reader, up_writer = await self._connect()
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.start_tls(self._context, ssl_handshake_timeout=HEAD_SECONDS)
            await _pipe_both(reader, writer, up_reader, up_writer)
        finally:
            await _close(up_writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = self.target
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(target.host, target.port, ssl=target.tls or None)
        except OSError:
            raise _Refused(
                "502 Bad Gateway", f"no OpenCapture answers at {target.host}:{target.port}"
            ) from None


async def _read_connect(reader: asyncio.StreamReader) -> None:
    """Read a request head (RFC 9110 §9.3.6); raises _Refused unless it asks for the vendor's host."""
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise _Refused("431 Request Header Fields Too Large", f"head over {HEAD_BYTES} bytes") from None
    method, _, rest = head.decode("latin-1").partition(" ")
    authority = rest.partition(" ")[0].lower()
    if method != "CONNECT":
        raise _Refused("405 Method Not Allowed", "this proxy takes CONNECT only")
    if authority != VENDOR_AUTHORITY:
        raise _Refused(
            "403 Forbidden", f"this proxy leads to {VENDOR_AUTHORITY} only: add your host to NO_PROXY"
        )


async def _pipe_both(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    up_reader: asyncio.StreamReader,
    up_writer: asyncio.StreamWriter,
) -> None:
    """Carry bytes both ways until either side ends; HTTP frames itself, so no half-open side is kept."""
    tasks = {
        asyncio.ensure_future(_pipe(reader, up_writer)),
        asyncio.ensure_future(_pipe(up_reader, writer)),
    }
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        async with asyncio.timeout(IDLE_SECONDS):
            data = await reader.read(PIPE_BYTES)
            if not data:
                return
            writer.write(data)
            await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    if writer.transport.is_closing():
        return  # Above all after a failed handshake, whose end asyncio reports to nobody.
    writer.close()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await writer.wait_closed()
    except OSError:  # It is gone either way.
        writer.transport.abort()
