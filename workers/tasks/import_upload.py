"""Makes an uploaded file, or one from elsewhere, an asset: images as they are, all else as playable media."""

import asyncio
from pathlib import Path

from app.base.errors import UnsupportedMedia
from app.base.ids import new_id
from app.domain.assets.links import Links
from app.domain.assets.service import AssetKind, StoredFile, add_asset, asset_id_of
from app.domain.operations import service as operations
from app.domain.operations.callbacks import tell_of_success
from app.domain.operations.models import Operation
from app.domain.uploads.service import forget_upload
from app.media.intake import SniffedImage, SniffedMedia, sniff, take_in
from app.process import Context
from app.storage.keys import asset_key, upload_key
from workers.tasks.fetch_upload import fetch_upload
from workers.tasks.lease import Lease
from workers.tasks.scratch import scratch_folder
from workers.tasks.store_media import store_media


async def import_upload(context: Context, operation: Operation, lease: Lease) -> None:
    """Make the file, register it in one transaction, then forget the upload."""
    request = operation.request
    uploaded = upload_key(operation.account_id, request["upload_id"])
    if "url" in request:
        await fetch_upload(context, operation, lease)
    async with context.storage.local_path(uploaded) as path:
        found = await asyncio.to_thread(sniff, path)
        kind = _kind(found, request.get("media_type"))
        asset_id = asset_id_of(kind, operation.id)
        if isinstance(found, SniffedImage):
            file = await _stored_image(context, operation.account_id, asset_id, uploaded, found)
        else:
            file = await _stored_media(context, operation.account_id, asset_id, path, found, kind, lease)
    async with context.db.transaction() as session:
        asset = await add_asset(
            session,
            asset_id=asset_id,
            account_id=operation.account_id,
            collection_id=request["collection_id"],
            kind=kind,
            name=request["name"],
            file=file,
        )
        asset.description = request["description"]
        await operations.finish(session, operation.id, worker=lease.worker, result={"asset_id": asset.id})
        await tell_of_success(session, operation, Links(context.settings).facts_of(asset))
    await context.storage.delete(uploaded)
    async with context.db.transaction() as session:
        await forget_upload(session, request["upload_id"])


def _kind(found: SniffedImage | SniffedMedia, wanted: AssetKind | None) -> AssetKind:
    """What it becomes: what it is, or of a video its sound alone where that is asked for."""
    if isinstance(found, SniffedImage):
        kind: AssetKind = "image"
    elif found.kind == "video" and wanted == "audio" and found.has_audio:
        kind = "audio"
    else:
        kind = found.kind
    if wanted not in (None, kind):
        raise UnsupportedMedia(f"media_type: the file is {kind}, not {wanted}")
    return kind


async def _stored_image(
    context: Context, account_id: str, asset_id: str, uploaded: str, found: SniffedImage
) -> StoredFile:
    data = b"".join([block async for block in context.storage.read(uploaded)])
    key = asset_key(account_id, asset_id, new_id("r"), found.extension)
    await context.storage.put_bytes(key, data)
    return StoredFile(key, found.media_type, len(data), width=found.width, height=found.height)


async def _stored_media(
    context: Context,
    account_id: str,
    asset_id: str,
    path: Path,
    found: SniffedMedia,
    kind: AssetKind,
    lease: Lease,
) -> StoredFile:
    media = found if kind == found.kind else SniffedMedia("audio", True, found.duration_seconds)
    async with scratch_folder(context) as folder:
        target = folder / "upload.mp4"
        taken = await asyncio.to_thread(take_in, path, media, target, lease.report)
        return await store_media(context, taken, account_id=account_id, asset_id=asset_id)
