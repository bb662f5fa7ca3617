"""Turns one utterance's sound into words."""

import asyncio
import logging

from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Unprocessable
from app.domain.indexes.windows import add_spoken
from app.domain.outbox.events import Route
from app.domain.routing import pipeline_route
from app.domain.streams.models import Stream
from app.domain.transcripts.models import SpeechChunk, Transcription
from app.domain.transcripts.service import Spoken, save_utterance
from app.engines.contract import EngineError
from app.media.pcm import decode_speech
from app.process import Context
from app.storage.contract import ObjectMissing
from workers.engines.registry import open_speech_engine
from workers.tasks.cores import cores
from workers.tasks.spoken import spoken_from

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5


async def transcribe_chunk(context: Context, chunk_id: str) -> None:
    """Save and emit the chunk's words, then remove its sound. Harmless when run again."""
    async with context.db.transaction() as session:
        chunk = await session.get(SpeechChunk, chunk_id, with_for_update=True)
        if chunk is None:
            return
        chunk.attempts += 1
    try:
        sound = b"".join([block async for block in context.storage.read(chunk.storage_key)])
        spoken = await transcribe(context, sound, chunk.started_at_us)
    except (ObjectMissing, Unprocessable, EngineError) as error:
        if chunk.attempts < MAX_ATTEMPTS and error.retryable:
            raise
        logger.error("speech of %s given up: %s", chunk.stream_id, type(error).__name__)
        spoken = None
    async with context.db.transaction() as session:
        # Its stream may have been deleted meanwhile; then there is nobody to tell.
        stream = await session.get(Stream, chunk.stream_id)
        if stream is not None:
            await save_utterance(session, chunk, spoken, await _route(session, stream))
            if spoken is not None:
                await add_spoken(session, stream.id, spoken.start_us, spoken.end_us)
    await context.storage.delete(chunk.storage_key)


async def _route(session: AsyncSession, stream: Stream) -> Route | None:
    transcription = await session.get(Transcription, stream.id)
    if transcription is None:
        return None
    return await pipeline_route(session, stream, transcription.ws_connection_id)


async def transcribe(context: Context, sound: bytes, started_at_us: int) -> Spoken | None:
    """Recognise encoded speech that began at `started_at_us`; None when there are no words in it."""
    engine = open_speech_engine(context.settings)
    samples = await asyncio.to_thread(decode_speech, sound)
    async with cores:
        transcript = await asyncio.to_thread(
            engine.transcribe, samples, language=context.settings.speech_language
        )
    return spoken_from(transcript, started_at_us)
