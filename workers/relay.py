"""Carries outbox rows out of the database: jobs to Celery, events to Redis and to webhook deliveries."""

import asyncio
import contextlib
import logging
import signal

import asyncpg
from kombu.exceptions import OperationalError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import utc_now
from app.base.logs import configure_logs
from app.base.redis import FRAMES_CHANNEL, publish
from app.base.settings import get_settings
from app.domain.outbox.events import NOTIFY_CHANNEL
from app.domain.outbox.jobs import Job
from app.domain.outbox.models import OutboxMessage
from app.domain.webhooks.service import fan_out
from app.process import Context, open_context
from workers.main import ring

logger = logging.getLogger(__name__)

BATCH = 100
POLL_SECONDS = 1.0
BACKOFF_SECONDS = 2.0


async def carry_batch(context: Context) -> int:
    """Carry up to `BATCH` unpublished rows, in id order; returns how many.

    At least once: a crash between sending and commit sends again. What was sent stays published when a
    later row of the batch cannot be.
    """
    async with context.db.transaction() as session:
        rows = await session.scalars(
            select(OutboxMessage)
            .where(OutboxMessage.published_at.is_(None))
            .order_by(OutboxMessage.id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        carried = 0
        for message in rows.all():
            try:
                await _carry(context, session, message)
            except OperationalError as error:
                logger.warning("the broker is away: %s", type(error).__name__)
                await asyncio.sleep(BACKOFF_SECONDS)
                break
            carried += 1
        return carried


async def _carry(context: Context, session: AsyncSession, message: OutboxMessage) -> None:
    if message.kind == "job" and message.name not in set(Job):
        # Written by a newer version: it must not hold up what this one knows.
        logger.error("row %d asks for %s, a job that is not known here", message.id, message.name)
        message.published_at = utc_now()
        return
    if message.kind == "job":
        subject_id = message.payload["subject_id"]
        await asyncio.to_thread(ring, Job(message.name), subject_id)
        await session.delete(message)  # a job's row is a doorbell: once rung it has no further use
        return
    frames = {
        "account_id": message.account_id,
        "route": message.route,
        "frames": message.payload["frames"],
    }
    await publish(context.redis, FRAMES_CHANNEL, frames)
    await fan_out(session, message)
    message.published_at = utc_now()


async def listen(url: str, wake: asyncio.Event) -> None:
    """Set `wake` whenever a transaction with outbox rows commits; connects again when the line drops."""
    dsn = url.replace("postgresql+asyncpg://", "postgresql://", 1)
    while True:
        connection = None
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
            dropped = asyncio.Event()
            connection.add_termination_listener(lambda *_, dropped=dropped: dropped.set())
            await connection.add_listener(NOTIFY_CHANNEL, lambda *_: wake.set())
            wake.set()
            await dropped.wait()
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            logger.warning("not listening for outbox rows, polling instead: %s", type(error).__name__)
        finally:
            if connection is not None:
                with contextlib.suppress(Exception):
                    await connection.close(timeout=1)
        await asyncio.sleep(POLL_SECONDS)


async def keep_time(every_seconds: float) -> None:
    """Ring for housekeeping; a ring that is not answered in time is dropped."""
    while True:
        with contextlib.suppress(OperationalError):
            await asyncio.to_thread(ring, Job.KEEP_HOUSE, "", expires_seconds=every_seconds * 2)
        await asyncio.sleep(every_seconds)


async def relay(context: Context) -> None:
    """Carry rows until cancelled, woken by NOTIFY, with polling behind it."""
    wake = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(listen(context.settings.database_url or "", wake))
        group.create_task(keep_time(context.settings.housekeeping_seconds))
        while True:
            wake.clear()
            try:
                while await carry_batch(context):
                    pass
            except (OSError, SQLAlchemyError) as error:
                logger.warning("outbox not read: %s", type(error).__name__)
                await asyncio.sleep(BACKOFF_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), POLL_SECONDS)


async def main() -> None:
    settings = get_settings()
    configure_logs("relay", settings.log_level)
    context = open_context(settings)
    work = asyncio.current_task()
    assert work is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await relay(context)
    await context.close()


if __name__ == "__main__":
    asyncio.run(main())
