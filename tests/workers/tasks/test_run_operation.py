import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.base.errors import Unavailable, Unprocessable
from app.base.ids import utc_now
from app.domain.exports.service import request_export
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.domain.operations.service import MAX_ATTEMPTS, OperationKind
from app.process import Context
from tests.fixtures.eventually import eventually
from tests.fixtures.factories import (
    add_segment_row,
    events_of,
    make_stopped,
    make_tenant,
    status_of,
)
from workers.tasks import run_operation as task
from workers.tasks.lease import Lease
from workers.tasks.run_operation import run_operation

KIND = OperationKind.RENDER_TIMELINE
Work = Callable[[Context, Operation, Lease], Coroutine[Any, Any, None]]
LIMIT_SECONDS = 20


@pytest.fixture
async def operation_id(context: Context) -> str:
    tenant = await make_tenant(context)
    async with context.db.transaction() as session:
        return (await operations.request_operation(session, tenant.account_id, KIND, "render:1", {})).id


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Work], None]:
    """Lets an operation's work be this function."""
    return lambda work: monkeypatch.setitem(task.HANDLERS, KIND, work)


async def row(context: Context, operation_id: str) -> Operation:
    async with context.db.transaction() as session:
        return await session.get_one(Operation, operation_id)


async def expire(context: Context) -> None:
    async with context.db.transaction() as session:
        await session.execute(update(Operation).values(leased_until=utc_now() - timedelta(seconds=1)))


async def finish(context: Context, operation: Operation, lease: Lease) -> None:
    async with context.db.transaction() as session:
        await operations.finish(session, operation.id, worker=lease.worker, result={"by": lease.worker})


def short_leases(context: Context) -> Context:
    settings = context.settings.model_copy(update={"export_lease_seconds": 0.2})
    return Context(settings, context.db, context.redis, context.storage)


async def test_work_that_ends_well_runs_once(
    context: Context, operation_id: str, handle: Callable[[Work], None]
) -> None:
    runs = 0

    async def work(context: Context, operation: Operation, lease: Lease) -> None:
        nonlocal runs
        runs += 1
        await finish(context, operation, lease)

    handle(work)
    await asyncio.gather(*(run_operation(context, operation_id) for _ in range(3)))
    await run_operation(context, operation_id)
    assert runs == 1
    assert (await row(context, operation_id)).status == "done"
    await run_operation(context, "op-none")


async def test_a_mistake_of_the_caller_fails_at_once_and_says_why(
    context: Context, operation_id: str, handle: Callable[[Work], None]
) -> None:
    async def work(*_: object) -> None:
        raise Unprocessable("this file has no sound")

    handle(work)
    await run_operation(context, operation_id)
    failed = await row(context, operation_id)
    assert (failed.status, failed.error, failed.attempts) == ("failed", "this file has no sound", 1)


@pytest.mark.parametrize(
    ("error", "message"),
    [(Unavailable("storage is away"), "storage is away"), (LookupError("a secret"), "internal error")],
)
async def test_what_may_pass_is_tried_again_and_a_bug_keeps_its_details_to_the_log(
    context: Context,
    operation_id: str,
    handle: Callable[[Work], None],
    error: Exception,
    message: str,
) -> None:
    async def work(*_: object) -> None:
        raise error

    handle(work)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        await run_operation(context, operation_id)
        await run_operation(context, operation_id)  # before its time: nothing happens
        failed = await row(context, operation_id)
        assert (failed.attempts, failed.error) == (attempt, message)
        assert failed.status == ("failed" if attempt == MAX_ATTEMPTS else "pending")
        await expire(context)
    await run_operation(context, operation_id)
    assert (await row(context, operation_id)).attempts == MAX_ATTEMPTS


async def test_a_long_work_keeps_its_lease_and_shows_how_far_it_is(
    context: Context, operation_id: str, handle: Callable[[Work], None]
) -> None:
    short = short_leases(context)

    async def work(context: Context, operation: Operation, lease: Lease) -> None:
        first = (await row(context, operation_id)).leased_until
        lease.report(0.42)

        async def shown() -> bool:
            return (await row(context, operation_id)).percentage == 42

        await eventually(shown)
        extended = (await row(context, operation_id)).leased_until
        assert first is not None
        assert extended is not None
        assert extended > first
        await finish(context, operation, lease)

    handle(work)
    async with asyncio.timeout(LIMIT_SECONDS):
        await run_operation(short, operation_id)
    assert (await row(context, operation_id)).status == "done"


async def test_work_whose_lease_was_taken_over_is_broken_off_and_saves_nothing(
    context: Context, operation_id: str, handle: Callable[[Work], None]
) -> None:
    begun, broken_off = asyncio.Event(), asyncio.Event()

    async def work(context: Context, operation: Operation, lease: Lease) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            broken_off.set()
            raise

    handle(work)
    async with asyncio.timeout(LIMIT_SECONDS):
        running = asyncio.create_task(run_operation(short_leases(context), operation_id))
        await begun.wait()
        async with context.db.transaction() as session:
            await session.execute(update(Operation).values(leased_by="another worker"))
        await running
    assert broken_off.is_set()
    taken = await row(context, operation_id)
    assert (taken.status, taken.leased_by, taken.error) == ("running", "another worker", None)


async def test_a_result_that_comes_after_the_lease_was_lost_is_dropped(
    context: Context, operation_id: str, handle: Callable[[Work], None]
) -> None:
    async def work(context: Context, operation: Operation, lease: Lease) -> None:
        async with context.db.transaction() as session:
            await session.execute(update(Operation).values(leased_by="another worker"))
        await finish(context, operation, lease)

    handle(work)
    await run_operation(context, operation_id)
    taken = await row(context, operation_id)
    assert (taken.status, taken.result, taken.error) == ("running", None, None)


async def stopped_with_export(context: Context) -> tuple[str, str]:
    """A stopped session whose recording's object is missing, and its export."""
    session_id, streams = await make_stopped(context, await make_tenant(context))
    await add_segment_row(context, streams["mic:default"])
    async with context.db.transaction() as session:
        operation = await request_export(session, session_id)
    assert operation is not None
    return session_id, operation.id


async def test_an_export_that_fails_for_good_fails_its_session(context: Context) -> None:
    session_id, operation_id = await stopped_with_export(context)
    await run_operation(context, operation_id)
    assert await status_of(context, session_id) == "failed"
    event = (await events_of(context, session_id))[-1].payload["envelope"]
    assert event["event"] == "capture_session.failed"
    assert event["data"]["error"]["code"] == "export_failed"


async def test_an_export_whose_workers_all_died_fails_its_session(context: Context) -> None:
    session_id, operation_id = await stopped_with_export(context)
    async with context.db.transaction() as session:
        await session.execute(
            update(Operation).values(
                status="running", attempts=MAX_ATTEMPTS, leased_until=utc_now() - timedelta(seconds=1)
            )
        )
    await run_operation(context, operation_id)
    assert (await row(context, operation_id)).status == "failed"
    assert await status_of(context, session_id) == "failed"


def test_progress_stays_within_what_can_be_shown() -> None:
    lease = Lease("worker")
    for fraction, shown in [(-1.0, 0), (0.005, 0), (0.5, 50), (1.0, 99), (7.0, 99)]:
        lease.report(fraction)
        assert lease.percentage == shown
