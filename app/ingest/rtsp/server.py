"""Takes RTSPS publishers on one port, and says in the database where that is."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from app.base.settings import Settings
from app.domain.nodes.service import BEAT_SECONDS, node_alive, node_gone
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


@asynccontextmanager
async def open_rtsps(context: Context, live: Live) -> AsyncIterator[None]:
    """Serve RTSPS for the length of the block; where that cannot be, say why and serve none."""
    settings = context.settings
    if not settings.rtsps_port or settings.secret_key is None:
        logger.info("RTSPS is not served: CAPTURE_RTSPS_PORT is 0, or there is no secret key")
        yield
        return
    server = RtspsServer(context, live)
    try:
        await server.open()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        logger.error(
            "RTSPS is not served, publishers of the vendor's recorder cannot come: port %d of %s: %s",
            *(settings.rtsps_port, settings.host, error),
        )
        yield
        return
    try:
        yield
    finally:
        await server.close()


class RtspsServer:
    """The listening port with its connections, and the row that tells the API of it."""

    def __init__(self, context: Context, live: Live) -> None:
        self._context = context
        self._live = live
        self._clocks = RecorderClocks()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._beating: asyncio.Task[None] | None = None
        self._pin = ""

    async def open(self) -> None:
        """Listen. Raises `OSError` where the port is taken, `ValueError` for a damaged key file."""
        settings = self._context.settings
        key = await asyncio.to_thread(keep_pinned_key, settings.data_dir)
        self._pin = key.pin
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
        await self._beat()
        self._beating = asyncio.create_task(self._keep_beating())

    async def close(self) -> None:
        """Take nobody any more, and end every connection."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait({self._beating})
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=CLOSE_SECONDS)
        with suppress(SQLAlchemyError, OSError):
            async with self._context.db.transaction() as session:
                await node_gone(session, self._live.publisher_id)

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

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._beat()

    async def _beat(self) -> None:
        settings = self._context.settings
        try:
            async with self._context.db.transaction() as session:
                await node_alive(
                    session,
                    self._live.publisher_id,
                    host=public_host(settings),
                    port=settings.rtsps_port,
                    pin=self._pin,
                )
        except (SQLAlchemyError, OSError) as error:
            logger.warning("the database is away, publishers are not told: %s", type(error).__name__)


def public_host(settings: Settings) -> str:
    """The host that publishers are told: the setting's, else that of the public URL, IPv6 in brackets."""
    host = settings.rtsps_host or urlsplit(settings.base_url).hostname or settings.host
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
