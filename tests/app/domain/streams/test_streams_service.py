import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.base.errors import Conflict, IllegalMove, NotFound
from app.base.ids import utc_now
from app.domain.sessions.models import CaptureSession
from app.domain.sessions.service import lock_session
from app.domain.streams import ending, publishing
from app.domain.streams import service as streams
from app.domain.streams.models import Stream
from app.process import Context
from tests.fixtures.factories import (
    PUBLISHER,
    Tenant,
    detach,
    events_of,
    jobs_of,
    make_active,
    make_session,
    make_tenant,
    publication_of,
    publish_media,
    start_session,
    status_of,
    stop_session,
    stream_row,
)

BOTH = ("mic", "screen")
LONG_AGO = utc_now() - timedelta(minutes=1)


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


async def attach(context: Context, stream_id: str, publisher: str = PUBLISHER) -> None:
    async with context.db.transaction() as session:
        await publishing.attach_publisher(session, stream_id, publisher, publication_of(publisher))


async def change_stream(context: Context, stream_id: str, **values: Any) -> None:
    async with context.db.transaction() as session:
        await session.execute(update(Stream).where(Stream.id == stream_id).values(**values))


async def test_the_first_media_of_any_stream_makes_the_session_active_once(
    context: Context, tenant: Tenant
) -> None:
    session_id = await make_session(context, tenant)
    opened = await start_session(context, session_id, BOTH)
    for stream_id in opened.values():
        await attach(context, stream_id)

    async def first_frame(stream_id: str) -> None:
        async with context.db.transaction() as session:
            await publishing.media_flows(session, stream_id, "opus")

    await asyncio.gather(*(first_frame(stream_id) for stream_id in opened.values()))
    events = [event for event in await events_of(context, session_id) if event.name.endswith(".active")]
    assert len(events) == 1
    assert events[0].payload["envelope"]["data"]["rtstreams"] == [
        {
            "rtstream_id": opened["display:1"],
            "name": "display:1",
            "channel_id": "screen",
            "media_types": ["video"],
        },
        {
            "rtstream_id": opened["mic:default"],
            "name": "mic:default",
            "channel_id": "mic",
            "media_types": ["audio"],
        },
    ]


async def test_of_two_publishers_one_gets_the_stream(context: Context, tenant: Tenant) -> None:
    opened = await start_session(context, await make_session(context, tenant))
    (stream_id,) = opened.values()
    ended = await asyncio.gather(*(attach(context, stream_id, f"ing-{n}") for n in range(4)),
                                 return_exceptions=True)  # fmt: skip
    assert [end for end in ended if end is None] == [None]
    assert {end.code for end in ended if isinstance(end, Conflict)} == {"already_published"}


async def test_a_publisher_that_was_lost_may_come_back_and_one_too_late_may_not(
    context: Context, tenant: Tenant
) -> None:
    session_id, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    await detach(context, stream_id, ended=False)
    assert (await stream_row(context, stream_id)).publisher_state == "lost"
    await attach(context, stream_id, "ing-other")
    await stop_session(context, session_id)
    with pytest.raises(Conflict) as refused:
        await attach(context, stream_id, "ing-third")
    assert refused.value.code == "session_not_live"


async def test_only_the_holder_gives_a_stream_up(context: Context, tenant: Tenant) -> None:
    _, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    async with context.db.transaction() as session:
        await publishing.detach_publisher(session, stream_id, "pub-other", ended=True)
    assert (await stream_row(context, stream_id)).publisher_state == "live"
    await detach(context, stream_id)
    held = await stream_row(context, stream_id)
    assert (held.publisher_state, held.publisher) == ("ended", None)


async def test_a_session_stops_when_its_last_stream_has_drained(context: Context, tenant: Tenant) -> None:
    session_id, opened = await make_active(context, tenant, BOTH)
    await stop_session(context, session_id)
    assert await status_of(context, session_id) == "stopping"
    await detach(context, opened["mic:default"])
    assert await status_of(context, session_id) == "stopping"
    assert await jobs_of(context, "request_export") == []
    await detach(context, opened["display:1"])
    assert await status_of(context, session_id) == "stopped"
    assert await jobs_of(context, "request_export") == [session_id]
    await detach(context, opened["display:1"])  # said twice: nothing more
    assert await jobs_of(context, "request_export") == [session_id]
    for stream_id in opened.values():
        assert (await stream_row(context, stream_id)).status == "stopped"


async def test_a_session_that_nobody_sends_to_stops_at_once(context: Context, tenant: Tenant) -> None:
    session_id = await make_session(context, tenant)
    await start_session(context, session_id, BOTH)
    await stop_session(context, session_id)
    assert await status_of(context, session_id) == "stopped"
    names = [event.name.rpartition(".")[2] for event in await events_of(context, session_id)]
    assert names == ["created", "starting", "stopping", "stopped"]
    with pytest.raises(IllegalMove):
        await stop_session(context, session_id)


async def test_streams_that_drain_at_the_same_time_stop_the_session_once(
    context: Context, tenant: Tenant
) -> None:
    session_id, opened = await make_active(context, tenant, ("mic", "screen", "system_audio"))
    await stop_session(context, session_id)
    await asyncio.gather(*(detach(context, stream_id) for stream_id in opened.values()))
    names = [event.name for event in await events_of(context, session_id)]
    assert names.count("capture_session.stopped") == 1


async def test_heartbeats_keep_a_publication_and_silence_loses_it(context: Context, tenant: Tenant) -> None:
    _, opened = await make_active(context, tenant)
    _, others = await make_active(context, tenant)
    (kept,), (silent,) = opened.values(), others.values()
    await change_stream(context, kept, publication="pub-kept", publisher_seen_at=LONG_AGO)
    await change_stream(context, silent, publication="pub-silent", publisher_seen_at=LONG_AGO)
    async with context.db.transaction() as session:
        await publishing.publishers_alive(session, PUBLISHER, ["pub-kept", "pub-of-nobody"])
    async with context.db.transaction() as session:
        assert await publishing.lose_silent_publishers(session, 10) == 1
    assert (await stream_row(context, kept)).publisher_state == "live"
    lost = await stream_row(context, silent)
    assert (lost.publisher_state, lost.publisher) == ("lost", None)


async def test_a_publication_thought_lost_that_is_heard_again_holds_its_stream_as_before(
    context: Context, tenant: Tenant
) -> None:
    """The database was away for longer than the silence limit, the media was not."""
    _, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    await change_stream(context, stream_id, publisher_seen_at=LONG_AGO)
    async with context.db.transaction() as session:
        await publishing.lose_silent_publishers(session, 10)
    async with context.db.transaction() as session:
        await publishing.publishers_alive(session, PUBLISHER, [publication_of(PUBLISHER)])
    held = await stream_row(context, stream_id)
    assert (held.publisher_state, held.publisher) == ("live", PUBLISHER)


async def test_a_publication_that_was_given_up_is_not_revived_by_a_late_heartbeat(
    context: Context, tenant: Tenant
) -> None:
    _, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    await detach(context, stream_id, ended=False)
    async with context.db.transaction() as session:
        await publishing.publishers_alive(session, PUBLISHER, [publication_of(PUBLISHER)])
    assert (await stream_row(context, stream_id)).publisher_state == "lost"


async def test_a_late_goodbye_leaves_the_next_publication_of_the_same_process_alone(
    context: Context, tenant: Tenant
) -> None:
    """Its detaching was retried while the database was away; housekeeping lost it, and it came back."""
    _, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    await change_stream(context, stream_id, publisher_seen_at=LONG_AGO)
    async with context.db.transaction() as session:
        await publishing.lose_silent_publishers(session, 10)
        await publishing.attach_publisher(session, stream_id, PUBLISHER, "pub-again")
    await detach(context, stream_id)
    async with context.db.transaction() as session:
        await publishing.publishers_alive(session, PUBLISHER, [publication_of(PUBLISHER)])
    row = await stream_row(context, stream_id)
    assert (row.publisher_state, row.publication) == ("live", "pub-again")
    async with context.db.transaction() as session:
        await publishing.detach_publisher(session, stream_id, "pub-again", ended=True)
    assert (await stream_row(context, stream_id)).publisher_state == "ended"


async def test_a_session_that_fails_stops_its_streams(context: Context, tenant: Tenant) -> None:
    session_id = await make_session(context, tenant)
    opened = await start_session(context, session_id, BOTH)
    async with context.db.transaction() as session:
        capture = await lock_session(session, session_id)
        await ending.fail_session(session, capture, "no_media", "no channel sent media in time")
    assert await status_of(context, session_id) == "failed"
    assert [(await stream_row(context, one)).status for one in opened.values()] == ["stopped", "stopped"]
    with pytest.raises(Conflict):
        await attach(context, opened["mic:default"])


SHORT, LONG = timedelta(seconds=20), timedelta(minutes=20)


async def test_sessions_that_nobody_will_end(context: Context, tenant: Tenant) -> None:
    for states, changed, abandoned in [
        (("live", "lost"), LONG, False),  # somebody sends
        (("lost", "lost"), SHORT, False),  # they may come back
        (("lost", "lost"), LONG, True),
        (("ended", "ended"), SHORT, True),  # all said goodbye
        (("ended", "lost"), SHORT, False),
        (("ended", "none"), SHORT, True),
        (("ended", "ended"), timedelta(seconds=1), False),  # the stop request may be on its way
    ]:
        session_id, opened = await make_active(context, tenant, BOTH)
        for stream_id, state in zip(opened.values(), states, strict=True):
            async with context.db.transaction() as session:
                await session.execute(
                    update(Stream)
                    .where(Stream.id == stream_id)
                    .values(publisher_state=state, publisher_changed_at=utc_now() - changed)
                )
        async with context.db.transaction() as session:
            found = await ending.abandoned_sessions(session, resume_seconds=600, ended_seconds=5)
        assert (session_id in found) == abandoned, states


async def test_statuses_of_streams_and_what_is_not_there(context: Context, tenant: Tenant) -> None:
    session_id, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    async with context.db.transaction() as session:
        assert await publishing.wanted_streams(session, [stream_id, "rts-none"]) == {stream_id}
        with pytest.raises(NotFound):
            await streams.get_stream(session, "acc-other", stream_id)
        with pytest.raises(NotFound):
            await publishing.attach_publisher(session, "rts-none", PUBLISHER, "pub-none")
        assert (await session.get_one(CaptureSession, session_id)).status == "active"


async def test_reconnecting_keeps_the_time_of_the_first_media(context: Context, tenant: Tenant) -> None:
    _, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    first = (await stream_row(context, stream_id)).first_media_at
    await detach(context, stream_id, ended=False)
    await publish_media(context, stream_id, "ing-other")
    again = await stream_row(context, stream_id)
    assert (again.first_media_at, again.publisher) == (first, "ing-other")
