"""Which ingest processes live, by their own word."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import utc_now
from app.domain.nodes.models import IngestNode

BEAT_SECONDS = 2.0
SILENCE_SECONDS = 4 * BEAT_SECONDS


@dataclass(frozen=True, slots=True)
class NodeState:
    """What an ingest process says of itself: where it is reached, and how many publishers it carries.

    `whip_url` has no trailing slash; without RTSPS the port is 0.
    """

    whip_url: str
    publishers: int
    max_publishers: int
    rtsps_host: str = ""
    rtsps_port: int = 0
    rtsps_pin: str = ""


async def node_alive(session: AsyncSession, node_id: str, state: NodeState) -> None:
    """The ingest process lives; said every `BEAT_SECONDS`."""
    values = asdict(state) | {"seen_at": utc_now()}
    await session.execute(
        insert(IngestNode)
        .values(id=node_id, **values)
        .on_conflict_do_update(index_elements=[IngestNode.id], set_=values)
    )


async def node_gone(session: AsyncSession, node_id: str) -> None:
    """The ingest process ends, or was killed."""
    await session.execute(delete(IngestNode).where(IngestNode.id == node_id))


async def forget_silent_nodes(session: AsyncSession) -> None:
    """Remove the processes that died without a word."""
    await session.execute(delete(IngestNode).where(IngestNode.seen_at < _heard_since()))


async def list_live_nodes(session: AsyncSession) -> list[IngestNode]:
    """The ingest processes that were heard of within `SILENCE_SECONDS`, oldest first."""
    rows = await session.scalars(
        select(IngestNode)
        .where(IngestNode.seen_at >= _heard_since(), IngestNode.whip_url.is_not(None))
        .order_by(IngestNode.id)
    )
    return list(rows)


def _heard_since() -> datetime:
    return utc_now() - timedelta(seconds=SILENCE_SECONDS)
