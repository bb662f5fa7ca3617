import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from app.base.ids import utc_now
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind, request_operation
from app.domain.sessions.models import CaptureSession
from app.domain.streams.models import Stream
from app.process import Context
from tests.fixtures.factories import (
    Tenant,
    add_segment_row,
    clear_jobs,
    detach,
    events_of,
    jobs_of,
    make_active,
    make_session,
    make_stopped,
    make_tenant,
    start_session,
    status_of,
    stop_session,
    stream_row,
)
from workers.tasks.keep_house import keep_house

LONG_AGO = timedelta(hours=1)


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


async def age(context: Context, model: type[Any] = CaptureSession, by: timedelta = LONG_AGO) -> None:
    """Move the rows' times into the past."""
    past = utc_now() - by
    values = {"status_changed_at": past} if model is CaptureSession else {"publisher_changed_at": past}
    async with context.db.transaction() as session:
        await session.execute(update(model).values(**values))


async def names(context: Context, session_id: str) -> list[str]:
    return [event.name.rpartition(".")[2] for event in await events_of(context, session_id)]


async def end_reason(context: Context, session_id: str) -> str | None:
    async with context.db.transaction() as session:
        return (await session.get_one(CaptureSession, session_id)).end_reason


async def test_a_session_that_no_media_came_to_fails(context: Context, tenant: Tenant) -> None:
    session_id = await make_session(context, tenant)
    await start_session(context, session_id)
    await keep_house(context, "")
    assert await status_of(context, session_id) == "starting"
    await age(context)
    await asyncio.gather(*(keep_house(context, "") for _ in range(3)))
    assert await names(context, session_id) == ["created", "starting", "failed"]
    envelope = (await events_of(context, session_id))[-1].payload["envelope"]
    assert envelope["data"]["error"]["code"] == "no_media"


async def test_a_session_whose_publisher_vanished_is_stopped(context: Context, tenant: Tenant) -> None:
    session_id, opened = await make_active(context, tenant)
    (stream_id,) = opened.values()
    async with context.db.transaction() as session:
        await session.execute(update(Stream).values(publisher_seen_at=utc_now() - LONG_AGO))
    await age(context)
    await keep_house(context, "")
    assert (await stream_row(context, stream_id)).publisher_state == "lost"
    assert await status_of(context, session_id) == "active"  # it may come back
    await age(context, Stream)
    await keep_house(context, "")
    assert await names(context, session_id) == ["created", "starting", "active", "stopping", "stopped"]
    assert await end_reason(context, session_id) == "publisher_vanished"
    assert await jobs_of(context, "request_export") == [session_id]


async def test_a_session_whose_publishers_all_said_goodbye_is_stopped_soon(
    context: Context, tenant: Tenant
) -> None:
    session_id, opened = await make_active(context, tenant)
    await detach(context, *opened.values())
    await keep_house(context, "")
    assert await status_of(context, session_id) == "active"
    await age(context, Stream, timedelta(seconds=10))
    await keep_house(context, "")
    assert await status_of(context, session_id) == "stopped"


async def test_a_session_that_does_not_drain_is_stopped(context: Context, tenant: Tenant) -> None:
    session_id, opened = await make_active(context, tenant, ("mic", "screen"))
    await stop_session(context, session_id)
    await keep_house(context, "")
    assert await status_of(context, session_id) == "stopping"
    await age(context)
    await keep_house(context, "")
    assert await status_of(context, session_id) == "stopped"
    for stream_id in opened.values():
        assert (await stream_row(context, stream_id)).status == "stopped"


async def test_an_active_session_with_a_live_publisher_is_left_alone(
    context: Context, tenant: Tenant
) -> None:
    session_id, _ = await make_active(context, tenant)
    await age(context)
    await age(context, Stream)
    await keep_house(context, "")
    assert await status_of(context, session_id) == "active"


async def test_an_export_whose_request_got_lost_is_requested(context: Context, tenant: Tenant) -> None:
    recorded, streams = await make_stopped(context, tenant)
    await add_segment_row(context, streams["mic:default"])
    await make_stopped(context, tenant)  # recorded nothing
    await clear_jobs(context)
    await keep_house(context, "")
    assert await jobs_of(context, "run_operation") == []  # its own request may be on its way
    await age(context)
    for _ in range(2):
        await keep_house(context, "")
    async with context.db.transaction() as session:
        (operation,) = (await session.scalars(select(Operation))).all()
    assert operation.request == {"capture_session_id": recorded}
    assert await jobs_of(context, "run_operation") == [operation.id]


async def test_one_session_that_cannot_be_ended_does_not_keep_the_rest_of_the_house(
    context: Context, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.domain.sessions import service as sessions

    broken, whole = [await make_session(context, tenant) for _ in range(2)]
    for session_id in (broken, whole):
        await start_session(context, session_id)
    await age(context)
    lock = sessions.lock_session

    async def failing(session: Any, session_id: str) -> CaptureSession:
        if session_id == broken:
            raise LookupError(session_id)
        return await lock(session, session_id)

    monkeypatch.setattr(sessions, "lock_session", failing)
    await keep_house(context, "")
    assert await status_of(context, whole) == "failed"


async def test_answers_are_forgotten_and_other_results_kept(context: Context, tenant: Tenant) -> None:
    kinds = (OperationKind.ANSWER_QUESTION, OperationKind.MAKE_DOWNLOAD)
    async with context.db.transaction() as session:
        made = {
            (kind, when): (await request_operation(session, tenant.account_id, kind, f"{kind}:{when}", {})).id
            for kind in kinds
            for when in ("now", "then")
        }
        long_ago = [made[kind, "then"] for kind in kinds]
        past = utc_now() - LONG_AGO
        await session.execute(update(Operation).where(Operation.id.in_(long_ago)).values(created_at=past))
    await keep_house(context, "")
    async with context.db.transaction() as session:
        left = set(await session.scalars(select(Operation.id)))
    assert left == set(made.values()) - {made[OperationKind.ANSWER_QUESTION, "then"]}
