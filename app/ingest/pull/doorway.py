"""The only way by which FFmpeg reaches the network: a port of this machine that leads to checked addresses.

FFmpeg follows redirects, playlist entries and names by itself, so checking the URL that it is given is not
enough. It is told to connect to a doorway alone, which resolves, checks and connects for it.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from app.base.outbound import AddressRefused, Network, resolve

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
HEAD_SECONDS = 15.0
MAX_HEAD_BYTES = 64 * 1024
_BLOCK_BYTES = 64 * 1024
_MAX_CONNECTIONS = 16

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Doorway:
    """Serves one source. `refusal` says why the last connection that was asked for was not made."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self.port = 0
        self.refusal: str | None = None
        self._networks = tuple(networks)
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, host: str, port: int, *, has_tls: bool) -> Streams:
        """Connect to a checked address of `host`, whose certificate is verified where TLS is spoken.

        Raises `AddressRefused` and `OSError`, and keeps why.
        """
        try:
            return await self._connect(host, port, has_tls)
        except AddressRefused as error:
            self.refusal = error.message
            raise
        except ssl.SSLError:
            self.refusal = "the source's certificate is not to be trusted"
            raise
        except OSError:
            self.refusal = "the source cannot be reached"
            raise

    async def _connect(self, host: str, port: int, has_tls: bool) -> Streams:
        context = ssl.create_default_context() if has_tls else None
        failure: OSError = OSError("no address")
        for address in await resolve(host, port, self._networks):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(
                        str(address),
                        port,
                        ssl=context,
                        server_hostname=host if has_tls else None,
                        limit=MAX_HEAD_BYTES,
                    )
            except OSError as error:
                failure = error
        raise failure

    @asynccontextmanager
    async def serve(self, carry: Callable[["Doorway", Streams], Awaitable[None]]) -> AsyncIterator["Doorway"]:
        """Listen for the length of the block; `carry` serves a connection, and everything ends with it."""

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            if len(self._tasks) >= _MAX_CONNECTIONS:
                writer.close()
                return
            self._tasks.add(task)
            try:
                await carry(self, (reader, writer))
            except (AddressRefused, OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
                logger.debug("a source's connection ended: %s", type(error).__name__)
            except asyncio.CancelledError:
                pass  # by `serve`, below; asyncio's streams would log it as an error
            finally:
                self._tasks.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=MAX_HEAD_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def join(here: Streams, there: Streams) -> None:
    """Carry bytes both ways until one side ends."""
    await race(copy(here[0], there[1]), copy(there[0], here[1]), there[1])


async def race(up: Awaitable[None], down: Awaitable[None], writer: asyncio.StreamWriter) -> None:
    """Wait until one direction ends, then end the other and the connection of `writer`."""
    tasks = [asyncio.ensure_future(up), asyncio.ensure_future(down)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        writer.transport.abort()
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                logger.debug("a source's connection ended: %s", type(result).__name__)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way until the end."""
    while data := await reader.read(_BLOCK_BYTES):
        writer.write(data)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()
