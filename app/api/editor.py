"""The editor: a timeline in, a stream out."""

import hashlib
import json
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.operations import answer_operation
from app.domain.assets.models import Asset
from app.domain.assets.service import get_asset
from app.domain.assets.timeline import read_timeline
from app.domain.collections.service import default_collection
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind, request_operation, restart_operation
from app.wire.deps import AppContext, ServerCaller
from app.wire.envelope import Json

router = APIRouter(tags=["editor"])


class EditorRequest(BaseModel):
    timeline: Any = None


@router.post("/editor", response_model=None)
async def render(wanted: EditorRequest, caller: ServerCaller, context: AppContext) -> Json | JSONResponse:
    """Render a timeline of videos and audios (contract A16); the same one is rendered once."""
    request = read_timeline(wanted.timeline)
    digest = hashlib.sha256(json.dumps(wanted.timeline, sort_keys=True).encode()).hexdigest()
    async with context.db.transaction() as session:
        for clip in (clip for track in request.tracks for clip in track):
            await get_asset(session, caller.account_id, clip.asset_id)
        collection = await default_collection(session, caller.account_id)
        operation = await request_operation(
            session,
            caller.account_id,
            OperationKind.RENDER_TIMELINE,
            f"render:{digest}",
            {"timeline": wanted.timeline, "collection_id": collection.id},
        )
        if operation.status == "failed" or await _was_deleted(session, operation):
            await restart_operation(session, operation)
    return await answer_operation(context, caller.account_id, operation.id)


async def _was_deleted(session: AsyncSession, operation: Operation) -> bool:
    video_id = (operation.result or {}).get("video_id")
    return video_id is not None and await session.get(Asset, video_id) is None
