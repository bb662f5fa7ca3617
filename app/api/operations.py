"""Long work on the wire: answered at once when it is quick, else polled (contract §1.3)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from app.api.search import Searcher
from app.api.shapes import asset_shape, download_shape
from app.base.errors import CaptureError
from app.domain.assets.links import Links
from app.domain.assets.service import get_asset
from app.domain.exports.streams import exported_stream_shape
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind, get_operation
from app.domain.scenes.service import collection_facts, get_collection, list_scenes
from app.domain.search.service import Match
from app.process import Context
from app.wire.deps import AppContext, ServerCaller
from app.wire.envelope import Json, failure, success

router = APIRouter(tags=["operations"])

HOLD_SECONDS = 15.0  # the Python SDK gives up on a request after 30
LOOK_SECONDS = 0.1


class OperationFailed(CaptureError):
    """Why an operation failed, with the status of the failure where it is what was asked for."""

    def __init__(self, operation: Operation) -> None:
        message = operation.error or "the operation failed"
        super().__init__(message, code=operation.error_code or "operation_failed")
        self.status = operation.error_status or 500


Shape = Callable[[Operation], Awaitable[Json]]


async def answer_operation(
    context: Context,
    account_id: str,
    operation_id: str,
    *,
    hold: bool = True,
    output_url: str | None = None,
    shape: Shape | None = None,
) -> Json | JSONResponse:
    """Hold the request until the operation is finished, at most `HOLD_SECONDS`, then tell where to poll.

    What it made is answered as `shape` has it; `output_url`, which must answer the same, is polled then.
    Without `hold` the caller hears of the end elsewhere, and is told not to poll.
    """
    deadline = time.monotonic() + (HOLD_SECONDS if hold else 0.0)
    while True:
        async with context.db.transaction() as session:
            operation = await get_operation(session, account_id, operation_id)
        if operation.status in ("done", "failed"):
            return await _finished(context, operation, shape)
        if time.monotonic() > deadline:
            return _unfinished(context, operation, output_url, "sync" if hold else "async")
        await asyncio.sleep(LOOK_SECONDS)


@router.get("/async-response/{operation_id}", response_model=None)
async def poll(operation_id: str, caller: ServerCaller, context: AppContext) -> Json | JSONResponse:
    async with context.db.transaction() as session:
        operation = await get_operation(session, caller.account_id, operation_id)
    if operation.status in ("done", "failed"):
        return await _finished(context, operation, None)
    return _unfinished(context, operation, None, "sync")


async def _finished(context: Context, operation: Operation, shape: Shape | None) -> Json | JSONResponse:
    if operation.status == "failed":
        return failure(OperationFailed(operation))
    return success(await (shape(operation) if shape else _result(context, operation)))


def _unfinished(
    context: Context, operation: Operation, output_url: str | None, request_type: Literal["sync", "async"]
) -> Json:
    # `data` is an object in every poll: Python 0.5.1 crashes on null.
    data: dict[str, Any] = {
        "output_url": output_url or f"{context.settings.base_url}/async-response/{operation.id}",
        "percentage": operation.percentage,
    }
    return success(data) | {"status": "processing", "request_type": request_type}


_MAKERS_OF_ASSETS = (
    OperationKind.IMPORT_UPLOAD,
    OperationKind.RENDER_TIMELINE,
    OperationKind.EXPORT_STREAM,
)


async def _result(context: Context, operation: Operation) -> Json:
    """What the operation made: of an upload the asset itself, as the SDKs build it from the reply, and of a
    timeline where it plays. Links are made anew each time, since they expire."""
    result = operation.result or {}
    if operation.kind == OperationKind.MAKE_DOWNLOAD:
        return download_shape(context.settings, operation)
    if operation.kind == OperationKind.ANSWER_QUESTION:
        return await _answer_shape(context, operation)
    links = Links(context.settings)
    if operation.kind == OperationKind.EXTRACT_SCENES:
        return await _scene_collection(context, operation, links)
    if operation.kind not in _MAKERS_OF_ASSETS:
        return result
    async with context.db.transaction() as session:
        if operation.kind == OperationKind.RENDER_TIMELINE:
            video = await get_asset(session, operation.account_id, result["video_id"])
            return result | links.of_asset(video)
        asset = await get_asset(session, operation.account_id, result["asset_id"])
    if operation.kind == OperationKind.EXPORT_STREAM:
        return exported_stream_shape(operation.request["stream_id"], asset, links)
    return asset_shape(asset, links)


async def _scene_collection(context: Context, operation: Operation, links: Links) -> Json:
    async with context.db.transaction() as session:
        asset = await get_asset(session, operation.account_id, operation.request["asset_id"])
        collection = await get_collection(session, asset, operation.request["scene_collection_id"])
        scenes = await list_scenes(session, collection.id)
        return {"scene_collection": await collection_facts(session, collection, asset, links, scenes)}


async def _answer_shape(context: Context, operation: Operation) -> Json:
    """An answer with what it rests on, where that was asked for (contract §2.3)."""
    found = operation.result or {}
    sources: list[Json] = []
    if operation.request["include_sources"]:
        matches = [Match(**match) for match in found["sources"]]
        async with context.db.transaction() as session:
            searcher = Searcher(context, session, operation.account_id, [])
            sources = await searcher.asset_results(matches)
    return {"answer": found["answer"], "sources": sources, "warnings": found["warnings"]}
