"""Renders an editor timeline into a new video asset that plays as a stream."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from app.base.errors import InvalidRequest
from app.domain.assets.links import asset_links
from app.domain.assets.service import add_asset, get_asset, new_asset_id
from app.domain.assets.timeline import TimelineClip, read_timeline
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.media.render import Clip, Timeline, Track
from app.media.render import render_timeline as render
from app.process import Context
from workers.tasks.lease import Lease
from workers.tasks.store_media import store_media


async def render_timeline(context: Context, operation: Operation, lease: Lease) -> None:
    """Make the file, then register it with its links in one transaction."""
    request = read_timeline(operation.request["timeline"])
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="capture-render-")))
        tracks = []
        for track in request.tracks:
            clips = [await _clip(context, stack, operation.account_id, clip) for clip in track]
            tracks.append(Track(clips))
        timeline = Timeline(request.width, request.height, request.background, tracks)
        rendered = await asyncio.to_thread(render, timeline, folder / "render.mp4", on_progress=lease.report)
        asset_id = new_asset_id("video")
        file = await store_media(context, rendered, account_id=operation.account_id, asset_id=asset_id)
    async with context.db.transaction() as session:
        asset = await add_asset(
            session,
            asset_id=asset_id,
            account_id=operation.account_id,
            collection_id=operation.request["collection_id"],
            kind="video",
            name="Timeline",
            file=file,
        )
        result = {"video_id": asset.id, **asset_links(asset)}
        await operations.finish(session, operation.id, worker=lease.worker, result=result)


async def _clip(context: Context, stack: AsyncExitStack, account_id: str, clip: TimelineClip) -> Clip:
    async with context.db.transaction() as session:
        asset = await get_asset(session, account_id, clip.asset_id)
    if asset.kind == "image" or (clip.kind == "video" and asset.kind != "video"):
        raise InvalidRequest(f"{asset.id} cannot be used as {clip.kind}")
    path = await stack.enter_async_context(context.storage.local_path(asset.storage_key))
    return Clip(
        kind=clip.kind,
        path=path,
        start_seconds=clip.start_seconds,
        duration_seconds=clip.duration_seconds,
        asset_start_seconds=clip.asset_start_seconds,
        volume=clip.volume,
        opacity=clip.opacity,
        fit=clip.fit,
    )
