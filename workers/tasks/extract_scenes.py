"""Cuts a recording into scenes and keeps the pictures that were asked for."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
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
from app.domain.scenes.service import (
    CutScene,
    Look,
    add_recorded_screen,
    add_scenes,
    collection_facts,
    list_scenes,
    recorded_frame_id,
)
from app.media.scenes import Span, cut_by_shot, cut_by_time, pictures_at
from app.media.screens import Screen, is_another_screen
from app.process import Context
from app.storage.contract import ObjectExists
from app.storage.keys import screen_key
from workers.tasks.cores import cores
from workers.tasks.lease import Lease

AT_ONCE = 4  # scenes: a second or two of work, some megabytes of pictures
_CUTTING = 0.5  # of the work, where changes have to be looked for


@dataclass(frozen=True, slots=True)
class SampledScene:
    """A scene with its pictures; the same object for as long as nothing visible changes."""

    span: Span
    screens: tuple[Screen, ...]


async def extract_scenes(context: Context, operation: Operation, lease: Lease) -> None:
    """Keep the scenes as they are found: a run that takes over goes on behind the last that was kept."""
    collection_id = operation.request["scene_collection_id"]
    async with context.db.transaction() as session:
        collection = await session.get(SceneCollection, collection_id)
        asset = await find_asset(session, operation.request["asset_id"])
        kept = len(await list_scenes(session, collection_id))
    if collection is None or asset is None:
        raise NotFound("what was to be cut into scenes has been deleted")
    async with context.storage.local_path(asset.storage_key) as path:
        async with cores.when_spare():
            spans = await asyncio.to_thread(
                cut_scenes,
                path,
                collection.extraction,
                asset.length_seconds,
                lambda part: lease.report(_CUTTING * part),
            )
        sampled = sample_scenes(path, spans[kept:])
        while batch := await _next(sampled):
            await _keep(context, asset, collection_id, batch)
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


def sample_scenes(path: Path, spans: Sequence[Span]) -> Iterator[SampledScene]:
    """The scenes of these spans one after the other, with their pictures.

    Raises `Unprocessable` for a file without pictures.
    """
    pictures = pictures_at(path, [at_us for span in spans for at_us in span.looks_us])
    shown: Screen | None = None
    for span in spans:
        seen = []
        for screen in islice(pictures, len(span.looks_us)):
            if shown is None or is_another_screen(shown.cells, screen.cells):
                shown = screen
            seen.append(shown)
        yield SampledScene(span, tuple(seen))


async def _next(sampled: Iterator[SampledScene]) -> list[SampledScene]:
    async with cores.when_spare():
        return await asyncio.to_thread(lambda: list(islice(sampled, AT_ONCE)))


async def _keep(context: Context, asset: Asset, collection_id: str, batch: Sequence[SampledScene]) -> None:
    """Pictures first, rows second."""
    screens = {screen.at_us: screen for scene in batch for screen in scene.screens}
    keys = {
        at_us: screen_key(asset.account_id, asset.id, recorded_frame_id(asset.id, at_us)) for at_us in screens
    }
    for at_us, screen in screens.items():
        data = await asyncio.to_thread(screen.jpeg)
        with suppress(ObjectExists):
            await context.storage.put_bytes(keys[at_us], data)
    async with context.db.transaction() as session:
        for at_us, screen in screens.items():
            await add_recorded_screen(
                session,
                asset.id,
                storage_key=keys[at_us],
                at_us=at_us,
                width=screen.width,
                height=screen.height,
            )
        await add_scenes(session, collection_id, [_as_cut(asset.id, scene) for scene in batch])


def _as_cut(asset_id: str, scene: SampledScene) -> CutScene:
    looks = zip(scene.span.looks_us, scene.screens, strict=True)
    return CutScene(
        scene.span.start_us,
        scene.span.end_us,
        tuple(Look(recorded_frame_id(asset_id, screen.at_us), at_us) for at_us, screen in looks),
    )


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
