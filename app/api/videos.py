"""Finished videos and audios: read, search, cut, join, render and delete them."""

from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.api.erasing import erase_asset
from app.api.hydration import hydrate
from app.api.search import AppSearcher, SearchRequest, as_v2, check_indexed
from app.api.shapes import asset_shape
from app.base.errors import InvalidRequest
from app.domain.accounts.credentials import Caller
from app.domain.assets.models import Asset
from app.domain.assets.playback import add_playback
from app.domain.assets.service import AssetKind, get_asset, list_assets
from app.domain.collections.service import get_collection
from app.wire.deps import AppContext, AppLinks, ReadingCaller, ServerCaller, Session
from app.wire.envelope import success

router = APIRouter(tags=["videos"])
Json = dict[str, Any]
MAX_PARTS = 500


class RenameRequest(BaseModel):
    name: str | None = Field(None, min_length=1, max_length=200)
    description: str | None = Field(None, max_length=10_000)


class StreamRequest(BaseModel):
    timeline: list[tuple[float, float]] | None = Field(None, max_length=MAX_PARTS)


class CompiledShots(BaseModel):
    video_id: str
    shots: list[tuple[float, float]] = Field(max_length=MAX_PARTS)


@router.get("/video")
async def list_videos(
    caller: ServerCaller, session: Session, links: AppLinks, collection_id: str = "default"
) -> Json:
    collection = await get_collection(session, caller.account_id, collection_id)
    rows = await list_assets(session, caller.account_id, "video", collection.id)
    return success({"videos": [asset_shape(row, links) for row in rows]})


@router.get("/video/{video_id}")
async def show_video(video_id: str, caller: ServerCaller, session: Session, links: AppLinks) -> Json:
    return success(asset_shape(await get_asset(session, caller.account_id, video_id, kind="video"), links))


@router.patch("/video/{asset_id}")
@router.patch("/audio/{asset_id}")
@router.patch("/image/{asset_id}")
async def rename(
    asset_id: str,
    wanted: RenameRequest,
    caller: ServerCaller,
    session: Session,
    links: AppLinks,
    request: Request,
) -> Json:
    """Give an asset another name or description."""
    kind = cast(AssetKind, request.url.path.split("/")[1])
    asset = await get_asset(session, caller.account_id, asset_id, kind=kind)
    asset.name = wanted.name or asset.name
    asset.description = asset.description if wanted.description is None else wanted.description
    return success(asset_shape(asset, links))


@router.delete("/video/{video_id}", response_model=None)
async def delete_video(video_id: str, caller: ServerCaller, context: AppContext) -> Json | JSONResponse:
    """Remove the video with its words, its images and whatever plays a part of it; says what went."""
    return await erase_asset(context, caller, video_id, "video")


@router.get("/audio")
async def list_audios(
    caller: ServerCaller, session: Session, links: AppLinks, collection_id: str = "default"
) -> Json:
    collection = await get_collection(session, caller.account_id, collection_id)
    rows = await list_assets(session, caller.account_id, "audio", collection.id)
    return success({"audios": [asset_shape(row, links) for row in rows]})


@router.get("/audio/{audio_id}")
async def show_audio(audio_id: str, caller: ServerCaller, session: Session, links: AppLinks) -> Json:
    return success(asset_shape(await get_asset(session, caller.account_id, audio_id, kind="audio"), links))


@router.delete("/audio/{audio_id}", response_model=None)
async def delete_audio(audio_id: str, caller: ServerCaller, context: AppContext) -> Json | JSONResponse:
    return await erase_asset(context, caller, audio_id, "audio")


@router.post("/video/{video_id}/search")
async def search(
    video_id: str, wanted: SearchRequest, caller: ReadingCaller, session: Session, searcher: AppSearcher
) -> Json:
    asset = await _indexed(session, caller, video_id)
    return success({"results": await searcher.in_assets(Asset.id == asset.id, wanted)})


@router.post("/video/{video_id}/search/v2")
async def search_v2(
    video_id: str, wanted: SearchRequest, caller: ReadingCaller, session: Session, searcher: AppSearcher
) -> Json:
    asset = await _indexed(session, caller, video_id)
    results = await searcher.in_assets(Asset.id == asset.id, wanted)
    await hydrate(session, Asset.id == asset.id, results, wanted.return_fields)
    return success(as_v2(results, searcher.warnings))


@router.post("/collection/{collection_id}/search")
async def search_collection(
    collection_id: str, wanted: SearchRequest, caller: ReadingCaller, session: Session, searcher: AppSearcher
) -> Json:
    collection = await get_collection(session, caller.account_id, collection_id)
    return success({"results": await searcher.in_assets(Asset.collection_id == collection.id, wanted)})


@router.post("/collection/{collection_id}/search/v2")
async def search_collection_v2(
    collection_id: str, wanted: SearchRequest, caller: ReadingCaller, session: Session, searcher: AppSearcher
) -> Json:
    collection = await get_collection(session, caller.account_id, collection_id)
    results = await searcher.in_assets(Asset.collection_id == collection.id, wanted)
    await hydrate(session, Asset.collection_id == collection.id, results, wanted.return_fields)
    return success(as_v2(results, searcher.warnings))


@router.post("/video/{video_id}/stream")
async def stream(
    video_id: str, wanted: StreamRequest, caller: ReadingCaller, session: Session, links: AppLinks
) -> Json:
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    cuts = wanted.timeline or [(0.0, asset.length_seconds)]
    playback = await add_playback(
        session, caller.account_id, [(asset, start, end) for start, end in cuts], title=asset.name
    )
    return success(links.of_playback(playback.slug))


@router.post("/compile")
async def compile_shots(
    wanted: list[CompiledShots], caller: ReadingCaller, session: Session, links: AppLinks
) -> Json:
    """Join cuts of several videos; the body is a top-level array (contract §1.6)."""
    if sum(len(one.shots) for one in wanted) > MAX_PARTS or len(wanted) > MAX_PARTS:
        raise InvalidRequest(f"at most {MAX_PARTS} shots can be joined", field="shots")
    parts = []
    for one in wanted:
        asset = await get_asset(session, caller.account_id, one.video_id, kind="video")
        parts += [(asset, start, end) for start, end in one.shots]
    playback = await add_playback(session, caller.account_id, parts, title="Compilation")
    return success(links.of_playback(playback.slug))


async def _indexed(session: Session, caller: Caller, video_id: str) -> Asset:
    """The video, once anything of it can be found."""
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    await check_indexed(session, asset)
    return asset
