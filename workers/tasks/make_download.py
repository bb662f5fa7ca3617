"""Makes one file of a playback: the asset's own, cuts of one joined, or several rendered in sequence."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from app.base.ids import new_id
from app.domain.assets.models import Asset
from app.domain.assets.playback import Part, find_playback, open_parts
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.domain.timelines.sequence import in_sequence
from app.media.editor.render import render_timeline
from app.media.export import ExportedFile
from app.media.hls import FragmentIndex
from app.media.joining import can_join, join_cuts, plays_whole
from app.process import Context
from app.storage.keys import download_key
from workers.tasks.lease import Lease
from workers.tasks.scratch import scratch_folder


async def make_download(context: Context, operation: Operation, lease: Lease) -> None:
    """Store the file and finish; of a whole asset nothing is made."""
    async with context.db.transaction() as session:
        playback = await find_playback(session, operation.request["slug"])
        parts = await open_parts(session, playback)
    whole = _whole(parts)
    if whole is not None:
        result = _result(whole.storage_key, whole.media_type, whole.size_bytes)
    else:
        result = await _made(context, operation, parts, lease)
    async with context.db.transaction() as session:
        await operations.finish(session, operation.id, worker=lease.worker, result=result)


def _whole(parts: Sequence[Part]) -> Asset | None:
    if len(parts) != 1:
        return None
    part = parts[0]
    return part.asset if plays_whole(_index(part.asset), part.start_seconds, part.end_seconds) else None


async def _made(
    context: Context, operation: Operation, parts: Sequence[Part], lease: Lease
) -> dict[str, str | int]:
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(scratch_folder(context))
        files = {
            asset.id: await stack.enter_async_context(context.storage.local_path(asset.storage_key))
            for asset in {part.asset.id: part.asset for part in parts}.values()
        }
        target = folder / "download.mp4"
        made = await asyncio.to_thread(_written, parts, files, target, lease)
        size_bytes = (await asyncio.to_thread(target.stat)).st_size
        extension = "mp4" if made.has_video else "m4a"
        key = download_key(operation.account_id, operation.id, new_id("r"), extension)
        await context.storage.put_file(key, target)
    return _result(key, "video/mp4" if made.has_video else "audio/mp4", size_bytes)


def _written(parts: Sequence[Part], files: dict[str, Path], target: Path, lease: Lease) -> ExportedFile:
    first = parts[0].asset
    index, path = _index(first), files[first.id]
    if len(files) == 1 and can_join(path, index):
        cuts = [(part.start_seconds, part.end_seconds) for part in parts]
        return join_cuts(path, index, cuts, target, lease.report)
    return render_timeline(in_sequence(parts), files, target, lease.report)


def _index(asset: Asset) -> FragmentIndex:
    return FragmentIndex.from_json(asset.hls_index or {})


def _result(storage_key: str, media_type: str, size_bytes: int) -> dict[str, str | int]:
    return {"storage_key": storage_key, "media_type": media_type, "size_bytes": size_bytes}
