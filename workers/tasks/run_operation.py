"""Runs a long operation under its lease: extended while it works, given up when another has it."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from app.base.errors import CaptureError
from app.base.ids import new_id
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.domain.operations.service import LeaseLost, OperationKind
from app.process import Context
from workers.tasks.erase import erase
from workers.tasks.export_display import export_display
from workers.tasks.export_session import export_session, export_session_failed
from workers.tasks.export_stream import export_stream
from workers.tasks.extract_scenes import extract_scenes, extracting_failed
from workers.tasks.import_upload import import_upload
from workers.tasks.index_spoken_words import index_spoken_words
from workers.tasks.lease import Lease
from workers.tasks.make_download import make_download
from workers.tasks.render_timeline import render_timeline

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0

Handler = Callable[[Context, Operation, Lease], Coroutine[Any, Any, None]]
HANDLERS: dict[OperationKind, Handler] = {
    OperationKind.EXPORT_SESSION: export_session,
    OperationKind.EXPORT_DISPLAY: export_display,
    OperationKind.EXPORT_STREAM: export_stream,
    OperationKind.IMPORT_UPLOAD: import_upload,
    OperationKind.INDEX_SPOKEN_WORDS: index_spoken_words,
    OperationKind.EXTRACT_SCENES: extract_scenes,
    OperationKind.MAKE_DOWNLOAD: make_download,
    OperationKind.RENDER_TIMELINE: render_timeline,
    OperationKind.ERASE: erase,
}
ON_FAILURE: dict[OperationKind, Callable[[Context, Operation], Coroutine[Any, Any, None]]] = {
    OperationKind.EXPORT_SESSION: export_session_failed,
    OperationKind.EXTRACT_SCENES: extracting_failed,
}


async def run_operation(context: Context, operation_id: str) -> None:
    """Run the operation unless it is finished or leased; its handler saves the result itself."""
    lease = Lease(f"{socket.gethostname()}:{os.getpid()}:{new_id('run')}")
    seconds = context.settings.export_lease_seconds
    async with context.db.transaction() as session:
        operation = await operations.take_lease(session, operation_id, worker=lease.worker, seconds=seconds)
    if operation is None:
        return
    if operation.status == "failed":
        await _tell_of_failure(context, operation)
        return
    kind = OperationKind(operation.kind)
    work = asyncio.create_task(HANDLERS[kind](context, operation, lease))
    keeper = asyncio.create_task(_keep_lease(context, operation_id, lease, seconds))
    try:
        await asyncio.wait({work, keeper}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():  # the lease is lost: what this run makes must not be saved
            work.cancel()
        await asyncio.wait({work})
        if not work.cancelled():
            await _settle(context, operation, lease, work.exception())
    finally:
        keeper.cancel()
        await asyncio.wait({keeper})


async def _settle(context: Context, operation: Operation, lease: Lease, error: BaseException | None) -> None:
    if error is None or isinstance(error, LeaseLost):
        return
    expected = error if isinstance(error, CaptureError) else None
    retry = RETRY_SECONDS if expected is None or expected.retryable else None
    logger.error("%s %s failed", operation.kind, operation.id, exc_info=error if expected is None else None)
    message = expected.message if expected else "internal error"
    async with context.db.transaction() as session:
        final = await operations.fail(
            session, operation.id, worker=lease.worker, message=message, retry_in_seconds=retry
        )
    if final:
        await _tell_of_failure(context, operation)


async def _tell_of_failure(context: Context, operation: Operation) -> None:
    on_failure = ON_FAILURE.get(OperationKind(operation.kind))
    if on_failure is not None:
        await on_failure(context, operation)


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
