import asyncio
import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
from sqlalchemy import select

from app.base.redis import connect_redis
from app.base.speaking import OpenUtterance, sound_of, take_waiting
from app.domain.transcripts.models import SpeechChunk
from app.ingest.sinks import speech as speech_module
from app.ingest.sinks.speech import SpeechListener
from app.media.frames import EncodedFrame
from app.media.pcm import SAMPLE_RATE_HZ, decode_speech, in_16_bits
from app.process import Context
from tests.fakes.storage import FailingStorage
from tests.fixtures.eventually import eventually
from tests.fixtures.factories import Tenant, make_active, make_tenant
from tests.fixtures.media import OPUS_RATE_HZ, START_US, opus_packets, read_speech, tone

LIMIT_SECONDS = 30


@dataclass
class Listening:
    context: Context
    storage: FailingStorage
    tenant: Tenant
    stream_id: str

    async def to(self, frames: list[EncodedFrame]) -> SpeechListener:
        listener = SpeechListener(self.context, account_id=self.tenant.account_id, stream_id=self.stream_id)
        for frame in frames:
            listener.offer(frame)
        async with asyncio.timeout(LIMIT_SECONDS):
            await listener.close()
        return listener

    async def chunks(self) -> list[SpeechChunk]:
        async with self.context.db.transaction() as session:
            rows = await session.scalars(select(SpeechChunk).order_by(SpeechChunk.started_at_us))
            return list(rows)


@pytest.fixture
async def listening(context: Context, monkeypatch: pytest.MonkeyPatch) -> Listening:
    monkeypatch.setattr(speech_module, "COLLECT_SECONDS", 0.01)
    monkeypatch.setattr(speech_module, "STORE_ATTEMPTS", 2)
    tenant = await make_tenant(context)
    _, opened = await make_active(context, tenant)
    storage = FailingStorage(context.settings.data_dir / "objects")
    with_storage = Context(context.settings, context.db, context.redis, storage)
    return Listening(with_storage, storage, tenant, opened["mic:default"])


def two_sentences() -> list[EncodedFrame]:
    """About four seconds of read speech, a second and a half of silence, and four more."""
    spoken = read_speech("two_cities.wav", rate_hz=OPUS_RATE_HZ)[: 4 * OPUS_RATE_HZ]
    quiet = np.zeros(3 * OPUS_RATE_HZ // 2, np.float32)
    return opus_packets(np.concatenate([quiet, spoken, quiet, spoken, quiet]))


async def test_speech_becomes_chunks_with_their_times(listening: Listening) -> None:
    listener = await listening.to(two_sentences())
    chunks = await listening.chunks()
    assert len(chunks) >= 2
    assert listener.lost_utterances == 0
    for chunk in chunks:
        data = b"".join([block async for block in listening.storage.read(chunk.storage_key)])
        seconds = (chunk.ended_at_us - chunk.started_at_us) / 1e6
        assert len(decode_speech(data)) / SAMPLE_RATE_HZ == pytest.approx(seconds, abs=0.1)
    starts = [(chunk.started_at_us - START_US) / 1e6 for chunk in chunks]
    assert 1.3 < starts[0] < 4.0  # after the silence at the beginning, with a little of it
    assert any(abs(start - starts[0] - 5.5) < 0.15 for start in starts)  # the same words again


async def test_an_utterance_is_heard_while_it_is_said_and_ends_under_the_same_id(
    listening: Listening,
) -> None:
    await listening.context.redis.flushdb()
    spoken = read_speech("two_cities.wav", rate_hz=OPUS_RATE_HZ)[OPUS_RATE_HZ : 6 * OPUS_RATE_HZ]
    listener = SpeechListener(
        listening.context, account_id=listening.tenant.account_id, stream_id=listening.stream_id
    )
    taken: list[OpenUtterance] = []

    async def is_waiting() -> bool:
        one = await take_waiting(listening.context.redis)
        taken.extend([one] if one else [])
        return one is not None

    frames = opus_packets(spoken)
    for frame in frames[:100]:
        listener.offer(frame)
    await eventually(is_waiting)
    first = await sound_of(listening.context.redis, taken[0])
    for frame in frames[100:180]:
        listener.offer(frame)
    await eventually(is_waiting)
    assert taken[0] == taken[1]
    second = await sound_of(listening.context.redis, taken[1])
    assert len(second) > len(first) >= SAMPLE_RATE_HZ * 2
    assert second.startswith(first)
    for frame in frames[180:]:
        listener.offer(frame)
    await listener.close()
    chunks = await listening.chunks()
    assert (chunks[0].id, chunks[0].started_at_us) == (taken[0].utterance_id, taken[0].started_at_us)
    assert await sound_of(listening.context.redis, taken[0]) == b""
    assert await listening.context.redis.keys("capture:speaking:*") == []
    data = b"".join([block async for block in listening.storage.read(chunks[0].storage_key)])
    assert in_16_bits(decode_speech(data)).tobytes().startswith(second[: len(first)])


async def test_a_broker_that_is_away_costs_interims_alone(listening: Listening) -> None:
    away = connect_redis("redis://127.0.0.1:1/0")
    listening.context = dataclasses.replace(listening.context, redis=away)
    listener = await listening.to(two_sentences())
    await away.aclose()
    assert listener.lost_utterances == 0
    assert len(await listening.chunks()) >= 2


async def test_silence_and_tones_leave_nothing(listening: Listening) -> None:
    await listening.to(opus_packets(np.zeros(3 * OPUS_RATE_HZ, np.float32)))
    await listening.to(opus_packets(tone(2.0)))
    assert await listening.chunks() == []
    assert await listening.storage.list_keys("") == []


async def test_damaged_packets_cost_themselves_alone(listening: Listening) -> None:
    frames = two_sentences()
    damaged = [
        EncodedFrame(
            frame.codec,
            b"\xff" * 3 if number % 50 == 0 else frame.data,
            frame.timestamp,
            frame.captured_at_us,
            is_keyframe=True,
        )
        for number, frame in enumerate(frames)
    ]
    await listening.to(damaged)
    assert len(await listening.chunks()) >= 2


async def test_storage_that_fails_and_comes_back_loses_nothing(listening: Listening) -> None:
    listening.storage.failures = 1
    listener = await listening.to(two_sentences())
    assert listener.lost_utterances == 0
    assert len(await listening.chunks()) == len(await listening.storage.list_keys(""))


async def test_storage_that_is_dead_costs_utterances_that_are_counted(listening: Listening) -> None:
    listening.storage.failures = float("inf")
    listener = await listening.to(two_sentences())
    assert listener.lost_utterances >= 2
    assert await listening.chunks() == []


async def test_a_database_that_comes_back_gets_the_speech(listening: Listening) -> None:
    async def rename(name: str, other: str) -> None:
        async with listening.context.db.transaction() as session:
            await (await session.connection()).exec_driver_sql(f"alter table {name} rename to {other}")

    await rename("speech_chunks", "hidden")
    listener = SpeechListener(
        listening.context, account_id=listening.tenant.account_id, stream_id=listening.stream_id
    )
    for frame in two_sentences():
        listener.offer(frame)
    closing = asyncio.create_task(listener.close())
    await eventually(lambda: listening.storage.puts > 0)
    async with asyncio.timeout(LIMIT_SECONDS):
        await rename("hidden", "speech_chunks")
        await closing
    assert listener.lost_utterances == 0
    assert len(await listening.chunks()) >= 2
