"""Exports that a client asks for: the session's own, and that of any other display with the same sound."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, InvalidRequest
from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from app.domain.assets.service import StoredFile, add_asset, asset_id_of, find_asset
from app.domain.exports.service import export_status, request_export
from app.domain.operations.models import Operation
from app.domain.operations.service import (
    OperationKind,
    find_operation,
    request_operation,
    restart_operation,
)
from app.domain.outbox.events import Route, emit
from app.domain.outbox.jobs import Job, enqueue
from app.domain.outbox.session_events import ExportReady
from app.domain.sessions.models import CaptureSession, Channel
from app.domain.sessions.service import next_seq
from app.domain.sessions.states import Status
from app.domain.streams.models import Stream


@dataclass(frozen=True, slots=True)
class RequestedExport:
    """How far an export is: `exporting`, `exported` with its `video`, or `failed`."""

    video_channel_id: str | None
    status: str
    video: Asset | None = None


@dataclass(frozen=True, slots=True)
class DisplayExport:
    """What an export of a display is made of: its picture's asset, and the one whose sound goes with it."""

    asset_id: str
    name: str
    picture: Asset
    sound: Asset


async def ask_for_export(
    session: AsyncSession, capture: CaptureSession, *, video_channel_id: str | None, connection_id: str | None
) -> RequestedExport:
    """Export a stopped session, or another of its displays, once; tells how far that is.

    A socket that is named while it is not done yet hears of its end. Raises `InvalidRequest` while the
    session records, for a channel that is no stored display, and where nothing was stored.
    """
    stream = await _display(session, capture, video_channel_id) if video_channel_id else None
    channel_id = stream.name if stream else capture.primary_video_channel_id
    if capture.status in (Status.CREATED, Status.STARTING, Status.ACTIVE):
        raise InvalidRequest("this capture session still records: stop it before exporting it")
    if capture.status == Status.FAILED:
        return RequestedExport(channel_id, "failed")
    stored = select(Stream.id).where(Stream.capture_session_id == capture.id, Stream.store).limit(1)
    if await session.scalar(stored) is None:
        raise InvalidRequest("no channel of this session was stored, so there is nothing to export")
    if capture.status == Status.STOPPING:
        return RequestedExport(channel_id, "exporting")
    if stream is None or stream.name == capture.primary_video_channel_id:
        return await _session_export(session, capture, connection_id)
    return await _display_export(session, capture, stream, connection_id)


async def plan_display(session: AsyncSession, operation: Operation) -> DisplayExport | None:
    """What the operation is to make; None while its session is still being exported.

    Raises `Conflict` when that failed, or when what it made was deleted since.
    """
    capture = await session.get_one(CaptureSession, operation.request["capture_session_id"])
    stream = await session.get_one(Stream, operation.request["stream_id"])
    if capture.status == Status.STOPPED:
        return None
    sound = await find_asset(session, capture.exported_video_id)
    picture = await find_asset(session, stream.exported_asset_id)
    if sound is None or picture is None:
        raise Conflict(f"there is no recording of {stream.name} any more", code="nothing_recorded")
    return DisplayExport(
        asset_id_of("video", operation.id), f"Capture {capture.id} {stream.name}", picture, sound
    )


async def finish_display(
    session: AsyncSession, operation: Operation, planned: DisplayExport, file: StoredFile
) -> Asset:
    """Register a display's export, in the caller's transaction, which also finishes the operation."""
    asset = await add_asset(
        session,
        asset_id=planned.asset_id,
        account_id=operation.account_id,
        collection_id=planned.picture.collection_id,
        kind="video",
        name=planned.name,
        file=file,
    )
    await enqueue(session, Job.TIDY_EXPORT, operation.request["capture_session_id"])
    return asset


async def tell_listeners(session: AsyncSession, operation_id: str, video: Asset, links: Links) -> None:
    """Tell every socket that was named in requests for this export, once it is finished."""
    operation = await session.get_one(Operation, operation_id, with_for_update=True, populate_existing=True)
    capture = await session.get_one(CaptureSession, operation.request["capture_session_id"])
    stream_id: str | None = operation.request.get("stream_id")
    stream = await session.get_one(Stream, stream_id) if stream_id else None
    ready = ExportReady(
        capture.id,
        stream.name if stream else capture.primary_video_channel_id,
        {"video_id": video.id, **links.of_asset(video)},
    )
    for connection_id in operation.request.get("connection_ids", []):
        route = Route(capture.collection_id, connection_id)
        seq = await next_seq(session, capture.id)
        await emit(session, ready, account_id=capture.account_id, route=route, seq=seq)


async def _session_export(
    session: AsyncSession, capture: CaptureSession, connection_id: str | None
) -> RequestedExport:
    channel_id = capture.primary_video_channel_id
    if capture.status == Status.EXPORTED:
        video = await find_asset(session, capture.exported_video_id)
        return RequestedExport(channel_id, "exported", video)
    operation = await request_export(session, capture.id)
    if operation is None:
        raise InvalidRequest("this session recorded nothing, so there is nothing to export")
    await _listen(session, operation, connection_id)
    return RequestedExport(channel_id, await export_status(session, capture) or "exporting")


async def _display_export(
    session: AsyncSession, capture: CaptureSession, stream: Stream, connection_id: str | None
) -> RequestedExport:
    request: dict[str, Any] = {"capture_session_id": capture.id, "stream_id": stream.id}
    subject = f"export:{capture.id}:{stream.id}"
    if capture.status == Status.EXPORTED and stream.exported_asset_id is None:
        raise InvalidRequest(f"{stream.name} recorded nothing, so there is nothing to export")
    operation = await find_operation(session, capture.account_id, subject)
    if operation is None:
        operation = await request_operation(
            session, capture.account_id, OperationKind.EXPORT_DISPLAY, subject, request
        )
    if operation.status == "done" and operation.result is not None:
        video = await find_asset(session, operation.result["video_id"])
        if video is not None:
            return RequestedExport(stream.name, "exported", video)
        await restart_operation(session, operation)  # it was deleted, and is asked for again
    if operation.status == "failed":
        return RequestedExport(stream.name, "failed")
    await _listen(session, operation, connection_id)
    return RequestedExport(stream.name, "exporting")


async def _listen(session: AsyncSession, operation: Operation, connection_id: str | None) -> None:
    if connection_id is None:
        return
    await session.refresh(operation, with_for_update=True)
    known = operation.request.get("connection_ids", [])
    if connection_id not in known:
        operation.request = operation.request | {"connection_ids": [*known, connection_id]}


async def _display(session: AsyncSession, capture: CaptureSession, channel_id: str) -> Stream:
    stream = await session.scalar(
        select(Stream)
        .join(Channel, Channel.id == Stream.channel_id)
        .where(
            Stream.capture_session_id == capture.id,
            or_(Stream.name == channel_id, Stream.id == channel_id, Channel.wire_id == channel_id),
        )
        .limit(1)
    )
    if stream is None or stream.media_type != "video":
        raise InvalidRequest(f"this session has no display {channel_id}", field="video_channel_id")
    if not stream.store:
        raise InvalidRequest(
            f"{stream.name} was not stored, so there is nothing to export", field="video_channel_id"
        )
    return stream
