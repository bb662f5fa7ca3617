"""Builds an index of a recording: its scenes, or what is said in it, described as the prompt asks."""

import asyncio
from collections.abc import Sequence

from app.base.errors import NotFound
from app.domain.assets.service import find_asset
from app.domain.indexes.models import SceneIndex
from app.domain.indexes.service import Found
from app.domain.operations import service as operations
from app.domain.operations.callbacks import tell_of_success
from app.domain.operations.models import Operation
from app.domain.scenes.indexing import index_built, index_failed, keep_found, known_sources
from app.process import Context
from workers.tasks.embed_passages import embed_passages
from workers.tasks.extract_scenes import extract_scenes, extracting_failed
from workers.tasks.index_spoken_words import index_spoken_words
from workers.tasks.lease import Lease
from workers.tasks.leased import finish_first
from workers.tasks.read_screen import read_in_turn
from workers.tasks.recorded_parts import Part, Recording, scene_parts, spoken_parts

AT_ONCE = 4  # parts that are described side by side, and kept together
_FIRST = 0.2  # of the work: cutting into scenes, or finding the words


async def index_recording(context: Context, operation: Operation, lease: Lease) -> None:
    """Keep records as they are made: a run that takes over makes those that are missing."""
    recording = await _opened(context, operation)
    index_id, visual = recording.index.id, recording.index.kind == "visual"
    if "first" in operation.request:
        await finish_first(
            context,
            operation.request["first"],
            extract_scenes if visual else index_spoken_words,
            extracting_failed if visual else _nothing_to_tell,
            lambda part: lease.report(_FIRST * part),
        )
    parts, notice = await (scene_parts if visual else spoken_parts)(recording)
    async with context.db.transaction() as session:
        known = await known_sources(session, index_id)
    for at in range(0, len(parts), AT_ONCE):
        missing = [part for part in parts[at : at + AT_ONCE] if part.source_id not in known]
        notice = await _describe(recording, missing) or notice
        lease.report(_FIRST + (1 - _FIRST) * at / len(parts))
    await embed_passages(context, recording.asset.id)  # who searches on the next line finds by meaning too
    async with context.db.transaction() as session:
        facts = await index_built(session, index_id, notice)
        await operations.finish(session, operation.id, worker=lease.worker, result=facts)
        await tell_of_success(session, await session.get_one(Operation, operation.id), facts)


async def indexing_failed(context: Context, operation: Operation) -> None:
    """Say so in the index, where it is still there."""
    async with context.db.transaction() as session:
        row = await session.get(Operation, operation.id)
        await index_failed(session, operation.request["index_id"], row.error if row else None)


async def _nothing_to_tell(context: Context, operation: Operation) -> None:
    """That words could not be found is kept by their operation alone."""


async def _opened(context: Context, operation: Operation) -> Recording:
    request = operation.request
    async with context.db.transaction() as session:
        index = await session.get(SceneIndex, request["index_id"])
        asset = await find_asset(session, request["asset_id"])
    if index is None or asset is None:
        raise NotFound("what was to be indexed has been deleted")
    return Recording(context, index, asset, request)


async def _describe(recording: Recording, parts: Sequence[Part]) -> str | None:
    """Describe these and keep them; returns what that was done without."""
    unread = dict.fromkeys(frame_id for part in parts for frame_id in part.frame_ids)
    await asyncio.gather(*(read_in_turn(recording.context, one, can_wait=True) for one in unread))
    worded = await asyncio.gather(*(part.describe() for part in parts))
    found, notice = [], None
    for part, one in zip(parts, worded, strict=True):
        if one is not None:  # else its pictures were deleted
            details = one.description.details | ({"metadata": part.metadata} if part.metadata else {})
            found.append(Found(part.source_id, part.start_us, part.end_us, one.description.text, details))
            notice = one.notice or notice
    async with recording.context.db.transaction() as session:
        await keep_found(session, recording.index.id, found)
    return notice
