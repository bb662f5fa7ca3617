"""Requests long-running work once, hands it out under a lease, and keeps how it ended."""

import json
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import CaptureError, Conflict, InvalidRequest, NotFound
from app.base.ids import new_id, utc_now
from app.domain.operations.callbacks import tell_of_failure
from app.domain.operations.models import Operation
from app.domain.outbox.jobs import RING_AGAIN_SECONDS, Job, enqueue

MAX_ATTEMPTS = 5


class OperationKind(StrEnum):
    EXPORT_SESSION = "export_session"
    EXPORT_DISPLAY = "export_display"
    EXPORT_STREAM = "export_stream"
    IMPORT_UPLOAD = "import_upload"
    INDEX_SPOKEN_WORDS = "index_spoken_words"
    EXTRACT_SCENES = "extract_scenes"
    INDEX_RECORDING = "index_recording"
    DESCRIBE_SCENE = "describe_scene"
    ANSWER_QUESTION = "answer_question"
    MAKE_DOWNLOAD = "make_download"
    RENDER_TIMELINE = "render_timeline"
    ERASE = "erase"


# SDKs poll for less long. Nobody asks for an answer again, and it holds what was said.
ANSWERS_KEPT_SECONDS = 900.0


class LeaseLost(Conflict):
    """Another worker has taken this operation over; what was made here must be dropped."""

    code = "lease_lost"


async def request_operation(
    session: AsyncSession, account_id: str, kind: OperationKind, subject: str, request: dict[str, Any]
) -> Operation:
    """Return the operation of `subject`, made and enqueued if there was none.

    Raises `InvalidRequest` for a request that holds what the database's JSON cannot.
    """
    _check_storable(request)
    made = await session.scalar(
        insert(Operation)
        .values(
            id=new_id("op"),
            account_id=account_id,
            kind=kind.value,
            subject=subject,
            request=request,
            status="pending",
            percentage=0,
            attempts=0,
        )
        .on_conflict_do_nothing(index_elements=["account_id", "subject"])
        .returning(Operation.id)
    )
    if made is not None:
        await enqueue(session, Job.RUN_OPERATION, made)
    operation = await find_operation(session, account_id, subject)
    assert operation is not None
    return operation


def _check_storable(request: dict[str, Any]) -> None:
    """Python's JSON lets NaN, lone surrogates and U+0000 through; Postgres takes none of them."""
    try:
        text = json.dumps(request, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as error:
        raise InvalidRequest("the request holds a number or a character that JSON has not") from error
    if "\\u0000" in text:
        raise InvalidRequest("the request holds the character U+0000")


async def restart_operation(session: AsyncSession, operation: Operation) -> None:
    """Run a finished or failed operation again from its start."""
    operation.status, operation.percentage, operation.attempts = "pending", 0, 0
    operation.result = operation.error = operation.leased_by = operation.leased_until = None
    operation.error_code = operation.error_status = None
    await enqueue(session, Job.RUN_OPERATION, operation.id)


async def find_operation(session: AsyncSession, account_id: str, subject: str) -> Operation | None:
    """The account's operation on `subject`, if one was ever requested."""
    return await session.scalar(
        select(Operation).where(Operation.account_id == account_id, Operation.subject == subject)
    )


async def get_operation(session: AsyncSession, account_id: str, operation_id: str) -> Operation:
    """Raises `NotFound` for an unknown operation and for another account's."""
    operation = await session.get(Operation, operation_id)
    if operation is None or operation.account_id != account_id:
        raise NotFound(f"no operation {operation_id}")
    return operation


async def take_lease(
    session: AsyncSession, operation_id: str, *, worker: str, seconds: float
) -> Operation | None:
    """Become the one that runs the operation; None when it is finished or in other hands.

    One whose every worker died is returned as `failed`, once: whoever asked last tells of it.
    """
    now = utc_now()
    taken = await session.scalar(
        update(Operation)
        .where(
            Operation.id == operation_id,
            Operation.status.in_(("pending", "running")),
            or_(Operation.leased_until.is_(None), Operation.leased_until < now),
        )
        .values(
            status="running",
            leased_by=worker,
            leased_until=now + timedelta(seconds=seconds),
            attempts=Operation.attempts + 1,
        )
        .returning(Operation)
    )
    if taken is not None and taken.attempts > MAX_ATTEMPTS:
        # A worker that dies of this operation must not take the others with it for ever.
        taken.error = f"gave up after {MAX_ATTEMPTS} attempts"
        await _end(session, taken, "failed")
    return taken


async def extend_lease(
    session: AsyncSession, operation_id: str, *, worker: str, seconds: float, percentage: int
) -> None:
    """Keep the lease and show progress. Raises `LeaseLost`."""
    kept = await session.scalar(
        update(Operation)
        .where(Operation.id == operation_id, Operation.leased_by == worker, Operation.status == "running")
        .values(leased_until=utc_now() + timedelta(seconds=seconds), percentage=percentage)
        .returning(Operation.id)
    )
    if kept is None:
        raise LeaseLost(f"operation {operation_id} is in other hands")


async def keep_request(
    session: AsyncSession, operation_id: str, *, worker: str, request: dict[str, Any]
) -> None:
    """Keep how far the work has come in its request, for whoever takes it over. Raises `LeaseLost`."""
    kept = await session.scalar(
        update(Operation)
        .where(Operation.id == operation_id, Operation.leased_by == worker, Operation.status == "running")
        .values(request=request)
        .returning(Operation.id)
    )
    if kept is None:
        raise LeaseLost(f"operation {operation_id} is in other hands")


async def finish(session: AsyncSession, operation_id: str, *, worker: str, result: dict[str, Any]) -> None:
    """Keep the result, in the transaction that makes it true. Raises `LeaseLost`."""
    await extend_lease(session, operation_id, worker=worker, seconds=0, percentage=100)
    operation = await session.get_one(Operation, operation_id)
    operation.result = result
    await _end(session, operation, "done")


async def fail(
    session: AsyncSession,
    operation_id: str,
    *,
    worker: str,
    error: CaptureError,
    retry_in_seconds: float | None,
) -> bool:
    """Keep why it failed; with `retry_in_seconds` it runs again then, as long as attempts are left.

    Returns True when it has failed for good. Raises `LeaseLost`.
    """
    await extend_lease(session, operation_id, worker=worker, seconds=0, percentage=0)
    operation = await session.get_one(Operation, operation_id)
    operation.error, operation.leased_by = error.message, None
    if error.status < 500:
        operation.error_code, operation.error_status = error.code, error.status
    if retry_in_seconds is not None and operation.attempts < MAX_ATTEMPTS:
        operation.status = "pending"
        operation.leased_until = utc_now() + timedelta(seconds=retry_in_seconds)
        return False
    await _end(session, operation, "failed")
    return True


async def _end(session: AsyncSession, operation: Operation, status: str) -> None:
    operation.status, operation.leased_until = status, None
    if status == "failed":
        await tell_of_failure(session, operation)
    if status == "failed" or operation.attempts > 1:
        # Tries that were cut short have left what they made.
        await enqueue(session, Job.TIDY_OPERATION, operation.id)


async def ring_abandoned(session: AsyncSession) -> None:
    """Ask again for every unfinished operation that nobody runs: its worker died, or its retry is due."""
    now = utc_now()
    ring_again = Operation.rung_at < now - timedelta(seconds=RING_AGAIN_SECONDS)
    abandoned = await session.scalars(
        update(Operation)
        .where(
            Operation.status.in_(("pending", "running")),
            or_(
                and_(
                    Operation.leased_until < now, or_(Operation.rung_at < Operation.leased_until, ring_again)
                ),
                and_(Operation.leased_until.is_(None), ring_again),
            ),
        )
        .values(rung_at=now)
        .returning(Operation.id)
    )
    for operation_id in abandoned.all():
        await enqueue(session, Job.RUN_OPERATION, operation_id)


async def forget_answers(session: AsyncSession) -> None:
    """Remove questions and their answers when whoever asked has had them."""
    long_ago = utc_now() - timedelta(seconds=ANSWERS_KEPT_SECONDS)
    await session.execute(
        delete(Operation).where(
            Operation.kind == OperationKind.ANSWER_QUESTION.value, Operation.created_at < long_ago
        )
    )
