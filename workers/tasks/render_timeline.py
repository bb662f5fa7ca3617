"""Renders an editor timeline into a new video asset that plays as a stream."""

import asyncio
from contextlib import AsyncExitStack

from app.domain.assets.service import add_asset, asset_id_of
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.domain.timelines.service import load_timeline
from app.media.editor.render import render_timeline as render
from app.process import Context
from workers.tasks.lease import Lease
from workers.tasks.scratch import scratch_folder
from workers.tasks.store_media import store_media


async def render_timeline(context: Context, operation: Operation, lease: Lease) -> None:
    """Make the file, then register it in one transaction."""
    async with context.db.transaction() as session:
        loaded = await load_timeline(session, operation.account_id, operation.request)
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(scratch_folder(context))
        files = {
            asset_id: await stack.enter_async_context(context.storage.local_path(asset.storage_key))
            for asset_id, asset in loaded.assets.items()
        }
        target = folder / "render.mp4"
        rendered = await asyncio.to_thread(render, loaded.timeline, files, target, lease.report)
        asset_id = asset_id_of("video", operation.id)
        file = await store_media(context, rendered, account_id=operation.account_id, asset_id=asset_id)
    async with context.db.transaction() as session:
        asset = await add_asset(
            session,
            asset_id=asset_id,
            account_id=operation.account_id,
            collection_id=operation.request["collection_id"],
            kind="video",
            name=operation.request.get("name", "Timeline"),
            file=file,
        )
        await operations.finish(session, operation.id, worker=lease.worker, result={"video_id": asset.id})
