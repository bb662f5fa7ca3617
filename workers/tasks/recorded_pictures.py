"""Pictures out of a recording on their way to storage."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from app.domain.assets.models import Asset
from app.domain.scenes.service import CutScene, Look, add_recorded_screen, recorded_frame_id
from app.media.scenes import Span, pictures_at
from app.media.screens import Screen, is_another_screen
from app.process import Context
from app.storage.contract import ObjectExists
from app.storage.keys import screen_key
from workers.tasks.cores import cores

AT_ONCE = 4  # scenes: a second or two of work, some megabytes of pictures


@dataclass(frozen=True, slots=True)
class SampledScene:
    """A scene with its pictures; the same object for as long as nothing visible changes."""

    span: Span
    screens: tuple[Screen, ...]


def sample_scenes(path: Path, spans: Sequence[Span], since_us: int | None = None) -> Iterator[SampledScene]:
    """The scenes of these spans one after the other, with their pictures; the first may be still that of
    `since_us`, before them.

    Raises `Unprocessable` for a file without pictures.
    """
    looks_us = [at_us for span in spans for at_us in span.looks_us]
    pictures = pictures_at(path, looks_us if since_us is None else [since_us, *looks_us])
    shown = next(pictures) if since_us is not None else None
    for span in spans:
        seen = []
        for screen in islice(pictures, len(span.looks_us)):
            if shown is None or is_another_screen(shown.cells, screen.cells):
                shown = screen
            seen.append(shown)
        yield SampledScene(span, tuple(seen))


async def next_scenes(sampled: Iterator[SampledScene]) -> list[SampledScene]:
    """The next few scenes; none behind the last."""
    async with cores.turn(can_wait=True):
        return await asyncio.to_thread(lambda: list(islice(sampled, AT_ONCE)))


async def keep_pictures(context: Context, asset: Asset, batch: Sequence[SampledScene]) -> list[CutScene]:
    """Store the scenes' pictures, objects first, rows second; each once, however often it is done."""
    screens = {screen.at_us: screen for scene in batch for screen in scene.screens}
    keys = {
        at_us: screen_key(asset.account_id, asset.id, recorded_frame_id(asset.id, at_us)) for at_us in screens
    }
    for at_us, screen in screens.items():
        async with cores.turn(can_wait=True):
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
    return [_as_cut(asset.id, scene) for scene in batch]


def _as_cut(asset_id: str, scene: SampledScene) -> CutScene:
    looks = zip(scene.span.looks_us, scene.screens, strict=True)
    return CutScene(
        scene.span.start_us,
        scene.span.end_us,
        tuple(Look(recorded_frame_id(asset_id, screen.at_us), at_us) for at_us, screen in looks),
    )
