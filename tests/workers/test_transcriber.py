import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import func, select

from app.base.ids import new_id
from app.base.redis import FRAMES_CHANNEL, subscribe
from app.base.speaking import OpenUtterance, add_sound, end_sound
from app.base.tasks import end_task
from app.domain.outbox.models import OutboxMessage
from app.domain.streams.models import Stream
from app.domain.transcripts.models import SpeechChunk, Utterance
from app.domain.transcripts.service import add_speech, start_transcription, take_turn
from app.engines.contract import EngineFailed
from app.media.pcm import encode_speech, in_16_bits
from app.process import Context
from tests.fixtures.eventually import eventually
from tests.fixtures.factories import make_active, make_tenant
from workers.engines.contract import SpeechCapabilities, Transcript, Word
from workers.tasks import recogniser as recognising
from workers.tasks import rescue_speech as rescuing
from workers.tasks.recogniser import Recogniser
from workers.tasks.rescue_speech import rescue_speech
from workers.transcriber import Transcriber

AT_US = 1_760_000_000_000_000
RATE_HZ = 16_000


class CountingEngine:
    """Says how many tenths of a second it heard, after `seconds`."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.seconds = 0.0
        self.failures = 0

    @property
    def capabilities(self) -> SpeechCapabilities:
        return SpeechCapabilities(frozenset({"en"}), detects_language=False, word_times=True)

    def load(self) -> None:
        """Nothing to load."""

    def transcribe(self, samples: NDArray[np.float32], *, language: str | None = None) -> Transcript:
        self.heard.append(len(samples))
        if self.failures:
            self.failures -= 1
            raise EngineFailed("busy")
        time.sleep(self.seconds)
        said = f"Tenths: {len(samples) * 10 // RATE_HZ}."
        return Transcript(said, "en", [Word(said, 0.0, len(samples) / RATE_HZ, 1.0)], [])


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> CountingEngine:
    engine = CountingEngine()
    monkeypatch.setattr(recognising, "open_speech_engine", lambda settings: engine)
    return engine


@pytest.fixture
async def streams(context: Context) -> list[str]:
    """Two streams of one session that are transcribed."""
    await context.redis.flushdb()
    _, opened = await make_active(context, await make_tenant(context), ("mic", "system_audio"))
    for stream_id in opened.values():
        async with context.db.transaction() as session:
            stream = await session.get_one(Stream, stream_id)
            await start_transcription(session, stream, engine=None, ws_connection_id=None)
    return list(opened.values())


@asynccontextmanager
async def transcribing(context: Context, *, lanes: int = 1) -> AsyncIterator[None]:
    settings = context.settings.model_copy(update={"worker_threads": lanes})
    own = Context(settings, context.db, context.redis, context.storage)
    task = asyncio.create_task(Transcriber(own, Recogniser(settings)).run())
    try:
        yield
    finally:
        await end_task(task)


async def spoken(context: Context, stream_id: str, seconds: float, number: int = 0, name: str = "") -> str:
    """An utterance that has ended; `number` says how many came before."""
    utterance_id = name or new_id("utt")
    sound = np.zeros(round(seconds * RATE_HZ), np.float32)
    await context.storage.put_bytes(f"speech/{utterance_id}", encode_speech(sound))
    async with context.db.transaction() as session:
        await add_speech(
            session,
            chunk_id=utterance_id,
            stream_id=stream_id,
            storage_key=f"speech/{utterance_id}",
            started_at_us=AT_US + number * 20_000_000,
            ended_at_us=AT_US + number * 20_000_000 + round(seconds * 1e6),
        )
    return utterance_id


async def finals(context: Context) -> list[tuple[str, str]]:
    """Stream and text of each final event, in the order of their commits."""
    async with context.db.transaction() as session:
        rows = await session.scalars(
            select(OutboxMessage.payload)
            .where(OutboxMessage.name == "transcript.final")
            .order_by(OutboxMessage.id)
        )
        return [(row["frames"][0]["rtstream_id"], row["frames"][0]["text"]) for row in rows]


async def waiting(context: Context) -> int:
    async with context.db.transaction() as session:
        return await session.scalar(select(func.count()).select_from(SpeechChunk)) or 0


async def all_done(context: Context) -> None:
    async def none_waits() -> bool:
        return await waiting(context) == 0

    await eventually(none_waits)


def running(stream_id: str) -> OpenUtterance:
    return OpenUtterance(new_id("utt"), stream_id, AT_US)


async def goes_on(context: Context, one: OpenUtterance, seconds: float, *, after: float = 0.0) -> None:
    sound = in_16_bits(np.zeros(round(seconds * RATE_HZ), np.float32)).tobytes()
    await add_sound(context.redis, one, sound, round(after * RATE_HZ) * 2, is_urgent=False)


@asynccontextmanager
async def live_frames(context: Context) -> AsyncIterator[list[dict[str, Any]]]:
    """The transcript frames that go to sockets without the relay."""
    found: list[dict[str, Any]] = []
    messages = subscribe(context.redis, FRAMES_CHANNEL)
    await anext(messages)

    async def collect() -> None:
        async for message in messages:
            # Databases of one Valkey share their channels: other tests' products are heard too.
            if message is not None and message.get("may_be_skipped"):
                found.extend(message["frames"])

    task = asyncio.create_task(collect())
    try:
        yield found
    finally:
        await end_task(task)


async def test_a_burst_of_one_stream_does_not_hold_up_another(
    context: Context, streams: list[str], engine: CountingEngine
) -> None:
    burst, other = streams
    for number in range(6):
        await spoken(context, burst, 1.0, number)
    for number in range(2):
        await spoken(context, other, 2.0, number)
    async with transcribing(context):
        await all_done(context)
    order = [stream_id for stream_id, _ in await finals(context)]
    assert order[:4] == [burst, other, burst, other]
    assert order[4:] == [burst] * 4


async def test_a_stream_is_transcribed_in_the_order_of_its_speech(
    context: Context, streams: list[str], engine: CountingEngine
) -> None:
    engine.seconds = 0.02
    for number in (3, 1, 2, 0):
        await spoken(context, streams[0], 1.0 + number, number)
    async with transcribing(context, lanes=2), transcribing(context, lanes=2):
        await all_done(context)
    texts = [text for _, text in await finals(context)]
    assert texts == [f"Tenths: {tenths}." for tenths in (10, 20, 30, 40)]
    assert len(engine.heard) == 4


async def test_a_worker_that_dies_gives_its_turn_back_at_once(
    context: Context, streams: list[str], engine: CountingEngine
) -> None:
    await spoken(context, streams[0], 1.0)
    engine.seconds = 0.2
    async with transcribing(context):
        await eventually(lambda: bool(engine.heard))
    assert await finals(context) == []  # it was ended in the middle of the work
    async with context.db.transaction() as session:
        assert await take_turn(session, streams[0]) is not None
    async with transcribing(context):
        await all_done(context)
    assert len(await finals(context)) == 1


async def test_speech_that_fails_is_put_off_and_the_others_go_on(
    context: Context, streams: list[str], engine: CountingEngine
) -> None:
    engine.failures = 1
    await spoken(context, streams[0], 1.0, 0)
    await spoken(context, streams[0], 2.0, 1)
    async with transcribing(context):
        await all_done(context)
    assert [text for _, text in await finals(context)] == ["Tenths: 20.", "Tenths: 10."]


async def test_interims_grow_and_the_sound_before_a_pause_is_heard_once(
    context: Context, streams: list[str], engine: CountingEngine
) -> None:
    one = running(streams[0])
    async with transcribing(context), live_frames(context) as frames:
        for second in range(3):
            await goes_on(context, one, 1.0, after=second)
            await eventually(lambda count=second + 1: len(frames) == count)  # type: ignore[misc]
        await end_sound(context.redis, one)
        await spoken(context, streams[0], 3.0, name=one.utterance_id)
        await all_done(context)
    assert [frame["text"] for frame in frames] == ["Tenths: 10.", "Tenths: 20.", "Tenths: 30."]
    for number, frame in enumerate(frames, start=1):
        assert frame["is_final"] is frame["data"]["is_final"] is False
        assert frame["data"]["utterance_id"] == one.utterance_id
        assert (frame["data"]["start"], frame["data"]["end"]) == (
            AT_US // 1000,
            AT_US // 1000 + number * 1000,
        )
    assert await finals(context) == [(streams[0], "Tenths: 30.")]
    assert engine.heard == [RATE_HZ, 2 * RATE_HZ, 3 * RATE_HZ]
    async with context.db.transaction() as session:
        assert list(await session.scalars(select(Utterance.id))) == [one.utterance_id]


async def test_finals_go_first_and_interims_that_are_late_are_heard_once(
    context: Context, streams: list[str], engine: CountingEngine
) -> None:
    one = running(streams[1])
    for second in range(4):
        await goes_on(context, one, 1.0, after=second)
    for number in range(5):
        await spoken(context, streams[0], 0.5, number)
    async with transcribing(context), live_frames(context) as frames:
        await eventually(lambda: len(frames) == 1)
    assert engine.heard == [RATE_HZ // 2] * 5 + [4 * RATE_HZ]
    assert frames[0]["text"] == "Tenths: 40."


async def test_nothing_interim_follows_a_final(
    context: Context, streams: list[str], engine: CountingEngine
) -> None:
    engine.seconds = 0.2
    one = running(streams[0])
    async with transcribing(context), live_frames(context) as frames:
        await goes_on(context, one, 1.0)
        await eventually(lambda: bool(engine.heard))
        await end_sound(context.redis, one)  # while its first second is being heard
        await spoken(context, streams[0], 1.5, name=one.utterance_id)
        await all_done(context)
    assert (len(engine.heard), frames) == (2, [])
    assert len(await finals(context)) == 1


async def test_interims_are_for_those_who_asked_for_a_transcript(
    context: Context, engine: CountingEngine
) -> None:
    await context.redis.flushdb()
    _, opened = await make_active(context, await make_tenant(context))
    await goes_on(context, running(opened["mic:default"]), 1.0)
    async with transcribing(context), live_frames(context) as frames:

        async def is_taken() -> bool:
            return not await context.redis.zcard("capture:speaking:waiting")

        await eventually(is_taken)
    assert (engine.heard, frames) == ([], [])


async def test_sound_of_which_some_was_lost_is_not_heard(
    context: Context, streams: list[str], engine: CountingEngine
) -> None:
    lossy, whole = running(streams[0]), running(streams[1])
    await goes_on(context, lossy, 1.0, after=1.0)
    await goes_on(context, whole, 1.0)
    async with transcribing(context), live_frames(context) as frames:
        await eventually(lambda: len(frames) == 1)
    assert frames[0]["rtstream_id"] == whole.stream_id
    assert engine.heard == [RATE_HZ]


async def test_what_an_ingest_process_had_heard_when_it_died_becomes_final_once(
    context: Context, streams: list[str], engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = running(streams[0])
    await goes_on(context, one, 1.0)
    await goes_on(context, one, 1.0, after=1.0)
    await rescue_speech(context)
    assert await waiting(context) == 0  # it may live
    monkeypatch.setattr("app.base.speaking.ABANDONED_SECONDS", 0.0)
    await asyncio.gather(rescue_speech(context), rescue_speech(context))
    assert await waiting(context) == 1
    async with transcribing(context):
        await all_done(context)
    assert await finals(context) == [(streams[0], "Tenths: 20.")]
    assert await rescuing.abandoned(context.redis) == []
