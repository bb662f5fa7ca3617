"""Finishes utterances whose ingest process died while they were said."""

import asyncio
import logging
from contextlib import suppress

import numpy as np
from sqlalchemy.exc import IntegrityError

from app.base.speaking import OpenUtterance, abandoned, end_sound, sound_of
from app.domain.streams.models import Stream
from app.domain.transcripts.service import add_speech
from app.media.pcm import SAMPLE_RATE_HZ, encode_speech, from_16_bits
from app.process import Context
from app.storage.contract import ObjectExists
from app.storage.keys import speech_key

logger = logging.getLogger(__name__)


async def rescue_speech(context: Context) -> None:
    """Make final what was heard of them: all but their last second. Two workers may do it at once.

    Raises `RedisError`, `StorageUnavailable`, and what `DATABASE_AWAY` names.
    """
    for utterance in await abandoned(context.redis):
        sound = await sound_of(context.redis, utterance)
        if sound:
            await _finish(context, utterance, sound)
        await end_sound(context.redis, utterance)


async def _finish(context: Context, utterance: OpenUtterance, sound: bytes) -> None:
    async with context.db.transaction() as session:
        stream = await session.get(Stream, utterance.stream_id)
    if stream is None:
        return
    samples = from_16_bits(np.frombuffer(sound, np.int16))
    key = speech_key(stream.account_id, stream.id, utterance.utterance_id)
    with suppress(ObjectExists):
        await context.storage.put_bytes(key, await asyncio.to_thread(encode_speech, samples))
    # Its own process may have saved it after all: the same id makes nothing twice.
    with suppress(IntegrityError):
        async with context.db.transaction() as session:
            await add_speech(
                session,
                chunk_id=utterance.utterance_id,
                stream_id=stream.id,
                storage_key=key,
                started_at_us=utterance.started_at_us,
                ended_at_us=utterance.started_at_us + round(len(samples) * 1e6 / SAMPLE_RATE_HZ),
            )
        logger.info("speech of %s goes on without its ingest process", stream.id)
