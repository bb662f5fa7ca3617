"""Which ingest process a session is given to, and when it gets another."""

import asyncio

import pytest

from app.domain.nodes.service import NodeState, node_alive, node_gone
from app.domain.sessions.placement import give_session, node_elsewhere, place_session
from app.domain.sessions.service import lock_session
from app.process import Context
from tests.fixtures.factories import Tenant, make_session, make_tenant, start_session, stop_session


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


async def started(context: Context, tenant: Tenant) -> str:
    session_id = await make_session(context, tenant)
    await start_session(context, session_id, ("mic", "screen"))
    return session_id


async def alive(context: Context, node_id: str, publishers: int = 0, limit: int = 10) -> None:
    async with context.db.transaction() as session:
        await node_alive(session, node_id, NodeState(f"https://{node_id}.example", publishers, limit))


async def placed(context: Context, session_id: str) -> str | None:
    async with context.db.transaction() as session:
        node = await place_session(session, await lock_session(session, session_id))
        return node.id if node else None


async def test_a_session_goes_to_the_process_with_the_least_and_stays_there(
    context: Context, tenant: Tenant
) -> None:
    first = await started(context, tenant)
    assert await placed(context, first) is None
    await alive(context, "ing-busy", publishers=5)
    await alive(context, "ing-idle")
    assert await placed(context, first) == "ing-idle"
    await alive(context, "ing-idle", publishers=10)  # full now, and still the session's
    assert await placed(context, first) == "ing-idle"
    assert await placed(context, await started(context, tenant)) == "ing-busy"
    await alive(context, "ing-busy", publishers=10)
    assert await placed(context, await started(context, tenant)) is None


async def test_sessions_of_one_moment_are_spread(context: Context, tenant: Tenant) -> None:
    for node_id in ("ing-1", "ing-2", "ing-3"):
        await alive(context, node_id)
    chosen = [await placed(context, await started(context, tenant)) for _ in range(6)]
    assert sorted(map(str, chosen)) == ["ing-1", "ing-1", "ing-2", "ing-2", "ing-3", "ing-3"]


async def test_load_is_a_share_of_what_a_process_may_carry(context: Context, tenant: Tenant) -> None:
    await alive(context, "ing-large", publishers=20, limit=100)
    await alive(context, "ing-small", publishers=5, limit=10)
    assert await placed(context, await started(context, tenant)) == "ing-large"


async def test_a_session_whose_process_died_gets_another(context: Context, tenant: Tenant) -> None:
    session_id = await started(context, tenant)
    await alive(context, "ing-1")
    assert await placed(context, session_id) == "ing-1"
    async with context.db.transaction() as session:
        await node_gone(session, "ing-1")
    await alive(context, "ing-2")
    assert await placed(context, session_id) == "ing-2"
    await stop_session(context, session_id)
    assert await placed(context, session_id) == "ing-2"
    async with context.db.transaction() as session:
        await node_gone(session, "ing-2")
    await alive(context, "ing-3")
    assert await placed(context, session_id) is None  # it takes no media any more


async def test_requests_at_the_same_time_agree(context: Context, tenant: Tenant) -> None:
    session_id = await started(context, tenant)
    for node_id in ("ing-1", "ing-2"):
        await alive(context, node_id)

    async def choose() -> str | None:
        async with context.db.transaction() as session:
            capture = await lock_session(session, session_id)
            node = await place_session(session, capture)
            return node.id if node else None

    assert len(set(await asyncio.gather(*(choose() for _ in range(6))))) == 1


async def test_only_a_live_process_is_a_reason_to_go_elsewhere(context: Context, tenant: Tenant) -> None:
    session_id = await started(context, tenant)
    await alive(context, "ing-1")
    async with context.db.transaction() as session:
        capture = await lock_session(session, session_id)
        assert await node_elsewhere(session, capture, "ing-2") is None  # nobody was chosen yet
        assert await give_session(session, capture, "ing-1")
        assert not await give_session(session, capture, "ing-9")  # chosen meanwhile
        await session.refresh(capture)
        elsewhere = await node_elsewhere(session, capture, "ing-2")
        assert elsewhere is not None
        assert elsewhere.whip_url == "https://ing-1.example"
        assert await node_elsewhere(session, capture, "ing-1") is None
        await node_gone(session, "ing-1")
        assert await node_elsewhere(session, capture, "ing-2") is None
