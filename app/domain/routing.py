"""Which sockets hear of what a stream's pipelines find (contract §3)."""

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.alerts.models import Alert
from app.domain.indexes.models import SceneIndex
from app.domain.outbox.events import Route
from app.domain.sessions.models import CaptureSession
from app.domain.streams.models import Stream
from app.domain.transcripts.models import Transcription


async def pipeline_route(session: AsyncSession, stream: Stream, named: str | None) -> Route:
    """The socket that the pipeline `named`, else the session's, else all that no running pipeline names."""
    if named is None and stream.capture_session_id is not None:
        capture = await session.get_one(CaptureSession, stream.capture_session_id)
        named = capture.ws_connection_id
    if named is not None:
        return Route(stream.collection_id, named)
    return Route(stream.collection_id, None, await _named_by_pipelines(session, stream))


async def _named_by_pipelines(session: AsyncSession, stream: Stream) -> tuple[str, ...]:
    # Words come late: those of a capture that just ended still keep to their own sockets.
    same = Stream.id == stream.id
    if stream.capture_session_id is not None:
        same = Stream.capture_session_id == stream.capture_session_id
    at_work = Stream.account_id == stream.account_id, or_(Stream.status == "connected", same)
    transcriptions = (
        select(Transcription.ws_connection_id)
        .join(Stream, Stream.id == Transcription.stream_id)
        .where(*at_work, Transcription.status == "running", Transcription.ws_connection_id.is_not(None))
    )
    indexes = (
        select(SceneIndex.ws_connection_id)
        .join(Stream, Stream.id == SceneIndex.stream_id)
        .where(*at_work, SceneIndex.status == "running", SceneIndex.ws_connection_id.is_not(None))
    )
    alerts = (
        select(Alert.ws_connection_id)
        .join(SceneIndex, SceneIndex.id == Alert.index_id)
        .join(Stream, Stream.id == SceneIndex.stream_id)
        .where(*at_work, Alert.status == "enabled", Alert.ws_connection_id.is_not(None))
    )
    names = await session.scalars(transcriptions.union(indexes, alerts))
    return tuple(name for name in names if name)
