"""How fast a running product works off speech that has piled up."""

import asyncio
import time
from collections.abc import Sequence

from sqlalchemy import func, select

from app.base.ids import new_id
from app.base.settings import Settings
from app.domain.transcripts.models import SpeechChunk
from app.domain.transcripts.service import add_speech
from app.media.pcm import SAMPLE_RATE_HZ, Utterance, encode_speech
from app.process import Context, open_context
from app.storage.keys import speech_key
from tests.fixtures.factories import make_active, make_tenant

STREAMS = 4
LIMIT_SECONDS = 240.0


async def work_off(settings: Settings, utterances: Sequence[Utterance]) -> float:
    """Seconds of sound a second, of the utterances on each of several streams."""
    context = open_context(settings)
    try:
        return await _work_off(context, utterances)
    finally:
        await context.close()


async def _work_off(context: Context, utterances: Sequence[Utterance]) -> float:
    tenant = await make_tenant(context)
    opened = [(await make_active(context, tenant))[1]["mic:default"] for _ in range(STREAMS)]
    pile = []
    for stream_id in opened:
        for one in utterances:
            key = speech_key(tenant.account_id, stream_id, new_id("utt"))
            await context.storage.put_bytes(key, encode_speech(one.samples))
            pile.append((stream_id, key, one))
    begun = time.perf_counter()
    async with context.db.transaction() as session:
        for stream_id, key, one in pile:
            await add_speech(
                session,
                chunk_id=new_id("utt"),
                stream_id=stream_id,
                storage_key=key,
                started_at_us=one.started_at_us,
                ended_at_us=one.ended_at_us,
            )
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            async with context.db.transaction() as session:
                if not await session.scalar(select(func.count()).select_from(SpeechChunk)):
                    break
            await asyncio.sleep(0.05)
    length = sum(len(one.samples) for _, _, one in pile) / SAMPLE_RATE_HZ
    return length / (time.perf_counter() - begun)
