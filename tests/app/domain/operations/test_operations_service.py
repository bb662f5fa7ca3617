import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from app.base.errors import NotFound, Unavailable, Unprocessable
from app.base.ids import utc_now
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.domain.operations.service import MAX_ATTEMPTS, LeaseLost, OperationKind
from app.process import Context
from tests.fixtures.factories import Tenant, clear_jobs, jobs_of, make_tenant

KIND = OperationKind.RENDER_TIMELINE


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


@pytest.fixture
async def operation_id(context: Context, tenant: Tenant) -> str:
    async with context.db.transaction() as session:
        return (await operations.request_operation(session, tenant.account_id, KIND, "render:1", {})).id


async def take(context: Context, operation_id: str, worker: str, seconds: float = 60) -> Operation | None:
    async with context.db.transaction() as session:
        return await operations.take_lease(session, operation_id, worker=worker, seconds=seconds)


async def row(context: Context, operation_id: str) -> Operation:
    async with context.db.transaction() as session:
        return await session.get_one(Operation, operation_id)


async def change(context: Context, **values: Any) -> None:
    async with context.db.transaction() as session:
        await session.execute(update(Operation).values(**values))


async def test_a_subject_is_requested_once_however_many_ask(context: Context, tenant: Tenant) -> None:
    async def request() -> str:
        async with context.db.transaction() as session:
            made = await operations.request_operation(session, tenant.account_id, KIND, "render:1", {"n": 1})
            return made.id

    assert len(set(await asyncio.gather(*(request() for _ in range(5))))) == 1
    assert len(await jobs_of(context, "run_operation")) == 1
    other = await make_tenant(context)
    async with context.db.transaction() as session:
        mine = await operations.find_operation(session, tenant.account_id, "render:1")
        assert mine is not None
        assert await operations.find_operation(session, other.account_id, "render:1") is None
        with pytest.raises(NotFound):
            await operations.get_operation(session, other.account_id, mine.id)


async def test_one_of_two_workers_takes_the_lease(context: Context, operation_id: str) -> None:
    taken = await asyncio.gather(*(take(context, operation_id, f"worker-{n}") for n in range(4)))
    (winner,) = [one for one in taken if one is not None]
    assert (winner.status, winner.attempts) == ("running", 1)
    assert (await row(context, operation_id)).leased_by == winner.leased_by
    assert await take(context, operation_id, "late") is None


async def test_a_lease_that_ran_out_is_taken_over_and_its_first_holder_saves_nothing(
    context: Context, operation_id: str
) -> None:
    await take(context, operation_id, "first")
    await change(context, leased_until=utc_now() - timedelta(seconds=1))
    assert await take(context, operation_id, "second") is not None

    async def finish(worker: str) -> None:
        async with context.db.transaction() as session:
            await operations.finish(session, operation_id, worker=worker, result={"by": worker})

    with pytest.raises(LeaseLost):
        await finish("first")
    with pytest.raises(LeaseLost):
        async with context.db.transaction() as session:
            await operations.fail(
                session, operation_id, worker="first", error=Unavailable("x"), retry_in_seconds=None
            )
    await finish("second")
    done = await row(context, operation_id)
    assert (done.status, done.result, done.percentage) == ("done", {"by": "second"}, 100)
    with pytest.raises(LeaseLost):
        await finish("second")
    assert await take(context, operation_id, "third") is None


async def test_extending_shows_progress(context: Context, operation_id: str) -> None:
    await take(context, operation_id, "worker", seconds=1)
    async with context.db.transaction() as session:
        await operations.extend_lease(session, operation_id, worker="worker", seconds=60, percentage=42)
    extended = await row(context, operation_id)
    assert extended.percentage == 42
    assert extended.leased_until is not None
    assert extended.leased_until > utc_now() + timedelta(seconds=50)


async def test_a_failure_is_tried_again_later_and_in_the_end_given_up(
    context: Context, operation_id: str
) -> None:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert await take(context, operation_id, "worker") is not None
        async with context.db.transaction() as session:
            final = await operations.fail(
                session,
                operation_id,
                worker="worker",
                error=Unavailable(f"try {attempt}"),
                retry_in_seconds=60,
            )
        assert final == (attempt == MAX_ATTEMPTS)
        assert await take(context, operation_id, "eager") is None  # not before its time
        await change(context, leased_until=utc_now() - timedelta(seconds=1))
    failed = await row(context, operation_id)
    assert (failed.status, failed.error) == ("failed", f"try {MAX_ATTEMPTS}")
    assert failed.error_status is None  # ours


async def test_a_failure_that_no_retry_helps_is_final(context: Context, operation_id: str) -> None:
    await take(context, operation_id, "worker")
    async with context.db.transaction() as session:
        assert await operations.fail(
            session, operation_id, worker="worker", error=Unprocessable("bad input"), retry_in_seconds=None
        )
    failed = await row(context, operation_id)
    assert (failed.status, failed.error_code, failed.error_status) == ("failed", "unprocessable", 422)


async def test_an_operation_that_kills_its_workers_is_given_up(context: Context, operation_id: str) -> None:
    for number in range(MAX_ATTEMPTS):
        assert await take(context, operation_id, f"worker-{number}") is not None
        await change(context, leased_until=utc_now() - timedelta(seconds=1))
    told = await take(context, operation_id, "one more")
    assert told is not None
    assert told.status == "failed"
    assert await take(context, operation_id, "too many") is None
    given_up = await row(context, operation_id)
    assert given_up.status == "failed"
    assert f"{MAX_ATTEMPTS} attempts" in (given_up.error or "")


async def test_a_restart_begins_from_nothing(context: Context, operation_id: str) -> None:
    await take(context, operation_id, "worker")
    async with context.db.transaction() as session:
        await operations.finish(session, operation_id, worker="worker", result={"n": 1})
    await clear_jobs(context)
    async with context.db.transaction() as session:
        await operations.restart_operation(session, await session.get_one(Operation, operation_id))
    again = await row(context, operation_id)
    assert (again.status, again.attempts, again.percentage, again.result) == ("pending", 0, 0, None)
    assert await jobs_of(context, "run_operation") == [operation_id]
    assert await take(context, operation_id, "worker") is not None


LONG_AGO = timedelta(minutes=5)
MOMENT = timedelta(seconds=1)


async def test_who_is_rung_for_again(context: Context, operation_id: str) -> None:
    for status, leased, rung, rings in [
        ("pending", None, MOMENT, False),  # its first ring is on its way
        ("pending", None, LONG_AGO, True),  # its first ring was lost
        ("running", -MOMENT, LONG_AGO, False),  # at work
        ("running", MOMENT, LONG_AGO, True),  # its worker died
        ("pending", MOMENT, LONG_AGO, True),  # its retry is due
        ("pending", -LONG_AGO, LONG_AGO, False),  # its retry is not
        ("running", MOMENT, MOMENT / 2, False),  # rung since; the queue is not filled with it
        ("done", None, LONG_AGO, False),
        ("failed", None, LONG_AGO, False),
    ]:
        await clear_jobs(context)
        now = utc_now()
        await change(
            context, status=status, leased_until=None if leased is None else now - leased, rung_at=now - rung
        )
        for _ in range(2):  # the second round finds it rung
            async with context.db.transaction() as session:
                await operations.ring_abandoned(session)
        assert await jobs_of(context, "run_operation") == [operation_id] * rings, (status, leased, rung)
