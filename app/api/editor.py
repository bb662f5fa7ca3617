"""The editor: a timeline in, a stream out; today's, one too large for a request, and the old SDK's."""

import hashlib
import json
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.operations import answer_operation
from app.api.uploads import read_own_upload
from app.base.errors import InvalidRequest
from app.domain.assets.service import find_asset
from app.domain.collections.service import default_collection
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind, request_operation, restart_operation
from app.domain.timelines.service import load_timeline
from app.process import Context
from app.wire.deps import AppContext, ServerCaller
from app.wire.envelope import Json

router = APIRouter(tags=["editor"])
MAX_TIMELINE_BYTES = 10 * 1024 * 1024


class EditorRequest(BaseModel):
    timeline: Any = None
    timeline_url: str | None = None


class CompileRequest(BaseModel):
    request_type: Literal["compile"] | None = None
    timeline: Any = None


@router.post("/editor", response_model=None)
async def render(wanted: EditorRequest, caller: ServerCaller, context: AppContext) -> Json | JSONResponse:
    """Render a timeline (contract A16); the same timeline gives the same video."""
    timeline = wanted.timeline
    if wanted.timeline_url is not None:
        timeline = await _uploaded(context, caller, wanted.timeline_url)
    return await _rendered(context, caller, {"editor": timeline})


@router.post("/timeline", response_model=None)
async def compile_timeline(
    wanted: CompileRequest, caller: ServerCaller, context: AppContext
) -> Json | JSONResponse:
    """Render a timeline of the old SDK."""
    return await _rendered(context, caller, {"compile": wanted.timeline})


async def _rendered(context: Context, caller: ServerCaller, request: Json) -> Json | JSONResponse:
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    async with context.db.transaction() as session:
        await load_timeline(session, caller.account_id, request)
        collection = await default_collection(session, caller.account_id)
        operation = await request_operation(
            session,
            caller.account_id,
            OperationKind.RENDER_TIMELINE,
            f"render:{digest}",
            {**request, "collection_id": collection.id},
        )
        if operation.status == "failed" or await _was_deleted(session, operation):
            await restart_operation(session, operation)
    return await answer_operation(context, caller.account_id, operation.id)


async def _was_deleted(session: AsyncSession, operation: Operation) -> bool:
    video_id = (operation.result or {}).get("video_id")
    return video_id is not None and await find_asset(session, video_id) is None


async def _uploaded(context: Context, caller: ServerCaller, url: str) -> Any:
    """The timeline in a file that was uploaded here: Python does so above 100 KiB."""
    data = await read_own_upload(context, caller, url, field="timeline_url", max_bytes=MAX_TIMELINE_BYTES)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("timeline_url: the file is no JSON", field="timeline_url") from error
    return document.get("timeline") if isinstance(document, dict) else None
