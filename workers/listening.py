"""Hearing Postgres' notifications; what is not heard is found by polling."""

import asyncio
import contextlib
import logging

import asyncpg

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0


async def listen(url: str, channel: str, *wakes: asyncio.Event) -> None:
    """Set each of `wakes` whenever a transaction that rang on `channel` commits; connects again when the
    line drops."""
    dsn = url.replace("postgresql+asyncpg://", "postgresql://", 1)

    def wake() -> None:
        for one in wakes:
            one.set()

    while True:
        connection = None
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
            dropped = asyncio.Event()
            connection.add_termination_listener(lambda *_, dropped=dropped: dropped.set())
            await connection.add_listener(channel, lambda *_: wake())
            wake()
            await dropped.wait()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            logger.warning("not listening on %s, polling instead: %s", channel, type(error).__name__)
        finally:
            if connection is not None:
                with contextlib.suppress(Exception):
                    await connection.close(timeout=1)
        await asyncio.sleep(POLL_SECONDS)
