import time
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from app.base.ids import new_id
from app.domain.outbox.models import OutboxMessage
from app.domain.streams.models import Stream
from app.domain.transcripts.models import SpeechChunk, Transcription, Utterance
from app.domain.transcripts.service import StopMode, add_speech, start_transcription, stop_transcription
from app.engines.contract import EngineFailed
from app.media.pcm import encode_speech
from app.process import Context
from tests.fakes.speech_engine import ScriptedEngine
from tests.fixtures.factories import make_active, make_tenant
from tests.fixtures.indexing import make_index
from workers.engines.contract import LanguageUnsupported
from workers.tasks import recogniser as recognising
from workers.tasks.recogniser import Recogniser
from workers.tasks.transcribe_chunk import MAX_ATTEMPTS
from workers.tasks.transcribe_chunk import transcribe_chunk as transcribe_with

AT_US = 1_760_000_000_000_000
SAMPLES = np.zeros(16_000, np.float32)


@pytest.fixture
async def stream_id(context: Context) -> str:
    _, opened = await make_active(context, await make_tenant(context))
    return opened["mic:default"]


async def chunk(
    context: Context, stream_id: str, data: bytes | None = None, *, started_at_us: int = AT_US
) -> str:
    chunk_id = new_id("utt")
    await context.storage.put_bytes(f"speech/{chunk_id}", encode_speech(SAMPLES) if data is None else data)
    async with context.db.transaction() as session:
        await add_speech(
            session,
            chunk_id=chunk_id,
            stream_id=stream_id,
            storage_key=f"speech/{chunk_id}",
            started_at_us=started_at_us,
            ended_at_us=started_at_us + 1_000_000,
        )
    return chunk_id


async def transcribe_chunk(context: Context, chunk_id: str) -> None:
    await transcribe_with(context, Recogniser(context.settings), chunk_id)


def hears(monkeypatch: pytest.MonkeyPatch, engine: ScriptedEngine) -> ScriptedEngine:
    monkeypatch.setattr(recognising, "open_speech_engine", lambda settings: engine)
    return engine


async def left(context: Context) -> tuple[list[str], list[str], list[str]]:
    """What was said, and which chunks and sounds are still there."""
    async with context.db.transaction() as session:
        said = list(await session.scalars(select(Utterance.text)))
        chunks = list(await session.scalars(select(SpeechChunk.id)))
    return said, chunks, await context.storage.list_keys("speech/")


async def test_speech_becomes_words_on_the_wall_clock_and_its_sound_goes(
    context: Context, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = hears(monkeypatch, ScriptedEngine("Hello there."))
    chunk_id = await chunk(context, stream_id)
    await transcribe_chunk(context, chunk_id)
    await transcribe_chunk(context, chunk_id)  # rung for twice
    assert engine.heard == [(16_000, None)]
    assert await left(context) == (["Hello there."], [], [])
    async with context.db.transaction() as session:
        (utterance,) = (await session.scalars(select(Utterance))).all()
    assert (utterance.start_us, utterance.end_us) == (AT_US, AT_US + 900_000)
    assert utterance.words[1] == {"text": "there.", "start_us": AT_US + 500_000, "end_us": AT_US + 900_000}


async def test_sound_without_words_leaves_nothing(
    context: Context, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears(monkeypatch, ScriptedEngine(""))
    await transcribe_chunk(context, await chunk(context, stream_id))
    assert await left(context) == ([], [], [])


async def test_an_engine_that_breaks_is_asked_again_and_in_the_end_given_up(
    context: Context, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears(monkeypatch, ScriptedEngine(*[EngineFailed("out of memory")] * MAX_ATTEMPTS))
    chunk_id = await chunk(context, stream_id)
    for _ in range(MAX_ATTEMPTS - 1):
        with pytest.raises(EngineFailed):
            await transcribe_chunk(context, chunk_id)
        assert (await left(context))[1] == [chunk_id]
    await transcribe_chunk(context, chunk_id)
    assert await left(context) == ([], [], [])


async def test_an_engine_that_recovers_loses_nothing(
    context: Context, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears(monkeypatch, ScriptedEngine(EngineFailed("busy"), "Hello."))
    chunk_id = await chunk(context, stream_id)
    with pytest.raises(EngineFailed):
        await transcribe_chunk(context, chunk_id)
    await transcribe_chunk(context, chunk_id)
    assert await left(context) == (["Hello."], [], [])


async def test_what_no_retry_helps_is_given_up_at_once(
    context: Context, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears(monkeypatch, ScriptedEngine(LanguageUnsupported("no such language")))
    await transcribe_chunk(context, await chunk(context, stream_id))
    missing = await chunk(context, stream_id)
    await context.storage.delete(f"speech/{missing}")
    await transcribe_chunk(context, missing)
    await transcribe_chunk(context, await chunk(context, stream_id, b"no sound at all"))
    assert await left(context) == ([], [], [])


async def test_a_stream_that_was_deleted_meanwhile_gets_no_words(
    context: Context, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears(monkeypatch, ScriptedEngine("Hello."))
    chunk_id = await chunk(context, stream_id)
    async with context.db.transaction() as session:
        await session.delete(await session.get_one(Stream, stream_id))
    await transcribe_chunk(context, chunk_id)
    assert (await left(context))[:2] == ([], [])


async def transcribed(context: Context, stream_id: str, **more: str) -> None:
    async with context.db.transaction() as session:
        stream = await session.get_one(Stream, stream_id)
        await start_transcription(session, stream, engine=None, ws_connection_id=None, **more)


async def stopped(context: Context, stream_id: str, mode: StopMode) -> None:
    async with context.db.transaction() as session:
        await stop_transcription(session, await session.get_one(Stream, stream_id), mode)


async def finals(context: Context) -> list[dict[str, Any]]:
    async with context.db.transaction() as session:
        rows = await session.scalars(
            select(OutboxMessage.payload).where(OutboxMessage.name == "transcript.final")
        )
        return [row["frames"][0]["data"] for row in rows]


async def test_a_final_has_the_utterances_id_and_its_words_with_times(
    context: Context, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = hears(monkeypatch, ScriptedEngine("Hello there."))
    await transcribed(context, stream_id, language="en-US")
    chunk_id = await chunk(context, stream_id)
    await transcribe_chunk(context, chunk_id)
    assert engine.heard == [(16_000, "en-US")]
    (final,) = await finals(context)
    assert final == {
        "text": "Hello there.",
        "is_final": True,
        "start": AT_US // 1000,
        "end": AT_US // 1000 + 900,
        "utterance_id": chunk_id,
        "word_timestamps": [
            {"text": "Hello", "word": "Hello", "start": AT_US // 1000, "end": AT_US // 1000 + 400},
            {"text": "there.", "word": "there.", "start": AT_US // 1000 + 500, "end": AT_US // 1000 + 900},
        ],
    }


async def test_a_graceful_stop_lets_what_was_said_become_final_and_nothing_later(
    context: Context, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears(monkeypatch, ScriptedEngine("Said before.", "Said after."))
    await transcribed(context, stream_id)
    await transcribe_chunk(context, await chunk(context, stream_id))
    await stopped(context, stream_id, "graceful")
    later_us = time.time_ns() // 1000 + 60_000_000
    await transcribe_chunk(context, await chunk(context, stream_id, started_at_us=later_us))
    assert [one["text"] for one in await finals(context)] == ["Said before."]


async def test_a_forced_stop_drops_what_is_not_final(
    context: Context, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = hears(monkeypatch, ScriptedEngine())
    await transcribed(context, stream_id)
    chunk_id = await chunk(context, stream_id)
    await stopped(context, stream_id, "force")
    await transcribe_chunk(context, chunk_id)
    assert await left(context) == ([], [], [])
    assert (engine.heard, await finals(context)) == ([], [])


async def test_a_forced_stop_leaves_the_words_to_an_index(
    context: Context, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears(monkeypatch, ScriptedEngine("For the index."))
    await make_index(context, stream_id, extraction_type="transcript")
    await transcribed(context, stream_id)
    chunk_id = await chunk(context, stream_id)
    await stopped(context, stream_id, "force")
    await transcribe_chunk(context, chunk_id)
    assert await left(context) == (["For the index."], [], [])
    assert await finals(context) == []


async def test_a_language_that_the_model_does_not_know_is_told(
    context: Context, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears(monkeypatch, ScriptedEngine(LanguageUnsupported("no French here"), "Hello."))
    await transcribed(context, stream_id, language="fr")

    async def reason() -> str | None:
        async with context.db.transaction() as session:
            return (await session.get_one(Transcription, stream_id)).reason

    await transcribe_chunk(context, await chunk(context, stream_id))
    assert await reason() == "no French here"
    await transcribe_chunk(context, await chunk(context, stream_id))
    assert await reason() is None
