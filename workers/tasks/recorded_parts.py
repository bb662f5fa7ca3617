"""What an index of a recording is made of: its scenes, those that its owner gave, or what is said in it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.base.errors import Unprocessable
from app.domain.assets.models import Asset
from app.domain.indexes.models import SceneIndex
from app.domain.scenes.service import list_scenes
from app.domain.transcripts.service import list_utterances
from app.engines.contract import EngineError
from app.media.scenes import Span
from app.process import Context
from workers.describing.screens import Description
from workers.describing.wording import Worded
from workers.engines.registry import open_screen_text_engine
from workers.tasks.index_screens import word_frames
from workers.tasks.index_speech import segments_of, word_said
from workers.tasks.recorded_pictures import keep_pictures, next_scenes, sample_scenes

NO_SPEECH = "Nothing is said in this recording."


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording under an index, and what was asked of it (domain/scenes/indexing.py)."""

    context: Context
    index: SceneIndex
    asset: Asset
    request: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """What becomes one record: its times in microseconds, and how it is described; None where that which it
    shows was deleted. `frame_ids` are read for that, `metadata` is what the owner gave it."""

    source_id: str
    start_us: int
    end_us: int
    describe: Callable[[], Awaitable[Worded | None]]
    metadata: Mapping[str, Any]
    frame_ids: Sequence[str] = ()


async def scene_parts(recording: Recording) -> tuple[list[Part], str | None]:
    """The recording's scenes. Raises `Unprocessable` where nothing is there that reads screens."""
    request = recording.request
    if "scenes" in request:
        return await _given_parts(recording, request["scenes"]), None
    await require_reader(recording.context)
    async with recording.context.db.transaction() as session:
        scenes = await list_scenes(session, request["scene_collection_id"])
    seen = [_once(look["frame_id"] for look in scene.frames) for scene in scenes]
    return [
        Part(
            f"scene:{scene.start_us}",
            scene.start_us,
            scene.end_us,
            partial(_worded, recording, frame_ids, before[-1] if before else None),
            request["metadata"],
            frame_ids,
        )
        for scene, frame_ids, before in zip(scenes, seen, [[], *seen], strict=False)
    ], None


async def spoken_parts(recording: Recording) -> tuple[list[Part], str | None]:
    """What is said in the recording, cut as the index asks."""
    async with recording.context.db.transaction() as session:
        rows, _ = await list_utterances(session, asset_id=recording.asset.id)
    parts = [
        Part(
            f"speech:{said.start_us}",
            said.start_us,
            said.end_us,
            partial(word_said, recording.context, recording.index.prompt, said, can_wait=True),
            recording.request["metadata"],
        )
        for said in segments_of(rows, recording.index.extraction["config"])
    ]
    return parts, None if parts else NO_SPEECH


async def _given_parts(recording: Recording, given: Sequence[Mapping[str, Any]]) -> list[Part]:
    """Scenes as their owner cut them; those without a description are looked at, and described."""
    unseen = [scene for scene in given if not scene["description"]]
    if unseen:
        await require_reader(recording.context)
    seen = await _look_at(recording, unseen)
    return [
        Part(
            f"given:{number}",
            scene["start_us"],
            scene["end_us"],
            partial(_as_given, scene["description"])
            if scene["description"]
            else partial(_worded, recording, seen[scene["start_us"], scene["end_us"]], None),
            recording.request["metadata"] | scene["metadata"],
        )
        for number, scene in enumerate(given)
    ]


async def _look_at(
    recording: Recording, scenes: Sequence[Mapping[str, Any]]
) -> dict[tuple[int, int], list[str]]:
    """The frames of these scenes, by their ends."""
    spans = [Span(one["start_us"], one["end_us"], tuple(one["looks_us"])) for one in scenes]
    found = {}
    async with recording.context.storage.local_path(recording.asset.storage_key) as path:
        for span in spans:  # which may overlap
            for scene in await keep_pictures(
                recording.context, recording.asset, await next_scenes(sample_scenes(path, [span]))
            ):
                found[scene.start_us, scene.end_us] = _once(look.frame_id for look in scene.looks)
    return found


async def _worded(recording: Recording, frame_ids: Sequence[str], before_id: str | None) -> Worded | None:
    return await word_frames(
        recording.context, recording.index.prompt, frame_ids, before_id=before_id, can_wait=True
    )


async def _as_given(text: str) -> Worded:
    return Worded(Description(text, {"is_given": True}))


async def require_reader(context: Context) -> None:
    """Raises `Unprocessable` where nothing reads screens: every one would seem to show no text."""
    try:
        await asyncio.to_thread(open_screen_text_engine(context.settings).load)
    except EngineError as error:
        raise Unprocessable(f"Screens cannot be read here: {error.message}") from error


def _once(frame_ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(frame_ids))
