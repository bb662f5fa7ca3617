"""Finds the words of a finished video or audio."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from app.domain.assets.models import Asset
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.domain.transcripts.service import Spoken, replace_asset_utterances
from app.media.pcm import SAMPLE_RATE_HZ, Utterance, UtteranceCutter, decode_audio_file
from app.process import Context
from workers.engines.registry import open_speech_engine
from workers.tasks.cores import cores
from workers.tasks.embed_passages import embed_passages
from workers.tasks.lease import Lease
from workers.tasks.spoken import sentences, spoken_from

BATCH = 8  # utterances in memory at once: a minute or two of sound


async def index_spoken_words(context: Context, operation: Operation, lease: Lease) -> None:
    """Transcribe the asset's sound, utterance by utterance, and replace its words in one transaction."""
    async with context.db.transaction() as session:
        asset = await session.get_one(Asset, operation.request["asset_id"])
    language = operation.request.get("language_code") or context.settings.speech_language
    spoken: list[Spoken] = []
    async with context.storage.local_path(asset.storage_key) as path:
        utterances = _cut(path)
        while batch := await asyncio.to_thread(lambda: list(islice(utterances, BATCH))):
            found = await asyncio.gather(*(_transcribe(context, one, language) for one in batch))
            spoken += [sentence for one in found if one is not None for sentence in sentences(one)]
            if asset.length_seconds:
                lease.report(batch[-1].ended_at_us / 1e6 / asset.length_seconds)
    async with context.db.transaction() as session:
        await replace_asset_utterances(session, asset.id, operation.id, spoken)
    await embed_passages(context, asset.id)  # who searches on the next line finds by meaning too
    async with context.db.transaction() as session:
        await operations.finish(
            session, operation.id, worker=lease.worker, result={"utterances": len(spoken)}
        )


def _cut(path: Path) -> Iterator[Utterance]:
    cutter = UtteranceCutter()
    heard = 0
    for samples in decode_audio_file(path):
        yield from cutter.feed(samples, round(heard * 1e6 / SAMPLE_RATE_HZ))
        heard += len(samples)
    yield from cutter.flush()


async def _transcribe(context: Context, utterance: Utterance, language: str | None) -> Spoken | None:
    engine = open_speech_engine(context.settings)
    async with cores:
        transcript = await asyncio.to_thread(engine.transcribe, utterance.samples, language=language)
    return spoken_from(transcript, utterance.started_at_us)
