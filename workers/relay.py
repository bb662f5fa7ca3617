"""Carries outbox rows out of the database: jobs to Celery, events to Redis and into webhook lines."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from kombu.exceptions import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.db import DATABASE_AWAY
from app.base.ids import utc_now
from app.base.logs import configure_logs
from app.base.redis import FRAMES_CHANNEL, publish
from app.base.settings import get_settings
from app.domain.outbox.events import NOTIFY_CHANNEL
from app.domain.outbox.jobs import Job
from app.domain.outbox.models import OutboxMessage
from app.domain.outbox.published import published
from app.domain.outbox.publishing import take_events, take_jobs
from app.domain.webhooks.service import fan_out
from app.process import Context, open_context
from workers.listening import POLL_SECONDS, listen
from workers.main import ring

logger = logging.getLogger(__name__)

BATCH = 100
BACKOFF_SECONDS = 2.0
# A Redis that hangs must not hold up webhooks: what sockets are not told they find in the database.
TELL_SECONDS = 0.5


async def carry_events(context: Context) -> int:
    """Publish up to `BATCH` events, to webhook lines and to sockets; returns how many.

    Sockets are told after the commit: a position that is told is never given to another event. What is not
    told, because this process or Redis dies in between, the hubs read for themselves. The broker's jobs are
    not waited for: webhooks need nothing but the database.
    """
    async with context.db.transaction() as session:
        messages = await take_events(session, BATCH)
        if not messages:
            return 0
        await fan_out(session, messages)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TELL_SECONDS):
            await publish(context.redis, FRAMES_CHANNEL, *(asdict(published(one)) for one in messages))
    return len(messages)


async def carry_jobs(context: Context) -> int:
    """Ring up to `BATCH` jobs, in id order; returns how many.

    What was rung stays published when a later row of the batch cannot be.
    """
    async with context.db.transaction() as session:
        carried = 0
        for message in await take_jobs(session, BATCH):
            try:
                await _ring(session, message)
            except OperationalError as error:
                logger.warning("the broker is away: %s", type(error).__name__)
                await asyncio.sleep(BACKOFF_SECONDS)
                break
            carried += 1
        return carried


async def _ring(session: AsyncSession, message: OutboxMessage) -> None:
    if message.name not in set(Job):
        # Written by another version: it must not hold up what this one knows.
        logger.error("row %d asks for %s, a job that is not known here", message.id, message.name)
        message.published_at = utc_now()
        return
    await asyncio.to_thread(ring, Job(message.name), message.payload["subject_id"])
    await session.delete(message)  # a job's row is a doorbell: once rung it has no further use


async def keep_time(every_seconds: float) -> None:
    """Ring for housekeeping; a ring that is not answered in time is dropped."""
    while True:
        with contextlib.suppress(OperationalError):
            await asyncio.to_thread(ring, Job.KEEP_HOUSE, "", expires_seconds=every_seconds * 2)
        await asyncio.sleep(every_seconds)


async def _carry(context: Context, carry: Callable[[Context], Awaitable[int]], wake: asyncio.Event) -> None:
    while True:
        wake.clear()
        try:
            while await carry(context):
                pass
        except DATABASE_AWAY as error:
            logger.warning("outbox not read: %s", type(error).__name__)
            await asyncio.sleep(BACKOFF_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), POLL_SECONDS)


async def relay(context: Context) -> None:
    """Carry rows until cancelled, woken by NOTIFY, with polling behind it."""
    events, jobs = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(listen(context.settings.database_url or "", NOTIFY_CHANNEL, events, jobs))
        group.create_task(keep_time(context.settings.housekeeping_seconds))
        group.create_task(_carry(context, carry_events, events))
        group.create_task(_carry(context, carry_jobs, jobs))


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
