"""Pictures of a video: the one that stands for it, and images taken from it at any time."""

import asyncio

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.shapes import asset_shape
from app.base.errors import InvalidRequest, NotFound
from app.base.ids import new_id
from app.domain.assets.fragments import read_piece
from app.domain.assets.models import Asset
from app.domain.assets.service import StoredFile, add_asset, get_asset, list_thumbnails, new_asset_id
from app.media.hls import FragmentIndex, Piece, piece_at
from app.media.thumbnail import first_picture
from app.process import Context
from app.storage.keys import asset_key
from app.wire.deps import AppContext, AppLinks, ServerCaller, Session
from app.wire.envelope import Json, success

router = APIRouter(prefix="/video/{video_id}", tags=["videos"])

MAX_WIDTH = 1920


class ThumbnailRequest(BaseModel):
    time: float | None = Field(None, ge=0)
    timestamp: float | None = Field(None, ge=0)  # what the vendor's OpenAPI calls it


@router.get("/thumbnail")
async def show(video_id: str, caller: ServerCaller, session: Session, links: AppLinks) -> Json:
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    url = links.thumbnail_url(asset)
    if url is None:
        raise NotFound(f"{asset.id} has no picture")
    return success({"thumbnail_url": url, "thumbnail": url})


@router.post("/thumbnail")
async def take(
    video_id: str,
    wanted: ThumbnailRequest,
    caller: ServerCaller,
    context: AppContext,
    links: AppLinks,
) -> Json:
    """Make an image of what the video shows at `time`, in seconds; else of its beginning.

    The same time again gives the same image.
    """
    at_seconds = wanted.time if wanted.time is not None else wanted.timestamp or 0.0
    async with context.db.transaction() as session:
        video = await get_asset(session, caller.account_id, video_id, kind="video")
        for image in await list_thumbnails(session, video):
            if image.source_at_seconds == at_seconds:
                return success(asset_shape(image, links))
    if at_seconds > video.length_seconds:
        raise InvalidRequest(f"time must be within the video's {video.length_seconds:.3f} s", field="time")
    piece = piece_at(FragmentIndex.from_json(video.hls_index or {}), at_seconds)
    picture = await _picture(context, video, piece, at_seconds)
    image_id = new_asset_id("image")
    key = asset_key(caller.account_id, image_id, new_id("r"), "jpg")
    await context.storage.put_bytes(key, picture)
    async with context.db.transaction() as session:
        image = await add_asset(
            session,
            asset_id=image_id,
            account_id=caller.account_id,
            collection_id=video.collection_id,
            kind="image",
            name=f"{video.name} at {at_seconds:g} s",
            file=StoredFile(
                key,
                "image/jpeg",
                len(picture),
                source_asset_id=video.id,
                source_at_seconds=at_seconds,
            ),
        )
        await session.refresh(image)
    return success(asset_shape(image, links))


@router.get("/thumbnails")
async def list_all(video_id: str, caller: ServerCaller, session: Session, links: AppLinks) -> Json:
    """The images taken from the video: a bare list, as the Python SDK reads it (contract §1.3)."""
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    return success([asset_shape(image, links) for image in await list_thumbnails(session, asset)])


async def _picture(context: Context, video: Asset, piece: Piece, at_seconds: float) -> bytes:
    data = await read_piece(context.storage, video, piece)
    return await asyncio.to_thread(first_picture, data, at_seconds, MAX_WIDTH)
