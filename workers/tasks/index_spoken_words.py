"""Finds the words of a finished video or audio, piece by piece, and makes them searchable."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from app.domain.assets.models import Asset
from app.domain.operations import service as operations
from app.domain.operations.callbacks import tell_of_success
from app.domain.operations.models import Operation
from app.domain.transcripts.recordings import (
    forget_pieces,
    list_pieces,
    live_words,
    save_piece,
    understood_until,
)
from app.domain.transcripts.service import Spoken, replace_asset_utterances
from app.media.pcm import SAMPLE_RATE_HZ, Utterance, UtteranceCutter, decode_audio_file
from app.media.unheard import left_unheard
from app.process import Context
from workers.describing.stretches import stretches
from workers.engines.registry import open_speech_engine
from workers.tasks.cores import cores
from workers.tasks.embed_passages import embed_passages
from workers.tasks.lease import Lease
from workers.tasks.spoken import sentences, spoken_from

BATCH = 4  # utterances at once: half a minute of sound, which a kill costs at most


async def index_spoken_words(context: Context, operation: Operation, lease: Lease) -> None:
    """Transcribe what of the asset's sound is not understood yet, each piece kept as it is done, and replace
    its words in one transaction."""
    language = operation.request.get("language_code") or context.settings.speech_language
    async with context.db.transaction() as session:
        asset = await session.get_one(Asset, operation.request["asset_id"])
        from_us = await understood_until(session, operation.id)
        live = [] if operation.request.get("force") else await live_words(session, asset, language)
    async with context.storage.local_path(asset.storage_key) as path:
        utterances = _cut(path, from_us)
        while batch := await asyncio.to_thread(lambda: list(islice(utterances, BATCH))):
            if asset.length_seconds:
                lease.report(batch[-1].ended_at_us / 1e6 / asset.length_seconds)
            found = await _understood(context, batch, live, language)
            await _keep(context, operation, lease, batch[-1].ended_at_us, found)
    async with context.db.transaction() as session:
        said = [*await list_pieces(session, operation.id), *live]
    spoken = sorted((one for each in said for one in sentences(each)), key=lambda one: one.start_us)
    await _save(context, operation, lease, asset.id, spoken)


async def _understood(
    context: Context, batch: Sequence[Utterance], live: Sequence[Spoken], language: str | None
) -> list[Spoken]:
    heard = [(one.start_us, one.end_us) for one in live]
    left = [part for one in batch for part in left_unheard(one, heard)]
    found = await asyncio.gather(*(_transcribe(context, one, language) for one in left))
    return [one for one in found if one is not None]


async def _keep(
    context: Context, operation: Operation, lease: Lease, end_us: int, found: Sequence[Spoken]
) -> None:
    async with context.db.transaction() as session:
        await operations.extend_lease(
            session,
            operation.id,
            worker=lease.worker,
            seconds=context.settings.export_lease_seconds,
            percentage=lease.percentage,
        )
        await save_piece(session, operation.id, end_us, found)


async def _save(
    context: Context, operation: Operation, lease: Lease, asset_id: str, spoken: Sequence[Spoken]
) -> None:
    passages, notice = stretches(spoken, operation.request.get("segmentation"))
    async with context.db.transaction() as session:
        await replace_asset_utterances(session, asset_id, operation.id, spoken, passages)
    await embed_passages(context, asset_id)  # who searches on the next line finds by meaning too
    result = {"utterances": len(spoken)} | ({"notice": notice} if notice else {})
    async with context.db.transaction() as session:
        await operations.finish(session, operation.id, worker=lease.worker, result=result)
        await forget_pieces(session, operation.id)
        await tell_of_success(session, await session.get_one(Operation, operation.id), result)


def _cut(path: Path, from_us: int) -> Iterator[Utterance]:
    """The utterances from `from_us` on, which is in a pause."""
    cutter = UtteranceCutter()
    heard = 0
    for samples in decode_audio_file(path):
        skipped = min(max(round(from_us * SAMPLE_RATE_HZ / 1e6) - heard, 0), len(samples))
        heard += skipped
        yield from cutter.feed(samples[skipped:], round(heard * 1e6 / SAMPLE_RATE_HZ))
        heard += len(samples) - skipped
    yield from cutter.flush()


async def _transcribe(context: Context, utterance: Utterance, language: str | None) -> Spoken | None:
    engine = open_speech_engine(context.settings)
    async with cores.turn(can_wait=True):
        transcript = await asyncio.to_thread(engine.transcribe, utterance.samples, language=language)
    return spoken_from(transcript, utterance.started_at_us)
