"""Takes RTSPS publishers on one port."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.base.settings import Settings
from app.ingest.live import Live
from app.ingest.rtsp.certificate import keep_pinned_key
from app.ingest.rtsp.connection import RtspConnection
from app.ingest.rtsp.frame_clock import RecorderClocks
from app.ingest.rtsp.wire import MAX_HEAD_BYTES
from app.process import Context

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 512
HANDSHAKE_SECONDS = 5.0
CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RtspsDoor:
    """What publishers are told: where to connect, and the pin of the key that answers there."""

    host: str
    port: int
    pin: str


@asynccontextmanager
async def open_rtsps(context: Context, live: Live) -> AsyncIterator[RtspsDoor | None]:
    """Serve RTSPS for the length of the block; where that cannot be, say why, serve none and yield None."""
    settings = context.settings
    if not settings.rtsps_port or settings.secret_key is None:
        logger.info("RTSPS is not served: CAPTURE_RTSPS_PORT is 0, or there is no secret key")
        yield None
        return
    server = RtspsServer(context, live)
    try:
        pin = await server.open()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        logger.error(
            "RTSPS is not served, publishers of the vendor's recorder cannot come: port %d of %s: %s",
            *(settings.rtsps_port, settings.host, error),
        )
        yield None
        return
    try:
        yield RtspsDoor(public_host(settings), settings.rtsps_port, pin)
    finally:
        await server.close()


class RtspsServer:
    """The listening port with its connections."""

    def __init__(self, context: Context, live: Live) -> None:
        self._context = context
        self._live = live
        self._clocks = RecorderClocks()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> str:
        """Listen; returns the key's pin.

        Raises `OSError` where the port is taken, `ValueError` for a damaged key file.
        """
        settings = self._context.settings
        key = await asyncio.to_thread(keep_pinned_key, settings.data_dir)
        self._server = await asyncio.start_server(
            self._accept,
            settings.host,
            settings.rtsps_port,
            limit=MAX_HEAD_BYTES,
            ssl=key.server_context(),
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=1.0,
        )
        logger.info("RTSPS publishers are taken on port %d", settings.rtsps_port)
        return key.pin

    async def close(self) -> None:
        """Take nobody any more, and end every connection."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=CLOSE_SECONDS)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            logger.warning("an RTSPS connection was refused: there are %d", MAX_CONNECTIONS)
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await RtspConnection(self._context, self._live, self._clocks, reader, writer).run()
        except Exception:
            logger.exception("an RTSPS connection broke")
        finally:
            self._connections.discard(task)


def public_host(settings: Settings) -> str:
    """The host that publishers are told: the setting's, else that of the public URL, IPv6 in brackets."""
    host = settings.rtsps_host or urlsplit(settings.base_url).hostname or settings.host
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
