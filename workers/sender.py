"""The process that sends webhooks: many requests at once, each line's events one after another.

python -m workers.sender
"""

import asyncio
import contextlib
import logging
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.db import DATABASE_AWAY
from app.base.ids import utc_now
from app.base.logs import configure_logs
from app.base.outbound import outbound_client
from app.base.settings import get_settings
from app.base.tasks import end_task
from app.domain.webhooks.endpoints import disable
from app.domain.webhooks.sending import (
    EXTEND_SECONDS,
    Attempt,
    DueDelivery,
    claim,
    extend_leases,
    give_back,
    record,
)
from app.domain.webhooks.service import NOTIFY_CHANNEL
from app.process import Context, open_context
from workers.attempt import attempt
from workers.listening import POLL_SECONDS, listen

logger = logging.getLogger(__name__)

MAX_SENDING = 512  # at once; each is a socket and a task, and a process may open 1,024 files by default
# To one account's URL: an endpoint that hangs holds so many, and all others have the rest.
MAX_PER_TARGET = 32
MAX_CLAIMED = 64
MAX_RECORDED = 200
RESOLVER_THREADS = 64  # a name whose servers do not answer holds one for many seconds
CONNECT_SECONDS = 10.0
GOODBYE_SECONDS = 5.0
BACKOFF_SECONDS = 1.0


class Sender:
    """Claims due lines, sends the first event of each, and records what came of it, all side by side."""

    def __init__(self, context: Context, clock: Callable[[], datetime] = utc_now) -> None:
        self._context = context
        self._clock = clock
        self._sending: dict[asyncio.Task[None], DueDelivery] = {}
        self._unrecorded: list[Attempt] = []
        self._wake, self._sent, self._recorded = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._recorded.set()
        self._claiming = False
        limit_seconds = context.settings.webhook_timeout_seconds
        timeout = httpx.Timeout(limit_seconds, connect=min(CONNECT_SECONDS, limit_seconds))
        self._client = outbound_client(
            context.settings.allowed_networks, timeout, max_connections=MAX_SENDING
        )

    @property
    def busy(self) -> int:
        """How many claimed deliveries are being sent or wait to be recorded."""
        return len(self._sending) + len(self._unrecorded)

    @property
    def is_idle(self) -> bool:
        """Whether all that was claimed is sent, and what came of it written."""
        return not self._claiming and not self._sending and self._recorded.is_set()

    def wake(self) -> None:
        """Look for due lines now."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled; then finish what can be finished soon, and give the rest back."""
        database_url = self._context.settings.database_url or ""
        loops = [
            asyncio.create_task(self._claim_for_ever()),
            asyncio.create_task(self._extend_for_ever()),
            asyncio.create_task(listen(database_url, NOTIFY_CHANNEL, self._wake)),
        ]
        recording = asyncio.create_task(self._record_for_ever())
        try:
            await asyncio.wait([*loops, recording], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for loop in loops:
                await end_task(loop)
            await self._say_goodbye()
            await end_task(recording)
            await self._client.aclose()
        for ended in (*loops, recording):
            if not ended.cancelled():
                ended.result()

    async def _claim_for_ever(self) -> None:
        while True:
            self._wake.clear()
            try:
                self._claiming = True
                while await self._claim():
                    pass
            except DATABASE_AWAY as error:
                logger.warning("due webhooks not read: %s", type(error).__name__)
                await asyncio.sleep(BACKOFF_SECONDS)
            finally:
                self._claiming = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)

    async def _claim(self) -> int:
        free = min(MAX_SENDING - self.busy, MAX_CLAIMED)
        if free <= 0:
            return 0
        async with self._context.db.transaction() as session:
            claimed = await claim(
                session,
                self._context.settings.secret_key,
                self._clock(),
                free=free,
                per_target=MAX_PER_TARGET,
                sending=Counter(delivery.target for delivery in self._sending.values()),
            )
        for delivery in claimed:
            task = asyncio.create_task(self._send(delivery))
            self._sending[task] = delivery
            task.add_done_callback(self._ended)
        return len(claimed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Its target can have the next one now: what came of this one is written meanwhile.
        del self._sending[task]
        self._wake.set()

    async def _send(self, delivery: DueDelivery) -> None:
        limit_seconds = self._context.settings.webhook_timeout_seconds
        self._unrecorded.append(await attempt(self._client, delivery, self._clock(), limit_seconds))
        self._recorded.clear()
        self._sent.set()

    async def _record_for_ever(self) -> None:
        """One writer: whatever ended while it wrote is written together the next time."""
        while True:
            await self._sent.wait()
            self._sent.clear()
            while self._unrecorded:
                try:
                    await self._record(self._unrecorded[:MAX_RECORDED])
                except DATABASE_AWAY as error:
                    logger.warning("what webhooks gave is not written yet: %s", type(error).__name__)
                    await asyncio.sleep(BACKOFF_SECONDS)
            self._recorded.set()

    async def _record(self, attempts: list[Attempt]) -> None:
        async with self._context.db.transaction() as session:
            hopeless = await record(session, attempts, self._clock())
        del self._unrecorded[: len(attempts)]
        for endpoint_id, reason in hopeless.items():
            async with self._context.db.transaction() as session:
                await disable(session, endpoint_id, reason)
            logger.warning("webhook endpoint %s is disabled: %s", endpoint_id, reason)
        self._wake.set()

    async def _extend_for_ever(self) -> None:
        while True:
            await asyncio.sleep(EXTEND_SECONDS)
            try:
                await self._for_held(extend_leases)
            except DATABASE_AWAY as error:
                logger.warning("leases of webhooks not extended: %s", type(error).__name__)

    async def _say_goodbye(self) -> None:
        if self._sending:
            await asyncio.wait(self._sending, timeout=GOODBYE_SECONDS)
        for task in list(self._sending):
            task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._recorded.wait(), GOODBYE_SECONDS)
        with contextlib.suppress(*DATABASE_AWAY):
            await self._for_held(give_back)

    async def _for_held(self, work: Callable[[AsyncSession, set[str], datetime], Awaitable[None]]) -> None:
        held = {one.lease for one in self._sending.values()} | {
            one.delivery.lease for one in self._unrecorded
        }
        if held:
            async with self._context.db.transaction() as session:
                await work(session, held, self._clock())


async def main() -> None:
    settings = get_settings()
    configure_logs("sender", settings.log_level)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolver"))
    context = open_context(settings)
    work = asyncio.current_task()
    assert work is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await Sender(context).run()
    await context.close()


if __name__ == "__main__":
    asyncio.run(main())
