"""Two hundred captures while everything dies at random: what clients wrote down is all that was committed.

`LEDGER_SEED` repeats a run's faults and choices, as far as chance is ours.
"""

import asyncio
import os
import random
import secrets
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.db import DATABASE_AWAY
from app.base.errors import Conflict
from app.base.ids import utc_now
from app.base.settings import Settings
from app.domain.accounts.credentials import create_client_token
from app.domain.accounts.models import ApiKey
from app.domain.collections.service import default_collection
from app.domain.outbox.events import LIFECYCLE_NAMES, ring
from app.domain.outbox.models import OutboxMessage
from app.domain.sessions import service as sessions
from app.domain.sessions.models import CaptureSession
from app.domain.sessions.states import Status
from app.domain.streams.service import list_segments, list_session_streams
from app.domain.webhooks.models import WebhookDelivery, WebhookLine
from app.domain.webhooks.service import NOTIFY_CHANNEL
from app.embedded.postgres import kept_postgres_url
from app.embedded.private_files import free_port
from app.media.recorded import RecordedTrack
from app.process import Context, open_context
from tests.fixtures.factories import (
    Tenant,
    detach,
    make_session,
    publish_media,
    say,
    start_session,
    stop_session,
)
from tests.fixtures.ledger import Ledger, LedgerReceiver, LedgerSocket
from tests.fixtures.media import START_US, beeps, opus_packets, record
from tests.fixtures.recorded_sessions import store_track
from tests.fixtures.stack import RunningStack, running_stack

SESSIONS = 200
AT_ONCE = 8
RECORDED_EVERY = 20  # so many have real media, and are exported
FAILED_EVERY = 17
FAULT_ROUNDS = 2
FAULT_SECONDS = (1.0, 4.0)  # between two faults
RETURN_SECONDS = 60
DELIVERY_SECONDS = 60
DAY = timedelta(hours=24)
ENDS = (Status.STOPPED, Status.EXPORTED, Status.FAILED)
T = TypeVar("T")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@dataclass
class World:
    """The product under test, and a client's own way into its database."""

    stack: RunningStack
    second_url: str
    context: Context
    tenant: Tenant
    redis: Redis
    chance: random.Random
    track: RecordedTrack


async def reliably(work: Callable[[], Awaitable[T]]) -> T:
    """As a client with patience does it: again until it is done. What was done unnoticed is done twice."""
    async with asyncio.timeout(RETURN_SECONDS):
        while True:
            try:
                return await work()
            except (*DATABASE_AWAY, httpx.HTTPError):
                await asyncio.sleep(0.2)


async def create(world: World, number: int, callback_url: str, named: str | None) -> str:
    async def by_request() -> str:
        body = {"end_user_id": "user-1", "callback_url": callback_url, "ws_connection_id": named}
        async with httpx.AsyncClient(headers={"x-access-token": world.stack.api_key}) as client:
            url = f"{world.stack.base_url}/collection/default/capture/session"
            answer = (await client.post(url, json=body)).raise_for_status()
        found: str = answer.json()["data"]["session_id"]
        return found

    async def by_domain() -> str:
        return await make_session(
            world.context, world.tenant, callback_url=callback_url, ws_connection_id=named
        )

    return await reliably(by_request if number % 4 == 0 else by_domain)


async def drive(world: World, number: int, session_id: str) -> None:
    """Bring a session to its end, whatever is away meanwhile."""
    context = world.context

    async def step() -> bool:
        async with context.db.transaction() as session:
            capture = await session.get_one(CaptureSession, session_id)
            streams = [stream.id for stream in await list_session_streams(session, session_id)]
        if capture.status in ENDS:
            return True
        if capture.status == Status.CREATED:
            await start_session(context, session_id)
        elif capture.status == Status.STARTING and number % FAILED_EVERY == 0:
            async with context.db.transaction() as session:
                await sessions.fail(session, await sessions.lock_session(session, session_id), "x", "y")
        elif capture.status == Status.STARTING:
            await publish_media(context, streams[0])
        elif capture.status == Status.ACTIVE:
            await say(context, streams[0], "Hello.")
            if number % RECORDED_EVERY == 0:
                await store_once(streams[0])
            await stop_session(context, session_id)
        else:
            await detach(context, streams[0])
        return False

    async def store_once(stream_id: str) -> None:
        async with context.db.transaction() as session:
            is_stored = bool(await list_segments(session, stream_id))
        if not is_stored:
            await store_track(context, world.tenant, stream_id, world.track)

    is_over = False
    while not is_over:
        with suppress(Conflict):  # housekeeping, or the try whose commit went unnoticed, was first
            is_over = await reliably(step)
        await asyncio.sleep(world.chance.uniform(0.02, 0.4))


class Faults:
    """Each of them `FAULT_ROUNDS` times, in an order and at moments of chance."""

    def __init__(self, world: World) -> None:
        self._world = world
        kinds = [
            *(self._killer(name) for name in ("relay", "sender", "worker", "web", "valkey")),
            self._flush,
            self._restart_postgres,
        ]
        self._planned = [kind for _ in range(FAULT_ROUNDS) for kind in world.chance.sample(kinds, len(kinds))]

    async def happen(self) -> None:
        for fault in self._planned:
            await asyncio.sleep(self._world.chance.uniform(*FAULT_SECONDS))
            await reliably(fault)

    def _killer(self, name: str) -> Callable[[], Awaitable[None]]:
        async def kill() -> None:
            self._signal(name, signal.SIGKILL)

        return kill

    async def _flush(self) -> None:
        try:
            await self._world.redis.flushall()
        except Exception as error:
            raise ConnectionError from error  # it has just been killed: when it is back

    async def _restart_postgres(self) -> None:
        self._signal("postgres", signal.SIGQUIT)  # the mode `immediate`: no checkpoint, no farewell

    def _signal(self, name: str, number: signal.Signals) -> None:
        try:
            self._world.stack.kill(name, number)
        except (AssertionError, psutil.NoSuchProcess) as error:
            raise ConnectionError from error  # it is just being started again


async def pass_a_day(context: Context, failing: LedgerReceiver) -> None:
    """Let a day go by for what waits in lines: each is due sooner by as much. Then `failing` is well again.

    Nothing but the time of the next attempt is touched, and only of lines that no sender holds.
    """
    passed = timedelta()
    while passed < DAY:
        await settled(context)
        async with context.db.transaction() as session:
            due_at = await session.scalar(select(func.min(WebhookLine.due_at)))
            if due_at is None:
                break
            # Together with the soonest those go that differ from it by their jitter alone.
            span = max(due_at - utc_now(), timedelta(seconds=1)) * 1.25
            await sooner(session, span)
        passed += span
    assert passed >= DAY, "nothing waited any more"
    failing.recover()
    async with asyncio.timeout(DELIVERY_SECONDS):
        while await waiting(context):
            await settled(context)
            async with context.db.transaction() as session:
                await sooner(session, DAY)


async def sooner(session: AsyncSession, span: timedelta) -> None:
    await session.execute(
        update(WebhookLine)
        .where(WebhookLine.lease.is_(None), WebhookLine.due_at > func.clock_timestamp())
        .values(due_at=WebhookLine.due_at - span)
    )
    await ring(session, NOTIFY_CHANNEL)


async def settled(context: Context) -> None:
    """Wait until nothing is being sent, nor due."""
    async with asyncio.timeout(DELIVERY_SECONDS):
        while True:
            async with context.db.transaction() as session:
                busy = await session.scalar(
                    select(func.count()).where(
                        WebhookLine.lease.is_not(None) | (WebhookLine.due_at <= func.clock_timestamp())
                    )
                )
            if not busy:
                return
            await asyncio.sleep(0.1)


async def waiting(context: Context) -> int:
    async with context.db.transaction() as session:
        found: int = (
            await session.scalar(select(func.count()).where(WebhookDelivery.status == "pending"))
        ) or 0
        return found


async def published_events(context: Context) -> list[OutboxMessage]:
    """All that was committed, in the order of publishing, once all is published."""

    async def look() -> list[OutboxMessage]:
        async with context.db.transaction() as session:
            rows = list(
                await session.scalars(
                    select(OutboxMessage)
                    .where(OutboxMessage.kind == "event")
                    .order_by(OutboxMessage.position)
                )
            )
        if any(row.position is None for row in rows):
            raise ConnectionError("not published yet")
        return rows

    return await reliably(look)


async def check_transitions(context: Context, events: list[OutboxMessage]) -> None:
    """Each session's events are numbered without a gap, in their order, and tell how it ended."""
    numbers, moves = defaultdict(list), defaultdict(list)
    for event in events:
        numbers[event.capture_session_id].append(event.seq)
        if event.name in LIFECYCLE_NAMES:
            moves[event.capture_session_id].append(event.name)
    async with context.db.transaction() as session:
        captures = list(await session.scalars(select(CaptureSession)))
    assert len(captures) >= SESSIONS
    assert {capture.id for capture in captures} == set(numbers)
    for capture in captures:
        assert numbers[capture.id] == list(range(1, capture.last_event_seq + 1))
        assert moves[capture.id][-1] == f"capture_session.{capture.status.value}"
    assert [event.position for event in events] == list(range(1, len(events) + 1))


def check_deliveries(ledger: Ledger, receiver: LedgerReceiver, wanted: list[OutboxMessage]) -> None:
    """Everything wanted was accepted at least once, each session's in its order, under one id."""
    accepted = [line["id"] for line in ledger.of(receiver.name) if line["status"] == 200]
    lost = {event.message_id for event in wanted} - set(accepted)
    assert not lost, f"{receiver.name}: {len(lost)} of {len(wanted)} lost, such as {sorted(lost)[:5]}"
    assert set(accepted) == {event.message_id for event in wanted}
    first = {event_id: place for place, event_id in reversed(list(enumerate(accepted)))}
    places = defaultdict(list)
    for event in wanted:
        places[event.capture_session_id].append(first[event.message_id or ""])
    for session_id, order in places.items():
        assert order == sorted(order), f"{receiver.name}: out of order in {session_id}"
    for header_id, bodies in receiver.texts().items():
        assert len(bodies) == 1, f"{receiver.name}: {header_id} came with different bodies"
        assert {inner for inner, _ in bodies} == {header_id}


def check_socket(ledger: Ledger, socket: LedgerSocket, events: list[OutboxMessage], *, named: bool) -> None:
    """What it wrote down is what its route leads to, each once and in order."""
    ids = [event.message_id for event in events]
    start = ids.index(socket.first_seen) + 1 if socket.first_seen else 0
    wanted = [event.message_id for event in events[start:] if leads_to(event, socket, named=named)]
    assert [line["id"] for line in ledger.of(socket.name)] == wanted, socket.name


def leads_to(event: OutboxMessage, socket: LedgerSocket, *, named: bool) -> bool:
    route: Any = event.route
    if route["connection_id"]:
        return bool(route["connection_id"] == socket.connection_id)
    return not named and socket.connection_id not in route["except_connection_ids"]


@contextmanager
def second_web(data_dir: Path, environment: dict[str, str]) -> Iterator[str]:
    """Another web process with a hub, on the same servers."""
    port = free_port()
    with data_dir.with_suffix(".second.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "web"],
            env=os.environ | environment | {"CAPTURE_PORT": str(port), "CAPTURE_DOORS": "api,hub"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def kept_valkey_url(data_dir: Path) -> str:
    password, port = ((data_dir / f"valkey_{name}").read_text().strip() for name in ("password", "port"))
    return f"redis://:{password}@127.0.0.1:{port}/0"


@asynccontextmanager
async def open_world(folder: Path, chance: random.Random) -> AsyncIterator[World]:
    data_dir = folder / "data"
    async with AsyncExitStack() as stack:
        up = stack.enter_context(
            running_stack(
                data_dir,
                "",  # its own servers: they are to die, too
                "",
                CAPTURE_WEBHOOK_TIMEOUT_SECONDS="2",
                CAPTURE_EXPORT_LEASE_SECONDS="3",
            )
        )
        settings = Settings(
            database_url=kept_postgres_url(data_dir),
            redis_url=kept_valkey_url(data_dir),
            data_dir=data_dir,
            secret_key=(data_dir / "secret_key").read_text().strip(),
        )
        second_url = stack.enter_context(
            second_web(
                data_dir,
                {
                    "DATABASE_URL": settings.database_url or "",
                    "REDIS_URL": settings.redis_url or "",
                    "CAPTURE_SECRET_KEY": (data_dir / "secret_key").read_text().strip(),
                    "CAPTURE_DATA_DIR": str(folder / "second"),
                },
            )
        )
        context = open_context(settings)
        stack.push_async_callback(context.close)
        async with context.db.transaction() as session:
            account_id = (await session.scalars(select(ApiKey.account_id))).one()
            token, _ = await create_client_token(session, account_id, expires_in_seconds=3600, user_id="ada")
            collection = await default_collection(session, account_id)
            tenant = Tenant(account_id, collection.id, up.api_key, token)
        track = record(opus_packets(beeps(1.0), started_at_us=START_US), folder, "mic")
        yield World(up, second_url, context, tenant, context.redis, chance, track)


async def test_what_was_committed_is_what_clients_saw(tmp_path: Path) -> None:
    seed = os.environ.get("LEDGER_SEED") or secrets.token_hex(4)
    print(f"LEDGER_SEED={seed}")  # noqa: T201
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(open_world(tmp_path, chance))
        ledger = stack.enter_context(closing(Ledger(tmp_path / "ledger.jsonl")))
        callback, _, failing, hanging = receivers = [
            stack.enter_context(closing(LedgerReceiver(ledger, name)))
            for name in ("callback", "steady", "failing", "hanging")
        ]
        failing.behaviour = lambda: 503
        hanging.behaviour = lambda: None
        with world.stack.client() as client:
            for receiver in receivers[1:]:
                body = {"url": receiver.url, "events": ["*"]}
                client.post("/webhooks", json=body).raise_for_status()

        both = [world.stack.base_url, world.second_url]
        key = world.stack.api_key
        steadfast = LedgerSocket(ledger, "steadfast", [world.second_url], key, chance)
        restless = LedgerSocket(ledger, "restless", both, key, chance, restless_seconds=6.0)
        named = LedgerSocket(ledger, "named", both, key, chance, restless_seconds=9.0)
        desktop = LedgerSocket(
            ledger, "desktop", both, world.tenant.client_token, chance, restless_seconds=9.0
        )
        clients = [steadfast, restless, named, desktop]
        listening = [asyncio.create_task(client.listen()) for client in clients]
        await until(lambda: all(client.connection_id for client in clients), listening)

        async def capture_some(numbers: Iterator[int]) -> None:
            for number in numbers:
                told = {1: named.connection_id, 2: desktop.connection_id}.get(number % 8)
                await drive(world, number, await create(world, number, callback.url, told))

        faults = asyncio.create_task(Faults(world).happen())
        numbers = iter(range(SESSIONS))
        await asyncio.gather(*(capture_some(numbers) for _ in range(AT_ONCE)))
        await faults
        hanging.recover()
        exported = SESSIONS // RECORDED_EVERY - len(range(0, SESSIONS, RECORDED_EVERY * FAILED_EVERY))
        await reliably(lambda: enough_exported(world.context, exported))
        events = await published_events(world.context)
        await pass_a_day(world.context, failing)
        await check_transitions(world.context, events)
        assert [event.id for event in await published_events(world.context)] == [one.id for one in events]

        def heard_all() -> bool:
            return all(
                client.last_seen
                == [event for event in events if leads_to(event, client, named=client is desktop)][
                    -1
                ].message_id
                for client in clients
            )

        await until(heard_all, listening)
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)

        for receiver in receivers[1:]:
            check_deliveries(ledger, receiver, events)
        of_callbacks = [event for event in events if event.name in LIFECYCLE_NAMES]
        check_deliveries(ledger, callback, of_callbacks)
        for client in clients:
            check_socket(ledger, client, events, named=client is desktop)
        assert steadfast.opened == 1
        assert restless.opened > 3
        async with world.context.db.transaction() as session:
            statuses = set(await session.scalars(select(WebhookDelivery.status)))
            tries = await session.scalar(text("select max(attempts) from webhook_deliveries"))
        assert statuses == {"delivered"}
        assert tries > 5  # a day of the schedule


async def enough_exported(context: Context, count: int) -> None:
    async with context.db.transaction() as session:
        found = await session.scalar(select(func.count()).where(CaptureSession.status == Status.EXPORTED))
    if (found or 0) < count:
        raise ConnectionError("not all is exported yet")


async def until(holds: Callable[[], bool], alive: list["asyncio.Task[None]"]) -> None:
    async with asyncio.timeout(RETURN_SECONDS):
        while not holds():
            for task in alive:
                if task.done():
                    task.result()
            await asyncio.sleep(0.05)
