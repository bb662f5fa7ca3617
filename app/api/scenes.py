"""Scenes of recordings: cut them out, list, read, describe and delete them (contract §2, Videos)."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from app.api.operations import answer_operation
from app.domain.assets.service import get_asset
from app.domain.indexes.extraction import MOST_PICTURES, read_recorded_extraction
from app.domain.operations.callbacks import tell_of_success
from app.domain.scenes import service as scenes
from app.domain.scenes.describing import request_description
from app.domain.scenes.facts import collection_head
from app.domain.webhooks.service import check_callback_url
from app.wire.deps import AppContext, AppLinks, ServerCaller, Session
from app.wire.envelope import success

router = APIRouter(prefix="/video/{video_id}", tags=["scenes"])
Json = dict[str, Any]


class ScenesToExtract(BaseModel):
    """What the SDKs send; `scene_type` is the vendor's OpenAPI's."""

    extraction_type: str | None = None
    extraction_config: Json | None = None
    scene_type: str | None = None
    force: bool | None = None
    callback_url: str | None = None


class WantedDescription(BaseModel):
    """What the SDKs send; which model is asked for has no effect here."""

    prompt: str | None = None


@router.post("/scenes", response_model=None)
async def extract(
    video_id: str, wanted: ScenesToExtract, caller: ServerCaller, context: AppContext, links: AppLinks
) -> Json | JSONResponse:
    """Cut the recording into scenes with pictures; finished when the call returns, or polled.

    The same way of cutting gives the same collection, cut anew where `force` is given. With a `callback_url`
    the collection is named at once, and the URL is told when it has been cut.
    """
    callback_url = check_callback_url(wanted.callback_url) if wanted.callback_url else None
    async with context.db.transaction() as session:
        asset = await get_asset(session, caller.account_id, video_id, kind="video")
        extraction = read_recorded_extraction(
            wanted.extraction_type or wanted.scene_type or "shot",
            wanted.extraction_config,
            asset.length_seconds,
        )
        collection, operation = await scenes.request_extraction(
            session, asset, extraction, force=bool(wanted.force), callback_url=callback_url
        )
        cut = await scenes.list_scenes(session, collection.id)
        facts = await scenes.collection_facts(session, collection, asset, links, cut)
        if operation.status == "done":
            await tell_of_success(session, operation, {"scene_collection": facts})
    if callback_url:
        return success({"scene_collection": facts})
    return await answer_operation(context, caller.account_id, operation.id)


@router.get("/scenes")
async def list_all(video_id: str, caller: ServerCaller, session: Session) -> Json:
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    rows = await scenes.list_collections(session, asset)
    return success({"scene_collections": [collection_head(row) for row in rows]})


@router.get("/scenes/{scene_collection_id}")
async def show(
    video_id: str,
    scene_collection_id: str,
    caller: ServerCaller,
    session: Session,
    links: AppLinks,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_PICTURES)] = MOST_PICTURES,
) -> Json:
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    collection = await scenes.get_collection(session, asset, scene_collection_id)
    cut = await scenes.list_scenes(session, collection.id, offset=offset, limit=limit)
    facts = await scenes.collection_facts(session, collection, asset, links, cut)
    return success({"scene_collection": facts})


@router.delete("/scenes/{scene_collection_id}")
async def delete(video_id: str, scene_collection_id: str, caller: ServerCaller, session: Session) -> Json:
    """Forget the scenes; their pictures stay with the video, of which other scenes may show them."""
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    await scenes.delete_collection(session, await scenes.get_collection(session, asset, scene_collection_id))
    return success({})


@router.post("/scene/{scene_id}/describe", response_model=None)
async def describe_scene(
    video_id: str, scene_id: str, wanted: WantedDescription, caller: ServerCaller, context: AppContext
) -> Json | JSONResponse:
    """Say what the scene shows, as the prompt asks; the description stays with the scene."""
    async with context.db.transaction() as session:
        asset = await get_asset(session, caller.account_id, video_id, kind="video")
        scene = await scenes.get_scene(session, asset, scene_id)
        operation = await request_description(session, asset, scene, prompt=wanted.prompt)
    return await answer_operation(context, caller.account_id, operation.id)


@router.post("/frame/{frame_id}/describe", response_model=None)
async def describe_frame(
    video_id: str, frame_id: str, wanted: WantedDescription, caller: ServerCaller, context: AppContext
) -> Json | JSONResponse:
    """Say what the frame shows, as the prompt asks; the description stays with the frame."""
    async with context.db.transaction() as session:
        asset = await get_asset(session, caller.account_id, video_id, kind="video")
        frame = await scenes.get_frame(session, asset, frame_id)
        operation = await request_description(session, asset, frame, prompt=wanted.prompt)
    return await answer_operation(context, caller.account_id, operation.id)
