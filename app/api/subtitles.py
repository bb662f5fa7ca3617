"""Workflows on a video: what is said in it, written on its pictures."""

import hashlib
import json
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from app.api.operations import answer_operation
from app.base.errors import InvalidRequest
from app.domain.assets.service import find_asset, get_asset
from app.domain.operations.service import OperationKind, request_operation, restart_operation
from app.domain.timelines.service import load_timeline
from app.domain.transcripts.recordings import words_version
from app.wire.deps import AppContext, ServerCaller
from app.wire.envelope import Json

router = APIRouter(tags=["videos"])


class WorkflowRequest(BaseModel):
    type: str | None = None
    subtitle_style: Any = None


@router.post("/video/{video_id}/workflow", response_model=None)
async def run_workflow(
    video_id: str, wanted: WorkflowRequest, caller: ServerCaller, context: AppContext
) -> Json | JSONResponse:
    """`add_subtitles`: a video of its own with the words on it; the same style gives the same one, until the
    words are found anew."""
    if wanted.type != "add_subtitles":
        raise InvalidRequest("type must be add_subtitles", field="type")
    async with context.db.transaction() as session:
        asset = await get_asset(session, caller.account_id, video_id, kind="video")
        request = {
            "subtitles": {"asset_id": asset.id, "style": wanted.subtitle_style},
            "collection_id": asset.collection_id,
            "name": f"{asset.name} with subtitles"[:200],
        }
        await load_timeline(session, caller.account_id, request)
        version = await words_version(session, asset.id)
        digest = hashlib.sha256(json.dumps([request["subtitles"], version], sort_keys=True).encode())
        operation = await request_operation(
            session,
            caller.account_id,
            OperationKind.RENDER_TIMELINE,
            f"subtitles:{digest.hexdigest()}",
            request,
        )
        made = (operation.result or {}).get("video_id")
        was_deleted = operation.status == "done" and await find_asset(session, made) is None
        if operation.status == "failed" or was_deleted:
            await restart_operation(session, operation)
    return await answer_operation(context, caller.account_id, operation.id)
