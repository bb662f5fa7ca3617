from typing import Any

import pytest
from sqlalchemy import select

from app.base.errors import Conflict, InvalidRequest
from app.base.ids import utc_now
from app.domain.outbox.models import OutboxMessage
from app.domain.streams.models import Stream
from app.domain.transcripts import service as transcripts
from app.domain.transcripts.models import SpeechChunk, Transcription, Utterance
from app.domain.transcripts.service import Spoken, list_utterances, save_utterance
from app.process import Context
from tests.fixtures.factories import (
    Tenant,
    detach,
    make_active,
    make_asset,
    make_tenant,
    say,
    stop_session,
    stream_row,
)

AT_US = 1_760_000_000_000_000
SECOND = 1_000_000


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


async def start(context: Context, stream_id: str, ws_connection_id: str | None = None) -> Transcription:
    async with context.db.transaction() as session:
        stream = await session.get_one(Stream, stream_id)
        return await transcripts.start_transcription(
            session, stream, engine="assemblyai", ws_connection_id=ws_connection_id
        )


async def stop(context: Context, stream_id: str) -> Transcription | None:
    async with context.db.transaction() as session:
        return await transcripts.stop_transcription(session, await session.get_one(Stream, stream_id))


async def running(context: Context, *stream_ids: str) -> set[str]:
    async with context.db.transaction() as session:
        return await transcripts.running_on(session, stream_ids)


async def final_events(context: Context) -> list[OutboxMessage]:
    async with context.db.transaction() as session:
        rows = await session.scalars(
            select(OutboxMessage).where(OutboxMessage.name == "transcript.final").order_by(OutboxMessage.id)
        )
        return list(rows)


async def test_start_again_changes_the_socket_and_stop_keeps_the_row(
    context: Context, tenant: Tenant
) -> None:
    _, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    assert await stop(context, stream_id) is None
    first = await start(context, stream_id, "ws-1")
    again = await start(context, stream_id, "ws-2")
    assert (again.status, again.ws_connection_id) == ("running", "ws-2")
    assert again.updated_at > first.updated_at
    assert await running(context, stream_id, "rts-none") == {stream_id}
    stopped = await stop(context, stream_id)
    assert stopped is not None
    assert (stopped.status, await running(context, stream_id)) == ("stopped", set())
    assert (await start(context, stream_id)).status == "running"


async def test_what_cannot_be_transcribed(context: Context, tenant: Tenant) -> None:
    session_id, opened = await make_active(context, tenant, ("mic", "screen"))
    with pytest.raises(InvalidRequest, match="no sound"):
        await start(context, opened["display:1"])
    await stop_session(context, session_id)
    for stream_id in opened.values():
        await detach(context, stream_id)
    with pytest.raises(Conflict, match="has stopped"):
        await start(context, opened["mic:default"])


async def test_a_chunk_gives_one_utterance_and_one_event_however_often_it_is_saved(
    context: Context, tenant: Tenant
) -> None:
    _, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    chunk_id = await say(context, stream_id, "Hello there.")
    async with context.db.transaction() as session:
        assert await session.get(SpeechChunk, chunk_id) is None
        late = SpeechChunk(id=chunk_id, stream_id=stream_id)
        await save_utterance(session, late, Spoken("Hello, again.", AT_US, AT_US + SECOND, "en", []), None)
    async with context.db.transaction() as session:
        assert list(await session.scalars(select(Utterance.text))) == ["Hello there."]
    (event,) = await final_events(context)
    assert event.payload["frames"][0]["data"]["start"] == AT_US // 1000
    assert event.payload["frames"][0]["data"]["end"] == AT_US // 1000 + 2000
    assert event.account_id == tenant.account_id
    assert event.payload["envelope"]["capture_session_id"] == event.capture_session_id
    assert event.seq == 4  # after created, starting and active


async def test_a_chunk_without_words_leaves_nothing(context: Context, tenant: Tenant) -> None:
    _, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    async with context.db.transaction() as session:
        await transcripts.add_speech(
            session, chunk_id="chk-1", stream_id=stream_id, storage_key="k", started_at_us=1, ended_at_us=2
        )
    async with context.db.transaction() as session:
        await save_utterance(session, await session.get_one(SpeechChunk, "chk-1"), None, None)
    async with context.db.transaction() as session:
        assert await session.get(SpeechChunk, "chk-1") is None
        assert (await session.scalars(select(Utterance))).all() == []
    assert await final_events(context) == []


@pytest.mark.parametrize(
    ("of_session", "of_pipeline", "of_others", "named", "excepted"),
    [
        ("ws-session", "ws-own", None, "ws-own", []),
        ("ws-session", None, None, "ws-session", []),
        (None, "ws-own", "ws-other", "ws-own", []),
        (None, None, "ws-other", None, ["ws-other"]),
        (None, None, None, None, []),
    ],
)
async def test_whose_socket_hears_it(
    context: Context,
    tenant: Tenant,
    of_session: str | None,
    of_pipeline: str | None,
    of_others: str | None,
    named: str | None,
    excepted: list[str],
) -> None:
    _, opened = await make_active(context, tenant, ws_connection_id=of_session)
    (stream_id,) = opened.values()
    await start(context, stream_id, of_pipeline)
    stranger = await make_tenant(context)
    for owner, name in [(tenant, of_others), (stranger, "ws-stranger")]:
        _, others = await make_active(context, owner)
        await start(context, *others.values(), name)
    await say(context, stream_id, "Hello.")
    (event,) = await final_events(context)
    assert event.route == {
        "collection_id": tenant.collection_id,
        "connection_id": named,
        "except_connection_ids": excepted,
    }


async def test_utterances_by_time(context: Context, tenant: Tenant) -> None:
    _, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    for number in (2, 0, 1):
        await say(context, stream_id, f"Number {number}.", at_us=AT_US + 10 * number * SECOND)

    async def texts(**asked: Any) -> tuple[str, int]:
        async with context.db.transaction() as session:
            rows, total = await list_utterances(session, stream_id=stream_id, **asked)
        return "".join(row.text[-2] for row in rows), total

    assert await texts() == ("012", 3)
    assert await texts(offset=1, limit=1) == ("1", 3)
    assert await texts(start_us=AT_US + SECOND) == ("012", 3)  # the first one is still being said
    assert await texts(start_us=AT_US + 2 * SECOND) == ("12", 2)
    assert await texts(end_us=AT_US + 10 * SECOND) == ("0", 1)
    assert await texts(since_us=AT_US) == ("12", 2)
    assert await texts(start_us=AT_US + 5 * SECOND, end_us=AT_US + 15 * SECOND) == ("1", 1)
    assert await texts(since_us=AT_US + 99 * SECOND) == ("", 0)


async def add(context: Context, stream_id: str, chunk_id: str, started_at_us: int = AT_US) -> None:
    async with context.db.transaction() as session:
        await transcripts.add_speech(
            session,
            chunk_id=chunk_id,
            stream_id=stream_id,
            storage_key=chunk_id,
            started_at_us=started_at_us,
            ended_at_us=started_at_us + SECOND,
        )


async def test_a_streams_turn_is_its_oldest_speech_and_one_workers_at_a_time(
    context: Context, tenant: Tenant
) -> None:
    _, opened = await make_active(context, tenant, ("mic", "system_audio"))
    mic, system_audio = opened["mic:default"], opened["system_audio:default"]
    await add(context, mic, "utt-later", AT_US + SECOND)
    await add(context, system_audio, "utt-other")
    await add(context, mic, "utt-first")
    async with context.db.transaction() as session:
        assert await transcripts.streams_with_speech(session) == [mic, system_audio]
        assert await transcripts.take_turn(session, mic) == "utt-first"
        async with context.db.transaction() as another:
            assert await transcripts.take_turn(another, mic) is None
            assert await transcripts.take_turn(another, system_audio) == "utt-other"
    async with context.db.transaction() as session:
        assert await transcripts.take_turn(session, mic) == "utt-first"
        await transcripts.put_off(session, "utt-first")
    async with context.db.transaction() as session:
        assert await transcripts.take_turn(session, mic) == "utt-later"
        chunk = await session.get_one(SpeechChunk, "utt-first")
        assert 0 < (chunk.due_at - utc_now()).total_seconds() <= 1


async def test_what_belongs_to_a_transcript(context: Context, tenant: Tenant) -> None:
    _, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    running_ = await start(context, stream_id)
    now_us = round(utc_now().timestamp() * 1e6)
    assert transcripts.is_asked_for(running_, now_us + SECOND)
    stopped = await stop(context, stream_id)
    assert stopped is not None
    assert transcripts.is_asked_for(stopped, now_us - SECOND)
    assert not transcripts.is_asked_for(stopped, now_us + 60 * SECOND)
    async with context.db.transaction() as session:
        stream = await session.get_one(Stream, stream_id)
        forced = await transcripts.stop_transcription(session, stream, "force")
    assert forced is not None
    assert not transcripts.is_asked_for(forced, now_us - SECOND)


@pytest.mark.parametrize("language", ["e", "english!", "en us", "en-"])
async def test_what_is_no_language(context: Context, tenant: Tenant, language: str) -> None:
    _, opened = await make_active(context, tenant)
    async with context.db.transaction() as session:
        stream = await session.get_one(Stream, opened["mic:default"])
        with pytest.raises(InvalidRequest, match="language"):
            await transcripts.start_transcription(
                session, stream, engine=None, ws_connection_id=None, language=language
            )


async def test_the_words_of_an_asset_are_replaced_and_go_with_it(context: Context, tenant: Tenant) -> None:
    asset = await make_asset(context, tenant)
    for operation_id, words in [("op-1", ["One.", "Two."]), ("op-2", ["Three."]), ("op-2", ["Three!"])]:
        async with context.db.transaction() as session:
            await transcripts.replace_asset_utterances(
                session, asset.id, operation_id, [Spoken(text, 0, SECOND, "en", []) for text in words]
            )
    async with context.db.transaction() as session:
        rows, total = await list_utterances(session, asset_id=asset.id)
        assert ([row.text for row in rows], total) == (["Three!"], 1)
        await session.delete(await session.merge(asset))
    async with context.db.transaction() as session:
        assert (await session.scalars(select(Utterance))).all() == []


async def test_a_stream_keeps_its_words_apart(context: Context, tenant: Tenant) -> None:
    _, opened = await make_active(context, tenant, ("mic", "system_audio"))
    await say(context, opened["mic:default"], "Mine.")
    async with context.db.transaction() as session:
        assert await list_utterances(session, stream_id=opened["system_audio:default"]) == ([], 0)
    assert (await stream_row(context, opened["mic:default"])).category == "mic"
