"""Puts a finished media file into storage, with the index and the picture that playing it needs."""

import asyncio

from app.base.ids import new_id
from app.domain.assets.service import StoredFile
from app.media.export import ExportedFile
from app.media.hls import index_fragments
from app.media.thumbnail import first_picture
from app.process import Context
from app.storage.keys import asset_key


async def store_media(
    context: Context,
    exported: ExportedFile,
    *,
    account_id: str,
    asset_id: str,
    started_at_us: int | None = None,
) -> StoredFile:
    """Store `exported` under keys of its own. Object first: the caller registers it afterwards."""
    render_id = new_id("r")
    index = await asyncio.to_thread(index_fragments, exported.path)
    size_bytes = (await asyncio.to_thread(exported.path.stat)).st_size
    thumbnail_key = None
    if exported.has_video:
        picture = await asyncio.to_thread(first_picture, exported.path)
        thumbnail_key = asset_key(account_id, asset_id, render_id, "jpg")
        await context.storage.put_bytes(thumbnail_key, picture)
    key = asset_key(account_id, asset_id, render_id, "mp4" if exported.has_video else "m4a")
    await context.storage.put_file(key, exported.path)
    return StoredFile(
        storage_key=key,
        media_type="video/mp4" if exported.has_video else "audio/mp4",
        size_bytes=size_bytes,
        length_seconds=exported.duration_seconds,
        width=exported.width,
        height=exported.height,
        thumbnail_key=thumbnail_key,
        hls_index=index.to_json(),
        started_at_us=started_at_us,
    )
