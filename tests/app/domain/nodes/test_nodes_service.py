from datetime import timedelta

from sqlalchemy import func, select, update

from app.base.ids import utc_now
from app.domain.nodes.models import IngestNode
from app.domain.nodes.service import (
    SILENCE_SECONDS,
    find_live_node,
    forget_silent_nodes,
    node_alive,
    node_gone,
)
from app.process import Context


async def alive(context: Context, node_id: str, port: int = 8554) -> None:
    async with context.db.transaction() as session:
        await node_alive(session, node_id, host="media.example", port=port, pin="pin")


async def found(context: Context) -> tuple[str, int] | None:
    async with context.db.transaction() as session:
        node = await find_live_node(session)
        return (node.id, node.rtsps_port) if node else None


async def fall_silent(context: Context, node_id: str) -> None:
    async with context.db.transaction() as session:
        await session.execute(
            update(IngestNode)
            .where(IngestNode.id == node_id)
            .values(seen_at=utc_now() - timedelta(seconds=SILENCE_SECONDS + 1))
        )


async def test_the_newest_node_that_lives_is_found(context: Context) -> None:
    assert await found(context) is None
    await alive(context, "ing-1")
    await alive(context, "ing-2", port=9554)
    assert await found(context) == ("ing-2", 9554)
    await alive(context, "ing-2", port=9555)
    assert await found(context) == ("ing-2", 9555)
    await fall_silent(context, "ing-2")
    assert await found(context) == ("ing-1", 8554)
    async with context.db.transaction() as session:
        await forget_silent_nodes(session)
        await node_gone(session, "ing-1")
        assert await session.scalar(select(func.count()).select_from(IngestNode)) == 0
