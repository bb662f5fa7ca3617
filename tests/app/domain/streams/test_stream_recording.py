from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.base.errors import NotFound
from app.base.ids import new_id, utc_now
from app.domain.sessions.models import CaptureSession
from app.domain.sessions.states import Status
from app.domain.streams import recording
from app.domain.streams.models import Segment, StreamSpool
from app.domain.streams.publishing import attach_publisher, lose_publisher
from app.process import Context
from tests.fixtures.factories import (
    PUBLISHER,
    detach,
    events_of,
    jobs_of,
    make_active,
    make_tenant,
    put_status,
    status_of,
    stop_session,
    stream_row,
)
from workers.tasks.keep_house import keep_house

SPOOL = "spl-1"


async def open_spool(context: Context, stream_id: str, spool: str = SPOOL) -> None:
    async with context.db.transaction() as session:
        await recording.spool_opened(session, stream_id, spool)


async def empty_spool(context: Context, stream_id: str, spool: str = SPOOL) -> bool:
    async with context.db.transaction() as session:
        return await recording.spool_emptied(session, stream_id, spool)


async def spools_of(context: Context, stream_id: str) -> list[str]:
    async with context.db.transaction() as session:
        return list(
            await session.scalars(select(StreamSpool.spool).where(StreamSpool.stream_id == stream_id))
        )


async def test_a_session_is_stopped_when_its_last_spool_is_empty(context: Context) -> None:
    session_id, streams = await make_active(context, await make_tenant(context), ("mic", "display:1"))
    mic, display = streams.values()
    for stream_id, spool in ((mic, SPOOL), (mic, "spl-2"), (display, SPOOL)):
        await open_spool(context, stream_id, spool)
        await open_spool(context, stream_id, spool)  # the publisher came back
    await stop_session(context, session_id)
    for stream_id in (mic, display):
        await detach(context, stream_id)
    assert await empty_spool(context, display)
    assert await empty_spool(context, mic)
    assert (await stream_row(context, display)).status == "stopped"
    assert (await stream_row(context, mic)).status == "connected"
    assert await status_of(context, session_id) == "stopping"
    assert await jobs_of(context, "request_export") == []
    assert await empty_spool(context, mic, "spl-2")
    assert await status_of(context, session_id) == "stopped"
    assert await jobs_of(context, "request_export") == [session_id]
    assert await empty_spool(context, mic)  # said again by a process that took it up


async def test_a_spool_whose_stream_is_published_may_be_filled_again(context: Context) -> None:
    _, streams = await make_active(context, await make_tenant(context))
    (mic,) = streams.values()
    await open_spool(context, mic)
    assert not await empty_spool(context, mic)
    assert await spools_of(context, mic) == [SPOOL]
    await detach(context, mic, ended=False)
    assert await empty_spool(context, mic)
    assert await spools_of(context, mic) == []
    assert await empty_spool(context, "rts-deleted")


async def test_housekeeping_waits_for_a_spool_as_long_as_for_a_publisher(context: Context) -> None:
    session_id, streams = await make_active(context, await make_tenant(context))
    (mic,) = streams.values()
    await open_spool(context, mic)
    await detach(context, mic, ended=False)
    await stop_session(context, session_id)
    for waited, status in ((60, "stopping"), (context.settings.resume_seconds + 1, "stopped")):
        async with context.db.transaction() as session:
            await session.execute(
                update(CaptureSession)
                .where(CaptureSession.id == session_id)
                .values(status_changed_at=utc_now() - timedelta(seconds=waited))
            )
        await keep_house(context, "")
        assert await status_of(context, session_id) == status


async def test_a_failed_recording_fails_its_session_once_and_ends_its_streams(context: Context) -> None:
    session_id, streams = await make_active(context, await make_tenant(context), ("mic", "display:1"))
    for stream_id in streams.values():
        async with context.db.transaction() as session:
            await recording.fail_recording(session, stream_id, "disk_full", "the server's disk is full")
        assert (await stream_row(context, stream_id)).status == "stopped"
    events = [event.payload["envelope"] for event in await events_of(context, session_id)]
    failed = [event for event in events if event["event"] == "capture_session.failed"]
    assert len(failed) == 1
    assert failed[0]["data"]["error"] == {"code": "disk_full", "message": "the server's disk is full"}


async def test_a_session_that_has_ended_stays_as_it_ended(context: Context) -> None:
    session_id, streams = await make_active(context, await make_tenant(context))
    (mic,) = streams.values()
    async with context.db.transaction() as session:
        await put_status(session, session_id, Status.EXPORTED)
        await recording.fail_recording(session, mic, "disk_full", "the server's disk is full")
    assert await status_of(context, session_id) == "exported"


async def test_a_segment_is_registered_once_and_for_a_stream_that_exists(context: Context) -> None:
    _, streams = await make_active(context, await make_tenant(context))
    (mic,) = streams.values()
    segment_id = new_id("seg")

    def row(stream_id: str) -> Segment:
        return Segment(
            id=segment_id,
            stream_id=stream_id,
            storage_key=f"acc/{segment_id}.mp4",
            codec="opus",
            started_at_us=1_760_000_000_000_000,
            duration_us=4_000_000,
            size_bytes=1000,
            frame_count=200,
            starts_with_keyframe=True,
        )

    for _ in range(2):
        async with context.db.transaction() as session:
            await recording.add_segment(session, row(mic))
    async with context.db.transaction() as session:
        assert len(list(await session.scalars(select(Segment).where(Segment.stream_id == mic)))) == 1
        with pytest.raises(NotFound):
            await recording.add_segment(session, row("rts-deleted"))


async def test_publishers_of_a_killed_process_may_come_back_at_once(context: Context) -> None:
    _, streams = await make_active(context, await make_tenant(context))
    (mic,) = streams.values()
    async with context.db.transaction() as session:
        await lose_publisher(session, "ing-another")
    assert (await stream_row(context, mic)).publisher_state == "live"
    async with context.db.transaction() as session:
        await lose_publisher(session, PUBLISHER)
    assert (await stream_row(context, mic)).publisher_state == "lost"
    async with context.db.transaction() as session:
        await attach_publisher(session, mic, "ing-next", "pub-next")
