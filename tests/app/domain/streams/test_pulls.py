"""Pulled streams: claimed by one process at a time, tried again after growing pauses, stopped once stored."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.base.errors import Conflict, InvalidRequest
from app.base.ids import utc_now
from app.domain.streams import publishing, pulls, recording
from app.domain.streams.models import Pull, Stream, StreamSpool
from app.domain.streams.pulls import ClaimedPull
from app.domain.streams.source_urls import masked_url, read_source_url
from app.process import Context
from tests.fixtures.factories import Tenant, make_active, make_tenant

CAMERA = "rtsp://user:secret@camera.example/live"


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


async def connect(context: Context, tenant: Tenant, **more: Any) -> str:
    settings = {"url": CAMERA, "name": "Door", "media_types": ["video"], "store": True, "sample_rate": None}
    async with context.db.transaction() as session:
        stream, _ = await pulls.connect_stream(
            session, tenant.account_id, tenant.collection_id, **(settings | more)
        )
        return stream.id


async def claim(context: Context, publisher: str = "ing-a") -> list[ClaimedPull]:
    async with context.db.transaction() as session:
        return await pulls.claim_pulls(session, publisher, limit=8)


async def end(context: Context, stream_id: str, publisher: str = "ing-a", **more: Any) -> None:
    async with context.db.transaction() as session:
        await pulls.attempt_ended(session, stream_id, **({"error": "gone", "media_seconds": 0.0} | more))
        publication = (await session.get_one(Stream, stream_id)).publication
        await publishing.detach_publisher(session, stream_id, publication or "", ended=False)


async def want(context: Context, stream_id: str, wanted: bool) -> None:
    async with context.db.transaction() as session:
        await pulls.set_wanted(session, stream_id, wanted=wanted)


async def rows(context: Context, stream_id: str) -> tuple[Stream, Pull]:
    async with context.db.transaction() as session:
        return await session.get_one(Stream, stream_id), await session.get_one(Pull, stream_id)


async def test_one_process_alone_claims_a_pull(context: Context, tenant: Tenant) -> None:
    stream_ids = {await connect(context, tenant) for _ in range(6)}
    found = await asyncio.gather(*(claim(context, f"ing-{number}") for number in range(4)))
    claimed = [one.stream.id for some in found for one in some]
    assert sorted(claimed) == sorted(stream_ids)
    assert await claim(context) == []


async def test_pauses_grow_until_media_came_for_a_while(context: Context, tenant: Tenant) -> None:
    stream_id = await connect(context, tenant)
    pauses = []
    for _ in range(7):
        await due(context, stream_id)
        assert [one.stream.id for one in await claim(context)] == [stream_id]
        await end(context, stream_id)
        _, pull = await rows(context, stream_id)
        pauses.append(round((pull.next_attempt_at - utc_now()).total_seconds()))
        assert pull.error == "gone"
        assert await claim(context) == []
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    await due(context, stream_id)
    await claim(context)
    await end(context, stream_id, media_seconds=pulls.STEADY_SECONDS)
    assert (await rows(context, stream_id))[1].attempts == 0
    assert len(await claim(context)) == 1


async def due(context: Context, stream_id: str) -> None:
    async with context.db.transaction() as session:
        past = utc_now() - timedelta(seconds=1)
        await session.execute(update(Pull).where(Pull.stream_id == stream_id).values(next_attempt_at=past))


async def test_a_killed_process_gives_its_pulls_to_the_next(context: Context, tenant: Tenant) -> None:
    stream_id = await connect(context, tenant)
    await claim(context, "ing-dead")
    await due(context, stream_id)
    assert await claim(context, "ing-next") == []
    async with context.db.transaction() as session:
        await publishing.lose_publisher(session, "ing-dead")
    assert [one.stream.id for one in await claim(context, "ing-next")] == [stream_id]


async def test_a_stopped_pull_is_stopped_once_it_is_stored(context: Context, tenant: Tenant) -> None:
    stream_id = await connect(context, tenant)
    await claim(context)
    async with context.db.transaction() as session:
        await publishing.media_flows(session, stream_id, "h264")
        await recording.spool_opened(session, stream_id, "spl-a")
        assert await publishing.wanted_streams(session, [stream_id]) == {stream_id}
    await want(context, stream_id, False)
    async with context.db.transaction() as session:
        assert await publishing.wanted_streams(session, [stream_id]) == set()
    await end(context, stream_id)
    assert (await rows(context, stream_id))[0].status == "connected"
    async with context.db.transaction() as session:
        assert await recording.spool_emptied(session, stream_id, "spl-a")
    assert (await rows(context, stream_id))[0].status == "stopped"
    assert await claim(context) == []
    await want(context, stream_id, True)
    stream, pull = await rows(context, stream_id)
    assert (stream.status, pull.attempts, pull.has_begun) == ("connected", 0, False)
    assert len(await claim(context)) == 1


async def test_a_spool_that_stays_away_is_given_up(context: Context, tenant: Tenant) -> None:
    stream_id = await connect(context, tenant)
    async with context.db.transaction() as session:
        await recording.spool_opened(session, stream_id, "spl-lost")
    await want(context, stream_id, False)
    for resume_seconds, status in ((600.0, "connected"), (0.0, "stopped")):
        async with context.db.transaction() as session:
            await pulls.stop_abandoned_pulls(session, resume_seconds=resume_seconds)
        assert (await rows(context, stream_id))[0].status == status
    async with context.db.transaction() as session:
        assert await session.get(StreamSpool, (stream_id, "spl-lost")) is None


async def test_a_full_disk_stops_the_pull_and_says_so(context: Context, tenant: Tenant) -> None:
    stream_id = await connect(context, tenant)
    await claim(context)
    async with context.db.transaction() as session:
        await recording.fail_recording(session, stream_id, "disk_full", "the server's disk is full")
    await end(context, stream_id)
    stream, pull = await rows(context, stream_id)
    assert (stream.status, pull.is_wanted, pull.error) == ("stopped", False, "the server's disk is full")


async def test_a_pulled_stream_takes_no_publisher(context: Context, tenant: Tenant) -> None:
    stream_id = await connect(context, tenant)
    async with context.db.transaction() as session:
        with pytest.raises(Conflict, match="takes no publisher"):
            await publishing.attach_publisher(session, stream_id, "ing-a", "pub-a")


async def test_a_channel_of_a_session_is_not_started_alone(context: Context, tenant: Tenant) -> None:
    _, opened = await make_active(context, tenant)
    with pytest.raises(Conflict, match="with its capture session"):
        await want(context, opened["mic:default"], False)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://camera/live", "rtsp://camera/live"),
        ("rtsp://me:pass@camera:88/live", "rtsp://me:***@camera:88/live"),
        ("rtsp://:pass@camera/live", "rtsp://:***@camera/live"),
        ("rtsp://me@camera/live", "rtsp://me@camera/live"),
        ("https://cdn/x.m3u8?token=abc&sig=d%20e&flag#part", "https://cdn/x.m3u8?token=***&sig=***&flag=***"),
        ("rtsp://a:b@c@camera/live", "rtsp://a:***@camera/live"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    assert masked_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "camera/live",
        "file:///etc/passwd",
        "concat:http://a|http://b",
        "data:,x",
        "udp://camera",
        "rtsp:///live",
        "rtsp://camera:0/live",
        "rtsp://camera:99999/live",
        "rtsp://camera/li ve",
        "rtsp://camera/\r\nx",
        "rtsp://[::1/live",
        "rtsp://kamerä/live",
        "rtsp://camera/" + "x" * 5000,
    ],
)
def test_urls_that_are_not_taken(url: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read_source_url(url)
    assert refusal.value.field == "url"
    assert not url or url not in refusal.value.message
