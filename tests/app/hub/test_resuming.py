"""Sockets that were cut off, and hubs that Redis tells nothing: no event is missed, none comes twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import update
from websockets.asyncio.client import connect

from app.base.settings import Settings
from app.domain.outbox.events import Route, emit
from app.domain.outbox.models import OutboxHead, OutboxMessage
from app.domain.outbox.stream_events import TranscriptFinal
from app.hub import connections, hub
from app.process import Context
from tests.fixtures.deliveries import publish_events
from tests.fixtures.eventually import eventually
from tests.fixtures.factories import Tenant, make_tenant
from tests.fixtures.sockets import Server, Socket, ask_for_url, opened, serving, ticket_path
from workers.relay import carry_events


async def say(context: Context, tenant: Tenant, *numbers: int, **route: Any) -> list[str]:
    """Commit events that say these numbers; returns their ids."""
    to = Route(tenant.collection_id, **route)
    async with context.db.transaction() as session:
        return [
            (
                await emit(
                    session,
                    TranscriptFinal("rts-1", "mic:default", "utt-1", str(number), 1, 2),
                    account_id=tenant.account_id,
                    route=to,
                )
            ).message_id
            or ""
            for number in numbers
        ]


async def said(socket: Socket, count: int) -> list[int]:
    """The numbers of the next `count` frames."""
    return [int((await socket.receive())["text"]) for _ in range(count)]


@asynccontextmanager
async def resumed(server: Server, tenant: Tenant, earlier: Socket, event_id: str) -> AsyncIterator[Socket]:
    path = await ticket_path(server, tenant.api_key, connection_id=earlier.id, last_event_id=event_id)
    async with opened(server, path) as socket:
        assert (socket.id, socket.last_event_id) == (earlier.id, event_id)
        yield socket


async def test_who_returns_gets_what_was_missed_and_then_what_happens(
    server: Server, context: Context, tenant: Tenant
) -> None:
    stranger = await make_tenant(context)
    async with opened(server, await ticket_path(server, tenant.api_key)) as socket:
        await say(context, tenant, 1)
        await carry_events(context)
        seen = (await socket.receive())["event_id"]
    await say(context, tenant, 2)
    await say(context, tenant, 3, connection_id=socket.id)
    await say(context, tenant, -1, connection_id="ws-another")
    await say(context, tenant, -2, except_connection_ids=(socket.id,))
    await say(context, Tenant(tenant.account_id, "c-another", "", ""), -3)
    await say(context, stranger, -4)
    await say(context, tenant, 4)
    await carry_events(context)
    async with resumed(server, tenant, socket, seen) as again:
        assert await said(again, 3) == [2, 3, 4]
        await say(context, tenant, 5)
        await say(context, tenant, 6, connection_id=socket.id)
        await carry_events(context)
        assert await said(again, 2) == [5, 6]


async def test_the_url_itself_takes_the_last_event_and_the_connection(
    server: Server, context: Context, tenant: Tenant
) -> None:
    path = await ticket_path(server, tenant.api_key)
    (first, _) = await say(context, tenant, 1, 2)
    await carry_events(context)
    async with opened(server, path) as socket:
        pass
    async with opened(server, f"{path}?connection_id={socket.id}&last_event_id={first}") as again:
        assert again.id == socket.id
        assert await said(again, 1) == [2]
    async with opened(server, f"{path}?last_event_id={first}") as other:
        assert other.id != socket.id
        assert await said(other, 1) == [2]


async def test_who_saw_no_event_resumes_from_what_the_first_frame_said(
    server: Server, context: Context, tenant: Tenant
) -> None:
    path = await ticket_path(server, tenant.api_key)
    async with opened(server, path) as socket:
        assert socket.last_event_id == ""  # there is none yet
    (first,) = await say(context, tenant, 1)
    await carry_events(context)
    async with resumed(server, tenant, socket, "") as again:
        assert await said(again, 1) == [1]
    async with opened(server, path) as later:
        assert later.last_event_id == first


async def test_nothing_is_lost_or_doubled_where_the_missed_meets_the_live(
    settings: Settings, context: Context, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "PAGE_EVENTS", 7)
    monkeypatch.setattr(hub, "RECENT_EVENTS", 5)
    (first, *_) = await say(context, tenant, *range(150))
    await publish_events(context)
    with serving(settings) as server:
        async with opened(server, await ticket_path(server, tenant.api_key)) as socket:
            pass

        async def go_on() -> None:
            for number in range(150, 400):
                await say(context, tenant, number)
                await carry_events(context)

        publishing = asyncio.create_task(go_on())
        heard = []
        last = first
        for count in (40, 90, 3, 120, 146):
            async with resumed(server, tenant, socket, last) as again:
                for _ in range(count):
                    frame = await again.receive()
                    heard.append(int(frame["text"]))
                    last = frame["event_id"]
        await publishing
    assert heard == list(range(1, 400))


async def test_an_event_of_several_frames_comes_again_whole(
    server: Server, context: Context, tenant: Tenant
) -> None:
    (first, _) = await say(context, tenant, 1, 2)
    frames = [{"n": 1, "event_id": first}, {"n": 2, "event_id": first}]
    async with context.db.transaction() as session:
        await session.execute(
            update(OutboxMessage)
            .where(OutboxMessage.message_id == first)
            .values(payload={"frames": frames, "envelope": {}})
        )
    await carry_events(context)
    path = await ticket_path(server, tenant.api_key, last_event_id=first)
    async with opened(server, path) as socket:
        assert [await socket.receive(), await socket.receive()] == frames
        assert await said(socket, 1) == [2]


async def test_a_client_that_was_too_slow_loses_nothing(
    server: Server, context: Context, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "QUEUE_FRAMES", 4)
    many = [{"n": number, "event_id": "evt"} for number in range(10)]
    async with opened(server, await ticket_path(server, tenant.api_key)) as slow:
        await say(context, tenant, 1, 2)
        await carry_events(context)
        assert await said(slow, 1) == [1]
        seen = (await slow.receive())["event_id"]
        (flood,) = await say(context, tenant, 3)
        async with context.db.transaction() as session:
            await session.execute(
                update(OutboxMessage)
                .where(OutboxMessage.message_id == flood)
                .values(payload={"frames": many, "envelope": {}})
            )
        await carry_events(context)
        assert await slow.close_code() == 1013
    async with resumed(server, tenant, slow, seen) as again:
        assert [await again.receive() for _ in many] == many


async def test_what_redis_does_not_bring_is_read_in_its_place(
    server: Server, context: Context, tenant: Tenant
) -> None:
    async with opened(server, await ticket_path(server, tenant.api_key)) as socket:
        await say(context, tenant, 1, 2)
        await publish_events(context)  # and Redis is told nothing
        await say(context, tenant, 3)
        await carry_events(context)
        assert await said(socket, 3) == [1, 2, 3]
        await say(context, tenant, 4)
        await publish_events(context)
        assert await said(socket, 1) == [4]


async def test_sockets_live_without_redis(settings: Settings, context: Context, tenant: Tenant) -> None:
    with serving(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})) as server:
        async with opened(server, await ticket_path(server, tenant.api_key)) as socket:
            await say(context, tenant, 1)
            await carry_events(context)
            assert await said(socket, 1) == [1]


async def test_a_database_that_was_restored_is_followed_from_where_it_is(
    server: Server, context: Context, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go_back() -> None:
        async with context.db.transaction() as session:
            await session.execute(update(OutboxMessage).values(position=None))
            await session.execute(update(OutboxHead).values(position=0))

    async with opened(server, await ticket_path(server, tenant.api_key)) as socket:
        await say(context, tenant, 1, 2, 3)
        await carry_events(context)
        assert await said(socket, 3) == [1, 2, 3]
        await go_back()
        await eventually(lambda: server.hub.position == 0)
        await say(context, tenant, 4)
        await carry_events(context)
        assert await said(socket, 1) == [4]


async def test_a_socket_takes_the_place_of_the_one_it_resumes(
    server: Server, context: Context, tenant: Tenant
) -> None:
    async with (
        opened(server, await ticket_path(server, tenant.api_key)) as silent,
        resumed(server, tenant, silent, silent.last_event_id) as again,
    ):
        assert await silent.close_code() == 1000
        await say(context, tenant, 1, connection_id=again.id)
        await carry_events(context)
        assert await said(again, 1) == [1]


async def test_nobody_resumes_what_is_anothers(server: Server, context: Context, tenant: Tenant) -> None:
    stranger = await make_tenant(context)
    path = await ticket_path(server, tenant.api_key)
    async with opened(server, path) as mine:
        pass
    async with opened(server, await ticket_path(server, stranger.api_key)) as theirs:
        pass
    async with opened(server, await ticket_path(server, tenant.client_token)) as desktop:
        pass
    (event_id,) = await say(context, stranger, 1)
    await carry_events(context)
    for wrong in (
        {"connection_id": theirs.id},
        {"connection_id": desktop.id},
        {"connection_id": "ws-none"},
        {"last_event_id": event_id},
        {"last_event_id": "evt-none"},
    ):
        answer = await ask_for_url(server, tenant.api_key, "default", **wrong)
        assert answer.status_code == 404, wrong
        query = "&".join(f"{name}={value}" for name, value in wrong.items())
        async with connect(f"{server.url.replace('http', 'ws', 1)}{path}?{query}", proxy=None) as connection:
            assert await Socket(connection, "").close_code() == 1008
    answer = await ask_for_url(server, tenant.client_token, "default", connection_id=mine.id)
    assert answer.status_code == 404  # a desktop is not its backend
