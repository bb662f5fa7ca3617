"""The words of recordings: found by the real engine, kept piece by piece, or taken over from live ones."""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, update

from app.base.ids import new_id, utc_now
from app.domain.assets.models import Asset
from app.domain.assets.service import StoredFile, add_asset, new_asset_id
from app.domain.operations.models import Operation
from app.domain.passages.models import Passage
from app.domain.streams.models import Stream
from app.domain.transcripts.models import TranscribedPiece, Utterance
from app.domain.transcripts.recordings import request_words
from app.domain.transcripts.service import list_utterances, start_transcription
from app.media.pcm import SAMPLE_RATE_HZ, Samples, encode_speech
from app.process import Context
from app.storage.keys import asset_key
from tests.fixtures.factories import Tenant, events_named, make_active, make_tenant
from tests.fixtures.media import read_speech
from tests.fixtures.spoken_words import BECKETT, TWO_CITIES, word_error_rate
from workers.engines.contract import Transcript
from workers.engines.registry import open_speech_engine
from workers.tasks import index_spoken_words as task
from workers.tasks.run_operation import run_operation

ZERO_US = 1_760_000_000_000_000
SECOND = 1_000_000
KILLED = -9


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)


@dataclass
class CountedEngine:
    """The real engine, and how much it has heard."""

    real: Any
    seconds: list[float] = field(default_factory=list)

    def transcribe(self, samples: Samples, *, language: str | None = None) -> Transcript:
        self.seconds.append(len(samples) / SAMPLE_RATE_HZ)
        found: Transcript = self.real.transcribe(samples, language=language)
        return found


@pytest.fixture
def heard(context: Context, monkeypatch: pytest.MonkeyPatch) -> CountedEngine:
    engine = CountedEngine(open_speech_engine(context.settings))
    monkeypatch.setattr(task, "open_speech_engine", lambda settings: engine)
    return engine


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


async def stored(context: Context, tenant: Tenant, parts: Sequence[Samples], *, asset_id: str = "") -> Asset:
    """An audio of these sounds; its second zero is at `ZERO_US`."""
    samples = np.concatenate(parts)
    asset_id = asset_id or new_asset_id("audio")
    key = asset_key(tenant.account_id, asset_id, "r-1", "flac")
    await context.storage.put_bytes(key, encode_speech(samples))
    file = StoredFile(
        key,
        "audio/flac",
        1,
        length_seconds=len(samples) / SAMPLE_RATE_HZ,
        started_at_us=ZERO_US,
    )
    async with context.db.transaction() as session:
        return await add_asset(
            session,
            asset_id=asset_id,
            account_id=tenant.account_id,
            collection_id=tenant.collection_id,
            kind="audio",
            name="sound",
            file=file,
        )


async def asked(context: Context, asset: Asset, **more: Any) -> str:
    async with context.db.transaction() as session:
        return (await request_words(session, asset, **more)).id


async def row(context: Context, operation_id: str) -> Operation:
    async with context.db.transaction() as session:
        return await session.get_one(Operation, operation_id)


async def words_of(context: Context, asset: Asset) -> list[Utterance]:
    async with context.db.transaction() as session:
        found, _ = await list_utterances(session, asset_id=asset.id)
        return found


async def count(context: Context, table: type[Any]) -> int:
    async with context.db.transaction() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def killed_at(context: Context, operation_id: str, step: int) -> None:
    """Let a worker of its own run the operation until it is killed, and its lease run out."""
    environment = os.environ | {
        "DATABASE_URL": context.settings.database_url or "",
        "REDIS_URL": context.settings.redis_url or "",
        "CAPTURE_DATA_DIR": str(context.settings.data_dir),
        "CAPTURE_SECRET_KEY": "secret",
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fixtures.doomed_by_steps", operation_id, str(step), env=environment
    )
    assert await asyncio.wait_for(child.wait(), 60) == KILLED
    async with context.db.transaction() as session:
        await session.execute(update(Operation).values(leased_until=utc_now() - timedelta(seconds=1)))


@pytest.mark.slow
async def test_what_was_understood_before_a_kill_is_not_listened_to_again(
    context: Context, tenant: Tenant, heard: CountedEngine
) -> None:
    speech = read_speech("two_cities.wav", rate_hz=SAMPLE_RATE_HZ)
    asset = await stored(context, tenant, [silence(1), speech])
    operation_id = await asked(context, asset)
    await killed_at(context, operation_id, 6)  # the first piece is committed
    assert await count(context, TranscribedPiece) == 1
    assert await words_of(context, asset) == []
    await run_operation(context, operation_id)
    done = await row(context, operation_id)
    assert (done.status, done.attempts) == ("done", 2)
    said = await words_of(context, asset)
    text = " ".join(one.text for one in said)
    assert word_error_rate(TWO_CITIES, text) < 0.1
    assert 0 < sum(heard.seconds) < 0.8 * asset.length_seconds
    starts = [one.start_us for one in said]
    assert starts == sorted(set(starts))
    assert await count(context, TranscribedPiece) == 0
    assert await count(context, Passage) == len(said)


@pytest.mark.slow
async def test_a_kill_after_the_words_are_saved_neither_doubles_nor_loses_them(
    context: Context, tenant: Tenant, heard: CountedEngine
) -> None:
    asset = await stored(context, tenant, [read_speech("beckett.wav", rate_hz=SAMPLE_RATE_HZ)])
    operation_id = await asked(context, asset)
    await killed_at(context, operation_id, 12)  # two pieces, and the words
    assert await count(context, Utterance) == 6
    await run_operation(context, operation_id)
    assert heard.seconds == []
    said = await words_of(context, asset)
    assert word_error_rate(BECKETT, " ".join(one.text for one in said)) == 0
    assert (await row(context, operation_id)).result == {"utterances": 6}


async def test_again_is_the_same_and_force_listens_anew(
    context: Context, tenant: Tenant, heard: CountedEngine
) -> None:
    speech = read_speech("beckett.wav", rate_hz=SAMPLE_RATE_HZ)[: 6 * SAMPLE_RATE_HZ]
    asset = await stored(context, tenant, [speech])
    operation_id = await asked(context, asset, callback_url="https://receiver.example/1")
    await run_operation(context, operation_id)
    first, seconds = await words_of(context, asset), sum(heard.seconds)
    assert await asked(context, asset, callback_url="https://receiver.example/2") == operation_id
    told = await events_named(context, "operation.ended")
    assert [event.payload["callback_url"][-1] for event in told] == ["1", "2"]
    await run_operation(context, operation_id)
    assert sum(heard.seconds) == seconds
    await asked(context, asset, force=True, segmentation="llm", language="en-GB")
    await run_operation(context, operation_id)
    assert sum(heard.seconds) == 2 * seconds
    again = await words_of(context, asset)
    assert [one.text for one in again] == [one.text for one in first]
    assert {one.id for one in again}.isdisjoint({one.id for one in first})
    # What belongs together is found together; the transcript has its sentences.
    async with context.db.transaction() as session:
        (passage,) = await session.scalars(select(Passage))
    assert (passage.text, passage.start_us, passage.end_us) == (
        " ".join(one.text for one in again),
        again[0].start_us,
        again[-1].end_us,
    )


async def test_a_language_that_the_model_does_not_know_is_a_failure_that_says_so(
    context: Context, tenant: Tenant
) -> None:
    asset = await stored(context, tenant, [read_speech("beckett.wav", rate_hz=SAMPLE_RATE_HZ)])
    operation_id = await asked(context, asset, language="de")
    await run_operation(context, operation_id)
    failed = await row(context, operation_id)
    assert (failed.status, failed.attempts) == ("failed", 1)
    assert "'de'" in (failed.error or "")
    await asked(context, asset, language="en")
    await run_operation(context, operation_id)
    assert (await row(context, operation_id)).status == "done"


async def test_silence_and_noise_have_no_words(context: Context, tenant: Tenant) -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, 20 * SAMPLE_RATE_HZ).astype(np.float32)
    asset = await stored(context, tenant, [silence(20), noise])
    operation_id = await asked(context, asset)
    await run_operation(context, operation_id)
    assert (await row(context, operation_id)).result == {"utterances": 0}
    assert await words_of(context, asset) == []


async def live_utterance(context: Context, stream_id: str, text: str, start_us: int, end_us: int) -> None:
    words = text.split()
    step = (end_us - start_us) // len(words)
    async with context.db.transaction() as session:
        session.add(
            Utterance(
                id=new_id("utt"),
                stream_id=stream_id,
                source_id=new_id("chk"),
                start_us=start_us,
                end_us=end_us,
                text=text,
                language="en",
                words=[
                    {"text": word, "start_us": start_us + at * step, "end_us": start_us + (at + 1) * step}
                    for at, word in enumerate(words)
                ],
            )
        )


@pytest.mark.parametrize(
    ("transcribed", "language", "reused"), [(True, None, True), (True, "fr", False), (False, None, False)]
)
async def test_what_was_heard_live_is_not_listened_to_again(
    context: Context, tenant: Tenant, heard: CountedEngine, transcribed: bool, language: str, reused: bool
) -> None:
    _, opened = await make_active(context, tenant)
    stream_id = opened["mic:default"]
    # The transcript was started late: the last two sentences alone were heard live.
    speech = read_speech("beckett.wav", rate_hz=SAMPLE_RATE_HZ)
    asset = await stored(context, tenant, [silence(1), speech])
    async with context.db.transaction() as session:
        stream = await session.get_one(Stream, stream_id)
        stream.exported_asset_id = asset.id
        if transcribed:
            await start_transcription(session, stream, engine=None, ws_connection_id=None)
    said_us = ZERO_US + SECOND + round(5.2 * SECOND)
    await live_utterance(context, stream_id, "Said live. And again.", said_us, said_us + 20 * SECOND)
    operation_id = await asked(context, asset, language=language)
    if language == "fr":  # which the model here does not know: that it is asked is enough
        await run_operation(context, operation_id)
        assert (await row(context, operation_id)).status == "failed"
        return
    await run_operation(context, operation_id)
    texts = [one.text for one in await words_of(context, asset)]
    assert ("Said live." in " ".join(texts)) is reused
    assert texts[0].startswith("Ever tried")
    assert (len(heard.seconds) < 6) is reused
