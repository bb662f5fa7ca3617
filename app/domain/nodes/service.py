"""Which ingest processes live, by their own word."""

from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import utc_now
from app.domain.nodes.models import IngestNode

BEAT_SECONDS = 5.0
SILENCE_SECONDS = 3 * BEAT_SECONDS


async def node_alive(session: AsyncSession, node_id: str, *, host: str, port: int, pin: str) -> None:
    """The ingest process lives and takes RTSPS there; said every `BEAT_SECONDS`."""
    address = {"rtsps_host": host, "rtsps_port": port, "rtsps_pin": pin, "seen_at": utc_now()}
    await session.execute(
        insert(IngestNode)
        .values(id=node_id, **address)
        .on_conflict_do_update(index_elements=[IngestNode.id], set_=address)
    )


async def node_gone(session: AsyncSession, node_id: str) -> None:
    """The ingest process ends."""
    await session.execute(delete(IngestNode).where(IngestNode.id == node_id))


async def forget_silent_nodes(session: AsyncSession) -> None:
    """Remove the processes that died without a word."""
    await session.execute(
        delete(IngestNode).where(IngestNode.seen_at < utc_now() - timedelta(seconds=SILENCE_SECONDS))
    )


async def find_live_node(session: AsyncSession) -> IngestNode | None:
    """The ingest process started last, of those that were heard of within `SILENCE_SECONDS`."""
    found: IngestNode | None = await session.scalar(
        select(IngestNode)
        .where(IngestNode.seen_at >= utc_now() - timedelta(seconds=SILENCE_SECONDS))
        .order_by(IngestNode.id.desc())
        .limit(1)
    )
    return found
