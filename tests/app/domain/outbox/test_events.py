from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import asyncpg
import pytest

from app.domain.outbox.account_events import EndpointDisabled, OperationEnded, Ping
from app.domain.outbox.envelope import iso
from app.domain.outbox.events import (
    EVENT_NAMES,
    LIFECYCLE_NAMES,
    NOTIFY_CHANNEL,
    UNASKED_NAMES,
    Event,
    Route,
    emit,
)
from app.domain.outbox.jobs import Job, enqueue
from app.domain.outbox.models import OutboxMessage
from app.domain.outbox.session_events import ExportReady, SessionMoved
from app.domain.outbox.stream_events import AlertFired, SceneRecorded, TranscriptFinal
from app.domain.sessions.states import Status
from app.process import Context
from tests.fixtures.factories import jobs_of

AT = datetime(2026, 1, 20, 12, 34, 56, 789_400, tzinfo=UTC)
MOVED = SessionMoved("cap-1", "user-1", "active", {"rtstreams": []})
SAID = TranscriptFinal("rts-1", "mic:default", "utt-1", "Hello.", 1_760_000_000_123, 1_760_000_001_456)
READY = ExportReady(
    "cap-1", "display:2", {"video_id": "m-1", "stream_url": "http://x", "player_url": "http://y"}
)
SHOWN = SceneRecorded(
    "rts-1", "display:1", "idx-1", "visual", "A terminal.", 1, 2, ("visual_index", "scene_index")
)
FIRED = AlertFired(
    *("alert-1", "ev-1", "error", "idx-1", "rts-1", "display:1", 0.9, "it says so", "Error: 1", 1, 2),
    {"stream_url": "http://x", "player_url": "http://y"},
)
DISABLED = EndpointDisabled("we-1", "it answered 410 Gone", "cap-1")
ENDED = OperationEnded("op-1", {"success": True, "data": {"id": "m-1"}})
EXAMPLES: list[Event] = [MOVED, SAID, READY, SHOWN, FIRED, DISABLED, ENDED, Ping("we-1")]


def test_every_event_of_the_catalogue_has_an_example_here() -> None:
    assert {type(example) for example in EXAMPLES} == set(get_args(Event))


def test_times_are_utc_with_milliseconds() -> None:
    assert iso(AT) == "2026-01-20T12:34:56.789Z"
    assert iso(AT.astimezone(timezone(timedelta(hours=2)))) == "2026-01-20T12:34:56.789Z"


def test_the_body_of_a_session_webhook() -> None:
    assert MOVED.envelope("evt-1", AT) == {
        "id": "evt-1",
        "event_id": "evt-1",
        "version": "2",
        "event": "capture_session.active",
        "timestamp": "2026-01-20T12:34:56.789Z",
        "capture_session_id": "cap-1",
        "end_user_id": "user-1",
        "status": "active",
        "data": {"rtstreams": []},
    }


def test_the_frame_of_a_session_says_its_status_twice() -> None:
    (frame,) = MOVED.frames("evt-1", AT)
    assert (frame["channel"], frame["event"], frame["status"]) == (
        "capture_session",
        "capture_session.active",
        "active",
    )
    assert frame["session_id"] == frame["capture_session_id"] == "cap-1"
    assert frame["data"] == {"status": "active", "event": "capture_session.active", "rtstreams": []}


def test_the_frame_of_an_utterance_serves_flat_and_nested_readers() -> None:
    (frame,) = SAID.frames("evt-1", AT)
    assert (frame["channel"], frame["type"], frame["text"], frame["is_final"]) == (
        "transcript",
        "transcript",
        "Hello.",
        True,
    )
    assert (frame["rtstream_id"], frame["rtstream_name"]) == ("rts-1", "mic:default")
    assert (frame["data"]["text"], frame["data"]["is_final"]) == ("Hello.", True)
    assert (frame["data"]["start"], frame["data"]["end"]) == (1_760_000_000_123, 1_760_000_001_456)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_no_frame_has_an_id_that_hides_its_streams(example: Event) -> None:
    for frame in example.frames("evt-1", AT):
        assert "id" not in frame
        assert frame["event_id"] == "evt-1"


def test_the_callback_of_an_alert_has_the_fields_of_the_contract() -> None:
    assert FIRED.envelope("evt-1", AT) == {
        "id": "evt-1",
        "event": "alert.fired",
        "event_id": "ev-1",
        "label": "error",
        "alert_id": "alert-1",
        "index_id": "idx-1",
        "rtstream_id": "rts-1",
        "rtstream_name": "display:1",
        "confidence": 0.9,
        "explanation": "it says so",
        "text": "Error: 1",
        "timestamp": "2026-01-20T12:34:56.789Z",
        "start_time": 0.001,
        "end_time": 0.002,
        "stream_url": "http://x",
        "player_url": "http://y",
    }


def test_the_catalogue_names_every_event() -> None:
    assert set(LIFECYCLE_NAMES) == {f"capture_session.{status}" for status in Status}
    assert {example.name for example in EXAMPLES} <= set(EVENT_NAMES)
    assert SAID.name not in UNASKED_NAMES


async def test_an_event_is_kept_as_envelope_and_as_frames(context: Context) -> None:
    for example in EXAMPLES:
        async with context.db.transaction() as session:
            row = await emit(session, example, account_id="acc-1", route=Route("c-1", "ws-1"), seq=None)
        assert row.payload["envelope"]["id"] == row.message_id
        # An alert's readers expect its rule there (contract §2.5).
        assert example is FIRED or row.payload["envelope"]["event_id"] == row.message_id
        assert row.payload["envelope"]["event"] == row.name
        assert row.route == {
            "collection_id": "c-1",
            "connection_id": "ws-1",
            "except_connection_ids": (),
        }
        assert {frame["event_id"] for frame in row.payload["frames"]} <= {row.message_id}


async def test_the_bell_rings_with_the_commit_and_not_without(context: Context) -> None:
    assert context.settings.database_url
    listener = await asyncpg.connect(context.settings.database_url.replace("+asyncpg", ""), timeout=5)
    rings: list[Any] = []
    await listener.add_listener(NOTIFY_CHANNEL, lambda *ring: rings.append(ring))

    async def emit_and_break() -> None:
        async with context.db.transaction() as session:
            await emit(session, SAID, account_id="acc-1", route=Route("c-1"))
            raise LookupError

    try:
        with pytest.raises(LookupError):
            await emit_and_break()
        async with context.db.transaction() as session:
            await emit(session, SAID, account_id="acc-1", route=Route("c-1"))
            await enqueue(session, Job.KEEP_HOUSE, "")
            assert await listener.fetchval("select 1") == 1
            assert rings == []
        # One answer after the commit, and its notification is in.
        assert await listener.fetchval("select count(*) from outbox") == 2
        assert len(rings) == 1
    finally:
        await listener.close(timeout=5)
    async with context.db.transaction() as session:
        assert await session.get(OutboxMessage, 1) is None  # its id was given, and rolled back


async def test_a_job_is_a_row_of_its_transaction(context: Context) -> None:
    async with context.db.transaction() as session:
        await enqueue(session, Job.REQUEST_EXPORT, "cap-1")
    assert await jobs_of(context, "request_export") == ["cap-1"]
