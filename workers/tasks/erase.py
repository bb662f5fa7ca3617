"""Erases what was marked: its objects first, then its rows, so that no object is ever left without a row."""

from collections.abc import AsyncIterator

from app.domain.erasure.service import remove_rows
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.process import Context
from workers.tasks.lease import Lease

_OBJECTS = 0.9  # of the work


async def erase(context: Context, operation: Operation, lease: Lease) -> None:
    """Safe to run again from wherever it was killed; the counts are those of all its runs together."""
    request = operation.request
    if "objects" not in request:
        keys = [key async for key in _keys(context, operation)]
        request = request | {"objects": len(keys)}
        await _save(context, operation, lease, request)
    removed = 0
    async for key in _keys(context, operation):
        await context.storage.delete(key)
        removed += 1
        lease.report(_OBJECTS * min(removed / max(request["objects"], 1), 1.0))
    if "removed" not in request:
        async with context.db.transaction() as session:
            rows = await remove_rows(session, operation)
            request = request | {"removed": rows}
            await operations.keep_request(session, operation.id, worker=lease.worker, request=request)
    # What was on its way to storage when the rows went: nothing new can come now.
    late = 0
    async for key in _keys(context, operation):
        await context.storage.delete(key)
        late += 1
    counts = {"objects": request["objects"] + late, **request["removed"]}
    async with context.db.transaction() as session:
        # What it was about is known to nobody any more, and need not be kept.
        await operations.keep_request(session, operation.id, worker=lease.worker, request={})
        await operations.finish(session, operation.id, worker=lease.worker, result={"removed": counts})


async def _save(context: Context, operation: Operation, lease: Lease, request: dict[str, object]) -> None:
    async with context.db.transaction() as session:
        await operations.keep_request(session, operation.id, worker=lease.worker, request=request)


async def _keys(context: Context, operation: Operation) -> AsyncIterator[str]:
    """Every object that is still there."""
    seen = set()
    for prefix in operation.request["prefixes"]:
        for key in await context.storage.list_keys(prefix):
            seen.add(key)
            yield key
    for key in operation.request["keys"]:
        if key not in seen and await context.storage.list_keys(key):
            yield key
