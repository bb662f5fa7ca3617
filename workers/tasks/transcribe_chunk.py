"""Turns one utterance's sound into words."""

import asyncio
import logging
from dataclasses import dataclass

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Unprocessable
from app.domain.indexes.models import SceneIndex
from app.domain.indexes.windows import add_spoken
from app.domain.outbox.events import Route
from app.domain.routing import pipeline_route
from app.domain.streams.models import Stream
from app.domain.transcripts.models import SpeechChunk, Transcription
from app.domain.transcripts.service import Spoken, is_asked_for, save_utterance
from app.engines.contract import EngineError
from app.media.pcm import decode_speech
from app.process import Context
from app.storage.contract import ObjectMissing
from workers.tasks.recogniser import Recogniser
from workers.tasks.spoken import spoken_from

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Demand:
    """Who wants what was said: the sockets of `route`, where a transcript is asked for, and audio indexes."""

    route: Route | None
    by_indexes: bool
    language: str | None


async def transcribe_chunk(context: Context, recogniser: Recogniser, chunk_id: str) -> None:
    """Save and emit the chunk's words, then remove its sound. Harmless when run again.

    Raises what may pass by itself: then the chunk waits for another attempt.
    """
    async with context.db.transaction() as session:
        chunk = await session.get(SpeechChunk, chunk_id, with_for_update=True)
        if chunk is None:
            return
        chunk.attempts += 1
        demand = await demand_for(session, chunk.stream_id, chunk.started_at_us)
    spoken, reason = None, None
    if demand is not None:
        try:
            spoken = await _transcribe(context, recogniser, chunk, demand.language)
        except (ObjectMissing, Unprocessable, EngineError) as error:
            if chunk.attempts < MAX_ATTEMPTS and error.retryable:
                raise
            logger.error("speech of %s given up: %s", chunk.stream_id, type(error).__name__)
            reason = error.message if isinstance(error, EngineError) else None
    async with context.db.transaction() as session:
        # Meanwhile its stream may have been deleted, or its transcription stopped by force.
        demand = await demand_for(session, chunk.stream_id, chunk.started_at_us)
        await save_utterance(session, chunk, spoken if demand else None, demand.route if demand else None)
        if demand is not None and spoken is not None:
            await add_spoken(session, chunk.stream_id, spoken.start_us, spoken.end_us)
        transcription = await session.get(Transcription, chunk.stream_id) if demand else None
        if transcription is not None and transcription.status == "running":
            transcription.reason = reason
    await context.storage.delete(chunk.storage_key)


async def demand_for(session: AsyncSession, stream_id: str, started_at_us: int) -> Demand | None:
    """Who wants words of the stream that were begun at this Unix time; None where nobody does."""
    stream = await session.get(Stream, stream_id)
    if stream is None:
        return None
    by_indexes = await session.scalar(
        select(exists().where(SceneIndex.stream_id == stream.id, SceneIndex.kind == "audio"))
    )
    transcription = await session.get(Transcription, stream.id)
    if transcription is None or not is_asked_for(transcription, started_at_us):
        was_forced = transcription is not None and transcription.stop_mode == "force"
        return None if was_forced and not by_indexes else Demand(None, bool(by_indexes), None)
    route = await pipeline_route(session, stream, transcription.ws_connection_id)
    return Demand(route, bool(by_indexes), transcription.language)


async def _transcribe(
    context: Context, recogniser: Recogniser, chunk: SpeechChunk, language: str | None
) -> Spoken | None:
    sound = b"".join([block async for block in context.storage.read(chunk.storage_key)])
    samples = await asyncio.to_thread(decode_speech, sound)
    transcript = await recogniser.hear(chunk.id, samples, language or context.settings.speech_language)
    return spoken_from(transcript, chunk.started_at_us)
