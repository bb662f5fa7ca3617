"""The export of a pulled stream: what it recorded as one asset, made when it is asked for."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, InvalidRequest
from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from app.domain.assets.service import AssetKind, StoredFile, add_asset, asset_id_of
from app.domain.operations.models import Operation
from app.domain.operations.service import (
    OperationKind,
    find_operation,
    request_operation,
    restart_operation,
)
from app.domain.streams.models import Pull, Segment, Stream
from app.domain.streams.service import list_segments
from app.media.frames import Codec


@dataclass(frozen=True, slots=True)
class StreamExport:
    """What an export is made of: segments of the picture and of the sound, in time order. Either may lack."""

    asset_id: str
    kind: AssetKind
    name: str
    video: tuple[Segment, ...]
    audio: tuple[Segment, ...]

    @property
    def zero_us(self) -> int:
        return min(segment.started_at_us for segment in (*self.video, *self.audio))

    @property
    def ends_at_us(self) -> int:
        return max(segment.ended_at_us for segment in (*self.video, *self.audio))


def exported_stream_shape(stream_id: str, asset: Asset, links: Links) -> dict[str, Any]:
    """What `export` of a stream answers."""
    return {
        "rtstream_id": stream_id,
        "video_id": asset.id,
        "name": asset.name,
        "duration": asset.length_seconds,
        **links.of_asset(asset),
    }


async def request_stream_export(
    session: AsyncSession, stream: Stream, *, name: str | None
) -> Operation | None:
    """Export a pulled stream that is stopped; None for a channel of a session, and for what is exported.

    The operation waits for what is still to be stored. Raises `InvalidRequest` while the stream is pulled,
    and where nothing is stored of it.
    """
    pull = await session.get(Pull, stream.id)
    if pull is None:
        return None
    if pull.is_wanted:
        raise InvalidRequest(f"{stream.name} still runs: stop it before exporting it")
    if stream.exported_asset_id is not None:
        return None
    if not stream.store:
        raise InvalidRequest(f"{stream.name} was not stored, so there is nothing to export")
    request = {"stream_id": stream.id, "name": name}
    # One operation for each time that it was stopped: started again it records more.
    subject = f"export:{stream.id}:{pull.wanted_changed_at.timestamp():.6f}"
    operation = await find_operation(session, stream.account_id, subject)
    # Done, and its asset deleted since; or failed, and to be tried again.
    if operation is not None and operation.status in ("done", "failed"):
        await restart_operation(session, operation)
        return operation
    return operation or await request_operation(
        session, stream.account_id, OperationKind.EXPORT_STREAM, subject, request
    )


async def plan_stream_export(session: AsyncSession, operation: Operation) -> StreamExport | None:
    """What the operation is to make; None while the stream is still being stored.

    Raises `Conflict` when nothing was recorded, or when the stream runs again.
    """
    stream = await session.get(Stream, operation.request["stream_id"], populate_existing=True)
    pull = await session.get(Pull, operation.request["stream_id"], populate_existing=True)
    if stream is None or pull is None or pull.is_wanted:
        raise Conflict("the stream runs again, or was deleted", code="not_stopped")
    if stream.status != "stopped":
        return None
    segments = await list_segments(session, stream.id)
    if not segments:
        raise Conflict(f"{stream.name} recorded nothing", code="nothing_recorded")
    video = tuple(segment for segment in segments if Codec(segment.codec).is_video)
    audio = tuple(segment for segment in segments if not Codec(segment.codec).is_video)
    kind: AssetKind = "video" if video else "audio"
    name = operation.request["name"] or stream.name
    return StreamExport(asset_id_of(kind, operation.id), kind, name, video, audio)


async def finish_stream_export(
    session: AsyncSession, operation: Operation, planned: StreamExport, file: StoredFile
) -> Asset:
    """Register a stream's export, in the caller's transaction, which also finishes the operation."""
    stream = await session.scalar(
        select(Stream).where(Stream.id == operation.request["stream_id"]).with_for_update()
    )
    if stream is None:
        raise Conflict("the stream was deleted", code="not_stopped")
    asset = await add_asset(
        session,
        asset_id=planned.asset_id,
        account_id=operation.account_id,
        collection_id=stream.collection_id,
        kind=planned.kind,
        name=planned.name,
        file=file,
    )
    if stream.status == "stopped":
        stream.exported_asset_id = asset.id
    return asset
