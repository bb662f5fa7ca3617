import asyncio
from itertools import product

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError

from app.base.errors import IllegalMove, InvalidRequest, NotFound
from app.domain.sessions import service as sessions
from app.domain.sessions.models import CaptureSession
from app.domain.sessions.states import LEGAL_MOVES, Status, check_move
from app.process import Context
from tests.fixtures.factories import (
    events_of,
    make_session,
    make_tenant,
    put_status,
    start_session,
    status_of,
)

# The wire's order of a capture's life (contract §2.1), written out a second time on purpose.
ALLOWED = {
    ("created", "starting"),
    ("created", "failed"),
    ("starting", "active"),
    ("starting", "stopping"),
    ("starting", "failed"),
    ("active", "stopping"),
    ("active", "failed"),
    ("stopping", "stopped"),
    ("stopping", "failed"),
    ("stopped", "exported"),
    ("stopped", "failed"),
}
PAIRS = list(product(Status, Status))


@pytest.mark.parametrize(("current", "wanted"), PAIRS, ids=lambda status: status.value)
def test_the_table(current: Status, wanted: Status) -> None:
    if (current, wanted) in ALLOWED:
        check_move(current, wanted)
    else:
        with pytest.raises(IllegalMove, match=f"{current}.*{wanted}"):
            check_move(current, wanted)


def test_every_status_stands_in_the_table() -> None:
    assert set(LEGAL_MOVES) == set(Status)


async def test_the_rows_move_by_the_table_and_a_refused_move_changes_nothing(context: Context) -> None:
    session_id = await make_session(context, await make_tenant(context))
    for current, wanted in PAIRS:
        async with context.db.transaction() as session:
            capture = await put_status(session, session_id, current)
            seq = capture.last_event_seq
            if (current, wanted) in ALLOWED:
                await sessions.move(session, capture, wanted)
                assert (capture.status, capture.last_event_seq) == (wanted, seq + 1)
            else:
                with pytest.raises(IllegalMove):
                    await sessions.move(session, capture, wanted)
                assert (capture.status, capture.last_event_seq) == (current, seq)
    events = await events_of(context, session_id)
    assert [event.seq for event in events] == list(range(1, len(ALLOWED) + 2))


async def test_the_database_knows_the_same_states_and_no_other(context: Context) -> None:
    session_id = await make_session(context, await make_tenant(context))
    change = text("update capture_sessions set status = :status where id = :id")
    for status in Status:
        async with context.db.transaction() as session:
            await session.execute(change, {"status": status.value, "id": session_id})
    for status in ("paused", "", "ACTIVE"):
        with pytest.raises(IntegrityError, match="ck_capture_sessions_status"):
            async with context.db.transaction() as session:
                await session.execute(change, {"status": status, "id": session_id})


async def test_a_move_and_its_event_are_one_transaction(context: Context) -> None:
    session_id = await make_session(context, await make_tenant(context))
    before = await events_of(context, session_id)

    async def move_and_break() -> None:
        async with context.db.transaction() as session:
            capture = await sessions.lock_session(session, session_id)
            await sessions.move(session, capture, Status.STARTING)
            raise LookupError

    with pytest.raises(LookupError):
        await move_and_break()
    assert await status_of(context, session_id) == "created"
    assert [event.id for event in await events_of(context, session_id)] == [event.id for event in before]


async def test_of_two_moves_at_the_same_time_one_wins(context: Context) -> None:
    session_id = await make_session(context, await make_tenant(context))
    await start_session(context, session_id)

    async def stop() -> None:
        async with context.db.transaction() as session:
            capture = await sessions.lock_session(session, session_id)
            await asyncio.sleep(0)
            await sessions.move(session, capture, Status.STOPPING)

    ended = await asyncio.gather(*(stop() for _ in range(6)), return_exceptions=True)
    assert [end for end in ended if end is None] == [None]
    assert all(isinstance(end, IllegalMove) for end in ended if end is not None)
    names = [event.name for event in await events_of(context, session_id)]
    assert names == [f"capture_session.{status}" for status in ("created", "starting", "stopping")]


async def test_events_are_numbered_in_each_session_by_itself(context: Context) -> None:
    tenant = await make_tenant(context)
    one, other = [await make_session(context, tenant) for _ in range(2)]
    await asyncio.gather(start_session(context, one), start_session(context, other))
    for session_id in (one, other):
        assert [event.seq for event in await events_of(context, session_id)] == [1, 2]


async def test_a_failed_session_says_why_in_its_row_and_its_event(context: Context) -> None:
    session_id = await make_session(context, await make_tenant(context))
    async with context.db.transaction() as session:
        await sessions.fail(
            session, await sessions.lock_session(session, session_id), "no_media", "none came"
        )
    envelope = (await events_of(context, session_id))[-1].payload["envelope"]
    assert envelope["event"] == "capture_session.failed"
    assert envelope["data"] == {"error": {"code": "no_media", "message": "none came"}}
    with pytest.raises(IllegalMove):
        async with context.db.transaction() as session:
            await sessions.fail(session, await sessions.lock_session(session, session_id), "again", "again")


async def test_a_session_that_cannot_be_made(context: Context) -> None:
    for wrong, field in [
        ({"end_user_id": None}, "end_user_id"),
        ({"end_user_id": ""}, "end_user_id"),
        ({"callback_url": "ftp://example.com"}, "callback_url"),
        ({"callback_url": "/relative"}, "callback_url"),
        ({"callback_url": "http://[broken"}, "callback_url"),
        ({"callback_url": "http://example.com:99999/"}, "callback_url"),
    ]:
        with pytest.raises(InvalidRequest) as refused:
            await make_session(context, await make_tenant(context), **wrong)
        assert refused.value.field == field


async def test_another_accounts_session_is_not_found(context: Context) -> None:
    session_id = await make_session(context, await make_tenant(context))
    stranger = await make_tenant(context)
    async with context.db.transaction() as session:
        with pytest.raises(NotFound):
            await sessions.get_session(session, stranger.account_id, session_id)
        with pytest.raises(NotFound):
            await sessions.lock_session(session, "cap-none")


async def test_lists_are_newest_first_and_go_on_where_they_stopped(context: Context) -> None:
    tenant = await make_tenant(context)
    made = [await make_session(context, tenant, end_user_id=f"user-{n % 2}") for n in range(5)]
    same = {"status": None, "end_user_id": None}
    async with context.db.transaction() as session:
        # Equal times: the id decides.
        await session.execute(update(CaptureSession).values(created_at=text("now()")))
        ids = (session, tenant.account_id, tenant.collection_id)
        first = await sessions.list_sessions(*ids, **same, limit=3, before=None)
        last = (first[-1].created_at, first[-1].id)
        rest = await sessions.list_sessions(*ids, **same, limit=3, before=last)
        assert [row.id for row in (*first, *rest)] == sorted(made, reverse=True)
        of_user = await sessions.list_sessions(
            *ids, status=Status.CREATED, end_user_id="user-1", limit=9, before=None
        )
        assert {row.id for row in of_user} == {made[1], made[3]}
        assert (
            await sessions.list_sessions(*ids, **same | {"status": Status.ACTIVE}, limit=9, before=None) == []
        )
