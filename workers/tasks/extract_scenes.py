"""Cuts a recording into scenes and keeps the pictures that were asked for."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.base.errors import NotFound
from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from app.domain.assets.service import find_asset
from app.domain.operations import service as operations
from app.domain.operations.callbacks import tell_of_success
from app.domain.operations.models import Operation
from app.domain.scenes.models import SceneCollection
from app.domain.scenes.service import add_scenes, collection_facts, list_scenes, shown_last
from app.media.scenes import Span, cut_by_shot, cut_by_time
from app.process import Context
from workers.tasks.cores import cores
from workers.tasks.lease import Lease
from workers.tasks.recorded_pictures import keep_pictures, next_scenes, sample_scenes

_CUTTING = 0.5  # of the work, where changes have to be looked for


async def extract_scenes(context: Context, operation: Operation, lease: Lease) -> None:
    """Keep the scenes as they are found: a run that takes over goes on behind the last that was kept."""
    collection_id = operation.request["scene_collection_id"]
    async with context.db.transaction() as session:
        collection = await session.get(SceneCollection, collection_id)
        asset = await find_asset(session, operation.request["asset_id"])
        scenes = await list_scenes(session, collection_id)
        since_us = await shown_last(session, scenes)
    if collection is None or asset is None:
        raise NotFound("what was to be cut into scenes has been deleted")
    async with context.storage.local_path(asset.storage_key) as path:
        async with cores.turn(can_wait=True):
            spans = await asyncio.to_thread(
                cut_scenes,
                path,
                collection.extraction,
                asset.length_seconds,
                lambda part: lease.report(_CUTTING * part),
            )
        kept = len(scenes)
        sampled = sample_scenes(path, spans[kept:], since_us)
        while batch := await next_scenes(sampled):
            found = await keep_pictures(context, asset, batch)
            async with context.db.transaction() as session:
                await add_scenes(session, collection_id, found)
            kept += len(batch)
            lease.report(_CUTTING + (1 - _CUTTING) * kept / len(spans))
    await _finish(context, operation, lease, asset, collection_id)


async def extracting_failed(context: Context, operation: Operation) -> None:
    """Say so in the collection, where it is still there."""
    async with context.db.transaction() as session:
        collection = await session.get(SceneCollection, operation.request["scene_collection_id"])
        if collection is not None:
            collection.status = "failed"


def cut_scenes(
    path: Path,
    extraction: dict[str, Any],
    length_seconds: float,
    on_progress: Callable[[float], None] | None = None,
) -> list[Span]:
    """The scenes of a video, as an extraction (domain/indexes/extraction.py) cuts it; the same each time.

    Raises `Unprocessable` for a file without pictures.
    """
    config, length_us = extraction["config"], round(length_seconds * 1e6)
    if extraction["type"] == "time":
        window_us = round(config["time"] * 1e6)
        return cut_by_time(length_us, window_us, config["frame_count"], config["select_frames"])
    return cut_by_shot(path, length_us, config["threshold"] / 100, config["frame_count"], on_progress)


async def _finish(
    context: Context, operation: Operation, lease: Lease, asset: Asset, collection_id: str
) -> None:
    async with context.db.transaction() as session:
        collection = await session.get(SceneCollection, collection_id)
        if collection is None:
            raise NotFound("the scene collection has been deleted")
        collection.status = "ready"
        result = {"scene_collection_id": collection_id}
        await operations.finish(session, operation.id, worker=lease.worker, result=result)
        scenes = await list_scenes(session, collection_id)
        links = Links(context.settings)
        facts = await collection_facts(session, collection, asset, links, scenes)
        row = await session.get_one(Operation, operation.id)
        await tell_of_success(session, row, {"scene_collection": facts})
