"""Which ingest process takes a capture session's media: one for all its channels, for as long as it lives."""

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.nodes.models import IngestNode
from app.domain.nodes.service import list_live_nodes
from app.domain.sessions.models import CaptureSession, Channel
from app.domain.sessions.states import Status

_TAKING_MEDIA = (Status.STARTING, Status.ACTIVE)


async def place_session(session: AsyncSession, capture: CaptureSession) -> IngestNode | None:
    """The process that the session has, or gets: of those with room, the one with the least to carry.

    None where no process lives that has room, and for a session that takes no media and has none.
    """
    nodes = await list_live_nodes(session)
    if (own := _find(nodes, capture.ingest_node)) is not None:
        return own
    if capture.status not in _TAKING_MEDIA:
        return None
    promised = await _promised(session)
    free = [node for node in nodes if node.publishers < node.max_publishers]
    if not free:
        return None
    # What was promised since a process last spoke counts too, or all sessions of a moment go to one.
    chosen = min(free, key=lambda node: max(node.publishers, promised.get(node.id, 0)) / node.max_publishers)
    given = await give_session(session, capture, chosen.id)
    await session.refresh(capture, ["ingest_node"])
    if given:
        return chosen
    return _find(nodes, capture.ingest_node)  # another request was quicker


async def give_session(session: AsyncSession, capture: CaptureSession, node_id: str) -> bool:
    """Have the session's media go to this process from now on.

    False, and nothing changed, where another was chosen since `capture` was read.
    """
    given = await session.execute(
        update(CaptureSession)
        .where(
            CaptureSession.id == capture.id,
            CaptureSession.ingest_node.is_not_distinct_from(capture.ingest_node),
        )
        .values(ingest_node=node_id)
        .returning(CaptureSession.id)
        .execution_options(synchronize_session=False)
    )
    return given.first() is not None


async def node_elsewhere(session: AsyncSession, capture: CaptureSession, node_id: str) -> IngestNode | None:
    """The live process, other than this one, that the session's media goes to; None: it may come here."""
    own = _find(await list_live_nodes(session), capture.ingest_node)
    return None if own is None or own.id == node_id else own


def _find(nodes: Sequence[IngestNode], node_id: str | None) -> IngestNode | None:
    return next((node for node in nodes if node.id == node_id), None)


async def _promised(session: AsyncSession) -> dict[str, int]:
    """How many channels of running sessions each process has been given."""
    rows = await session.execute(
        select(CaptureSession.ingest_node, func.count(Channel.id))
        .join(Channel, Channel.capture_session_id == CaptureSession.id)
        .where(CaptureSession.status.in_(_TAKING_MEDIA), CaptureSession.ingest_node.is_not(None))
        .group_by(CaptureSession.ingest_node)
    )
    return {str(row[0]): row[1] for row in rows}
