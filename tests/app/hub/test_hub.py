"""The WebSocket of a real server: who may open it, and which frames come out of it."""

import itertools
from typing import Any

import httpx
import itsdangerous.timed
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.base.redis import FRAMES_CHANNEL, publish
from app.base.settings import Settings
from app.embedded.stack import web_argv
from app.hub.connections import QUEUE_FRAMES
from app.process import Context
from app.wire.tickets import SOCKET_TICKET_SECONDS
from tests.fixtures.eventually import eventually
from tests.fixtures.factories import Tenant, make_tenant
from tests.fixtures.sockets import Server, Socket, opened, serving, sockets, ticket_path

Json = dict[str, Any]
_numbers = itertools.count()


async def send(context: Context, tenant: Tenant, *frames: Json, **route: Any) -> None:
    """What the relay does with an event."""
    routed = {
        "collection_id": tenant.collection_id,
        "connection_id": None,
        "except_connection_ids": [],
    } | route
    message = {"account_id": tenant.account_id, "route": routed, "frames": list(frames)}
    await publish(context.redis, FRAMES_CHANNEL, message)


async def heard_until_marker(context: Context, tenant: Tenant, *listening: Socket) -> list[list[int]]:
    """The `n` of the frames that each socket has received before a marker sent to it alone."""
    heard: list[list[int]] = []
    for socket in listening:
        marker = next(_numbers)
        await send(context, tenant, {"marker": marker}, connection_id=socket.id)
        heard.append([])
        while (frame := await socket.receive()) != {"marker": marker}:
            heard[-1].append(frame["n"])
    return heard


async def test_the_first_frame_is_the_connections_own_id(server: Server, tenant: Tenant) -> None:
    path = await ticket_path(server, tenant.client_token)
    async with opened(server, path) as one, opened(server, path) as other:
        assert one.id.startswith("ws-")
        assert one.id != other.id


async def test_neither_tickets_nor_frames_are_logged(
    server: Server, context: Context, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    path = await ticket_path(server, tenant.api_key)
    with caplog.at_level("DEBUG"):
        async with opened(server, path) as socket:
            await send(context, tenant, {"n": 1, "text": "spoken words"})
            assert await heard_until_marker(context, tenant, socket) == [[1]]
    ours = " ".join(
        record.getMessage() for record in caplog.records if record.name.startswith("uvicorn.error")
    )
    assert "connection open" in ours
    assert path.rpartition("/")[2] not in ours
    assert "spoken" not in ours


async def test_frames_follow_their_route(server: Server, context: Context, tenant: Tenant) -> None:
    stranger = await make_tenant(context)
    async with sockets(server, tenant.api_key, tenant.api_key, stranger.api_key) as (a, b, other):
        await send(context, tenant, {"n": 1})
        await send(context, tenant, {"n": 2}, connection_id=b.id)
        await send(context, tenant, {"n": 3}, except_connection_ids=[b.id])
        await send(context, tenant, {"n": 4}, collection_id="c-another")
        await send(context, tenant, {"n": 5}, connection_id="ws-gone")
        await send(context, tenant, {"n": 6}, connection_id=other.id)  # named by another account
        await send(context, tenant, {"n": 7}, {"n": 8})
        assert await heard_until_marker(context, tenant, a, b) == [[1, 3, 7, 8], [1, 2, 7, 8]]
        assert await heard_until_marker(context, stranger, other) == [[]]


async def test_a_desktops_socket_hears_only_what_names_it(
    server: Server, context: Context, tenant: Tenant
) -> None:
    async with sockets(server, tenant.client_token, tenant.api_key) as (desktop, backend):
        await send(context, tenant, {"n": 1})
        await send(context, tenant, {"n": 2}, connection_id=desktop.id)
        assert await heard_until_marker(context, tenant, desktop, backend) == [[2], [1]]


async def test_what_a_client_says_is_ignored(server: Server, context: Context, tenant: Tenant) -> None:
    async with sockets(server, tenant.api_key) as (socket,):
        for said in ("not json", '{"action": "subscribe"}', b"\xff\x00", "", "[" * 1000):
            await socket.connection.send(said)
        await send(context, tenant, {"n": 1})
        assert await heard_until_marker(context, tenant, socket) == [[1]]


async def test_a_client_that_reads_too_slowly_is_closed_and_the_others_miss_nothing(
    server: Server, context: Context, tenant: Tenant
) -> None:
    async with sockets(server, tenant.api_key, tenant.api_key) as (slow, quick):
        flood = [{"n": n} for n in range(QUEUE_FRAMES + 10)]
        await send(context, tenant, {"n": -1}, connection_id=quick.id)
        await send(context, tenant, *flood, connection_id=slow.id)
        await send(context, tenant, {"n": -2}, except_connection_ids=[slow.id])
        assert await slow.close_code() == 1013
        await eventually(lambda: server.hub.counts.closed_as_too_slow == 1)
        assert await heard_until_marker(context, tenant, quick) == [[-1, -2]]


async def test_a_message_that_makes_no_sense_does_not_stop_the_others(
    server: Server, context: Context, tenant: Tenant
) -> None:
    async with sockets(server, tenant.api_key) as (socket,):
        await context.redis.publish(FRAMES_CHANNEL, "not json")
        await publish(context.redis, FRAMES_CHANNEL, {"nothing": "known"})
        await send(context, tenant, {"n": 1})
        assert await heard_until_marker(context, tenant, socket) == [[1]]


async def test_a_ticket_that_has_expired_opens_nothing(
    server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await ticket_path(server, tenant.api_key)
    now = itsdangerous.timed.time.time()
    monkeypatch.setattr(itsdangerous.timed.time, "time", lambda: now + SOCKET_TICKET_SECONDS + 2)
    async with connect(server.url.replace("http", "ws", 1) + path, proxy=None) as connection:
        assert await Socket(connection, "").close_code() == 1008


async def test_tickets_that_are_forged_are_closed_as_a_violation(server: Server, tenant: Tenant) -> None:
    good = await ticket_path(server, tenant.api_key)
    for path in (good[:-1] + ("A" if good[-1] != "A" else "B"), "/ws/none", good.replace(".", "")):
        async with connect(server.url.replace("http", "ws", 1) + path, proxy=None) as connection:
            assert await Socket(connection, "").close_code() == 1008
    with pytest.raises(InvalidStatus):
        async with connect(server.url.replace("http", "ws", 1) + "/nowhere", proxy=None):
            pass


async def test_a_shutdown_says_going_away(server: Server, tenant: Tenant) -> None:
    async with sockets(server, tenant.api_key) as (socket,):
        server.stop()
        assert await socket.close_code() == 1001
    await server.ended()


async def test_a_revoked_key_or_token_loses_its_sockets(
    server: Server, context: Context, tenant: Tenant
) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers={"x-access-token": tenant.api_key}) as client:
        key = (await client.post("/api_keys", json={"name": "lost"})).json()["data"]
        token = (await client.post("/capture/session/token", json={})).json()["data"]
        secrets = (key["api_key"], token["token"], tenant.api_key)
        unused = await ticket_path(server, key["api_key"])
        async with sockets(server, *secrets) as (by_key, by_token, other):
            assert (await client.delete(f"/api_keys/{key['id']}")).status_code == 200
            assert await by_key.close_code() == 1008
            assert (await client.delete(f"/client_tokens/{token['token_id']}")).status_code == 200
            assert await by_token.close_code() == 1008
            assert await heard_until_marker(context, tenant, other) == [[]]
        async with connect(server.url.replace("http", "ws", 1) + unused, proxy=None) as connection:
            await connection.wait_closed()
        assert connection.close_code == 1008


async def test_a_client_that_answers_no_pings_is_closed(settings: Settings, tenant: Tenant) -> None:
    argv = web_argv(settings)
    seconds = float(argv[argv.index("--ws-ping-interval") + 1])
    assert 20 <= seconds <= 30  # contract §3
    with serving(settings, ws_ping_interval=0.02, ws_ping_timeout=0.3) as server:
        async with opened(server, await ticket_path(server, tenant.api_key)) as socket:
            socket.connection.transport.pause_reading()
            await eventually(lambda: server.hub.counts.open_sockets == 0)
            socket.connection.transport.resume_reading()
            assert await socket.close_code() == 1011
