from datetime import timedelta

from sqlalchemy import func, select, update

from app.base.ids import utc_now
from app.domain.nodes.models import IngestNode
from app.domain.nodes.service import (
    SILENCE_SECONDS,
    NodeState,
    forget_silent_nodes,
    list_live_nodes,
    node_alive,
    node_gone,
)
from app.process import Context


async def alive(context: Context, node_id: str, publishers: int = 0) -> None:
    async with context.db.transaction() as session:
        await node_alive(session, node_id, NodeState(f"https://{node_id}.example", publishers, 600))


async def found(context: Context) -> list[tuple[str, int]]:
    async with context.db.transaction() as session:
        return [(node.id, node.publishers) for node in await list_live_nodes(session)]


async def fall_silent(context: Context, node_id: str) -> None:
    async with context.db.transaction() as session:
        await session.execute(
            update(IngestNode)
            .where(IngestNode.id == node_id)
            .values(seen_at=utc_now() - timedelta(seconds=SILENCE_SECONDS + 1))
        )


async def test_nodes_that_live_are_found_with_what_they_said_last(context: Context) -> None:
    assert await found(context) == []
    await alive(context, "ing-1")
    await alive(context, "ing-2", publishers=7)
    await alive(context, "ing-2", publishers=8)
    assert await found(context) == [("ing-1", 0), ("ing-2", 8)]
    await fall_silent(context, "ing-2")
    assert await found(context) == [("ing-1", 0)]
    async with context.db.transaction() as session:
        await forget_silent_nodes(session)
        await node_gone(session, "ing-1")
        assert await session.scalar(select(func.count()).select_from(IngestNode)) == 0
