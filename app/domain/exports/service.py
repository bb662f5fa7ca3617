"""Turns what a session recorded into assets: which tracks go in, and what becomes true when they are made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, InvalidRequest
from app.base.ids import utc_now
from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from app.domain.assets.service import AssetKind, StoredFile, add_asset, asset_id_of, find_asset
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind, request_operation
from app.domain.outbox.jobs import Job, enqueue
from app.domain.sessions.models import CaptureSession, Channel
from app.domain.sessions.service import fail, lock_session, move
from app.domain.sessions.states import Status
from app.domain.streams.models import Segment, Stream
from app.domain.streams.service import list_segments, list_session_streams
from app.media.windows import frame_at, frame_starts_at_us


@dataclass(frozen=True, slots=True)
class PlannedTrack:
    """One stream's recording, in time order."""

    stream_id: str
    name: str
    media_type: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class PlannedAsset:
    """One file to make: a stream's recording alone, or the muxed one of the whole session, whose `stream_id`
    is None and whose sound, where it has some, is the mix."""

    asset_id: str
    kind: AssetKind
    name: str
    track: PlannedTrack | None
    has_mix: bool
    stream_id: str | None


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """`zero_us` is the common second zero of all files, so that they can be edited together: the last frame
    of the mix to begin before anything that was recorded. `ends_at_us` is when the last of it ends."""

    capture_session_id: str
    account_id: str
    zero_us: int
    ends_at_us: int
    tracks: tuple[PlannedTrack, ...]
    assets: tuple[PlannedAsset, ...]


def export_subject(session_id: str) -> str:
    """The operation that exports a session when it has stopped."""
    return f"export:{session_id}"


async def request_export(session: AsyncSession, session_id: str) -> Operation | None:
    """Export a stopped session, once; None when none of its stored channels holds media."""
    capture = await session.get(CaptureSession, session_id)
    if capture is None or capture.deleted_at is not None or capture.status != Status.STOPPED:
        return None
    recorded = await session.scalar(
        select(
            exists().where(
                Segment.stream_id == Stream.id, Stream.capture_session_id == session_id, Stream.store
            )
        )
    )
    if not recorded:
        return None
    return await request_operation(
        session,
        capture.account_id,
        OperationKind.EXPORT_SESSION,
        export_subject(session_id),
        {"capture_session_id": session_id},
    )


async def request_missed_exports(session: AsyncSession) -> None:
    """Request the export of every session that stopped a while ago and whose request got lost."""
    missed = await session.scalars(
        select(CaptureSession.id).where(
            CaptureSession.status == Status.STOPPED,
            CaptureSession.deleted_at.is_(None),
            CaptureSession.status_changed_at < utc_now() - timedelta(seconds=10),
            exists().where(
                Segment.stream_id == Stream.id, Stream.capture_session_id == CaptureSession.id, Stream.store
            ),
            ~exists().where(
                Operation.account_id == CaptureSession.account_id,
                Operation.kind == OperationKind.EXPORT_SESSION.value,
                Operation.request["capture_session_id"].astext == CaptureSession.id,
            ),
        )
    )
    for session_id in missed.all():
        await request_export(session, session_id)


async def plan_export(session: AsyncSession, session_id: str) -> ExportPlan:
    """Say which files to make of a stopped session: the muxed recording, then each stored channel alone.

    The muxed one holds the primary display and all stored audio mixed. Raises `Conflict` when nothing
    was recorded.
    """
    capture = await session.get_one(CaptureSession, session_id)
    primary = await session.scalar(
        select(Channel.name).where(Channel.capture_session_id == session_id, Channel.is_primary)
    )
    tracks = []
    for stream in await list_session_streams(session, session_id):
        segments = await list_segments(session, stream.id) if stream.store else []
        if segments:
            tracks.append(PlannedTrack(stream.id, stream.name, stream.media_type, tuple(segments)))
    if not tracks:
        raise Conflict("this session recorded nothing", code="nothing_recorded")
    videos = [track for track in tracks if track.media_type == "video"]
    picture = next((track for track in videos if track.name == primary), next(iter(videos), None))
    whole = PlannedAsset(
        asset_id_of("video", capture.id),
        "video",
        f"Capture {capture.id}",
        picture,
        has_mix=len(videos) < len(tracks),
        stream_id=None,
    )
    first_us = min(track.segments[0].started_at_us for track in tracks)
    return ExportPlan(
        capture.id,
        capture.account_id,
        zero_us=frame_starts_at_us(frame_at(first_us)),
        ends_at_us=max(segment.ended_at_us for track in tracks for segment in track.segments),
        tracks=tuple(tracks),
        assets=(whole, *(_raw_asset(capture, track) for track in tracks)),
    )


async def finish_export(
    session: AsyncSession,
    plan: ExportPlan,
    files: Sequence[tuple[PlannedAsset, StoredFile]],
    links: Links,
) -> Asset:
    """Register the exported files and move the session to `exported`, in the caller's transaction.

    Returns the muxed recording. Raises `IllegalMove` when the session is not `stopped`.
    """
    capture = await lock_session(session, plan.capture_session_id)
    muxed: Asset | None = None
    for planned, file in files:
        asset = await add_asset(
            session,
            asset_id=planned.asset_id,
            account_id=capture.account_id,
            collection_id=capture.collection_id,
            kind=planned.kind,
            name=planned.name,
            file=file,
        )
        if planned.stream_id is None:
            muxed = asset
        else:
            stream = await session.get_one(Stream, planned.stream_id)
            stream.exported_asset_id = asset.id
    assert muxed is not None
    capture.exported_video_id = muxed.id
    await move(session, capture, Status.EXPORTED, {"exported_video_id": muxed.id, **links.of_asset(muxed)})
    await enqueue(session, Job.TIDY_EXPORT, capture.id)
    return muxed


async def fail_export(session: AsyncSession, session_id: str) -> None:
    """The export failed for good: the session says so, and its recorded segments stay."""
    capture = await lock_session(session, session_id)
    if capture.status == Status.STOPPED:
        await fail(session, capture, "export_failed", "the recording could not be exported")
        await enqueue(session, Job.TIDY_EXPORT, capture.id)


async def export_status(session: AsyncSession, capture: CaptureSession) -> str | None:
    """None before an export is due, else `exporting`, `exported` or `failed`."""
    return (await export_statuses(session, [capture]))[capture.id]


async def export_statuses(session: AsyncSession, captures: Sequence[CaptureSession]) -> dict[str, str | None]:
    """The same of several sessions of one account."""
    subjects = {export_subject(capture.id): capture for capture in captures}
    rows = await session.execute(
        select(Operation.subject, Operation.status).where(
            Operation.account_id.in_({capture.account_id for capture in captures}),
            Operation.subject.in_(subjects),
        )
    )
    found: dict[str, str | None] = {capture.id: None for capture in captures}
    for subject, status in rows:
        found[subjects[subject].id] = "failed" if status == "failed" else "exporting"
    exported = {capture.id: "exported" for capture in captures if capture.status == Status.EXPORTED}
    return found | exported


async def exported_stream_asset(session: AsyncSession, stream: Stream) -> Asset:
    """The asset that a stopped stream became.

    Raises `InvalidRequest` while the stream still runs, and when it was not stored or holds nothing;
    `Conflict` while its session is being exported.
    """
    if stream.status != "stopped":
        raise InvalidRequest(f"{stream.name} still runs: stop it before exporting it")
    asset = await find_asset(session, stream.exported_asset_id)
    if asset is not None:
        return asset
    if not stream.store:
        raise InvalidRequest(f"{stream.name} was not stored, so there is nothing to export")
    capture = await session.get_one(CaptureSession, stream.capture_session_id)
    if await export_status(session, capture) == "exporting":
        raise Conflict(f"{stream.name} is being exported: try again in a moment", code="exporting")
    raise InvalidRequest(f"{stream.name} recorded nothing")


def _raw_asset(capture: CaptureSession, track: PlannedTrack) -> PlannedAsset:
    kind: AssetKind = "video" if track.media_type == "video" else "audio"
    asset_id = asset_id_of(kind, track.stream_id)
    return PlannedAsset(asset_id, kind, f"{track.name} {capture.id}", track, False, track.stream_id)
