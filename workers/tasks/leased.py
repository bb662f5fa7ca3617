"""Work under an operation's lease: extended while it lasts, given up when another has it."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from app.base.errors import CaptureError, Unprocessable
from app.base.ids import new_id
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.domain.operations.service import LeaseLost
from app.process import Context
from workers.tasks.lease import Lease

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
LOOK_SECONDS = 0.5

Handler = Callable[[Context, Operation, Lease], Coroutine[Any, Any, None]]
FailureHandler = Callable[[Context, Operation], Coroutine[Any, Any, None]]


async def run_leased(
    context: Context,
    operation_id: str,
    handle: Handler,
    on_failure: FailureHandler,
    *,
    told: Callable[[float], None] | None = None,
) -> None:
    """Run the operation unless it is finished or leased; `handle` saves the result itself, `on_failure` is
    called when it has failed for good. `told` hears how far it is, from 0 to 1."""
    lease = Lease(f"{socket.gethostname()}:{os.getpid()}:{new_id('run')}", told)
    seconds = context.settings.export_lease_seconds
    async with context.db.transaction() as session:
        operation = await operations.take_lease(session, operation_id, worker=lease.worker, seconds=seconds)
    if operation is None:
        return
    if operation.status == "failed":
        await on_failure(context, operation)
        return
    work = asyncio.create_task(handle(context, operation, lease))
    keeper = asyncio.create_task(_keep_lease(context, operation_id, lease, seconds))
    try:
        await asyncio.wait({work, keeper}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():  # the lease is lost: what this run makes must not be saved
            work.cancel()
        await asyncio.wait({work})
        if not work.cancelled() and await _has_failed(context, operation, lease, work.exception()):
            await on_failure(context, operation)
    finally:
        work.cancel()
        keeper.cancel()
        await asyncio.wait({work, keeper})


async def finish_first(
    context: Context,
    operation_id: str,
    handle: Handler,
    on_failure: FailureHandler,
    report: Callable[[float], None],
) -> None:
    """Run an operation that another one needs, here where nobody runs it, and wait until it is done.

    Waiting alone would not do: the worker that could run it may be the one that waits. It ends, since
    attempts are counted and each is under a lease. Raises `Unprocessable` with the reason where it fails.
    """
    while True:
        await run_leased(context, operation_id, handle, on_failure, told=report)
        async with context.db.transaction() as session:
            operation = await session.get(Operation, operation_id)
        if operation is None or operation.status == "failed":
            raise Unprocessable((operation and operation.error) or "what this needs has been deleted")
        if operation.status == "done":
            return
        report(operation.percentage / 100)
        await asyncio.sleep(LOOK_SECONDS)


async def _has_failed(
    context: Context, operation: Operation, lease: Lease, error: BaseException | None
) -> bool:
    """Keep why it failed; True where it will not be tried again."""
    if error is None or isinstance(error, LeaseLost):
        return False
    expected = error if isinstance(error, CaptureError) else None
    retry = RETRY_SECONDS if expected is None or expected.retryable else None
    logger.error("%s %s failed", operation.kind, operation.id, exc_info=error if expected is None else None)
    try:
        async with context.db.transaction() as session:
            return await operations.fail(
                session,
                operation.id,
                worker=lease.worker,
                error=expected or CaptureError("internal error"),
                retry_in_seconds=retry,
            )
    except LeaseLost:  # it was deleted, or is another's: how it ends is none of this run's business
        return False


async def _keep_lease(context: Context, operation_id: str, lease: Lease, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds / 4)
        try:
            async with context.db.transaction() as session:
                await operations.extend_lease(
                    session, operation_id, worker=lease.worker, seconds=seconds, percentage=lease.percentage
                )
        except LeaseLost:
            return
        except Exception:
            # The database may be restarting: the lease is only lost when it says so.
            logger.warning("lease of %s not extended", operation_id, exc_info=True)
