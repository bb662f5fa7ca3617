"""Says what was understood so far of an utterance that is still going on."""

import logging
from dataclasses import asdict

import numpy as np

from app.base.ids import new_id, utc_now
from app.base.speaking import OpenUtterance, publish_interim, sound_of
from app.domain.outbox.stream_events import TranscriptInterim
from app.domain.streams.models import Stream
from app.engines.contract import EngineError
from app.media.pcm import from_16_bits
from app.process import Context
from workers.tasks.recogniser import Recogniser
from workers.tasks.spoken import spoken_from
from workers.tasks.transcribe_chunk import demand_for

logger = logging.getLogger(__name__)


async def transcribe_interim(context: Context, recogniser: Recogniser, utterance: OpenUtterance) -> None:
    """Publish its words so far, unless nobody asked for them or it ends meanwhile. Raises `RedisError`."""
    sound = await sound_of(context.redis, utterance)
    if not sound:
        return
    async with context.db.transaction() as session:
        demand = await demand_for(session, utterance.stream_id, utterance.started_at_us)
        stream = await session.get(Stream, utterance.stream_id)
    if stream is None or demand is None or demand.route is None:
        return
    samples = from_16_bits(np.frombuffer(sound, np.int16))
    language = demand.language or context.settings.speech_language
    try:
        transcript = await recogniser.hear(utterance.utterance_id, samples, language)
    except EngineError as error:
        logger.debug("no interim words for %s: %s", stream.id, type(error).__name__)
        return
    spoken = spoken_from(transcript, utterance.started_at_us)
    if spoken is None:
        return
    interim = TranscriptInterim(
        stream.id,
        stream.name,
        utterance.utterance_id,
        spoken.text,
        spoken.start_us // 1000,
        spoken.end_us // 1000,
    )
    message = {
        "account_id": stream.account_id,
        "route": asdict(demand.route),
        "frames": interim.frames(new_id("evt"), utc_now()),
        "may_be_skipped": True,
    }
    await publish_interim(context.redis, utterance, message)
