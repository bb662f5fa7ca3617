"""Which runs of VP8 are to be made H.264 for a session's export, who makes one, and what came of it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import utc_now
from app.domain.exports.models import ConvertedRun
from app.domain.operations.service import LeaseLost
from app.domain.sessions.models import CaptureSession, Channel
from app.domain.sessions.states import Status
from app.domain.streams.models import Segment, Stream
from app.media.frames import Codec

# While a session records only its newest segments are looked at; what was missed is made at its export.
_RECENT_SEGMENTS = 100


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """Segments of VP8 that decode once the first of them does, in time order."""

    segment_id: str
    made_of: str
    segments: Sequence[Segment]


async def plan_runs(session: AsyncSession, session_id: str, *, whole: bool) -> list[PlannedRun]:
    """The runs that are not made H.264 yet, in order; none once the session has ended.

    Unless `whole`, those of the primary display alone, and of those the ones of a single segment: the others
    grow with each segment that begins without a key frame.
    """
    capture = await session.get_one(CaptureSession, session_id)
    if capture.status not in (Status.ACTIVE, Status.STOPPING, Status.STOPPED):
        return []
    query = (
        select(Segment)
        .join(Stream, Stream.id == Segment.stream_id)
        .join(Channel, Channel.id == Stream.channel_id)
        .where(Stream.capture_session_id == session_id, Stream.store, Segment.codec == Codec.VP8.value)
    )
    newest_first = Segment.started_at_us.desc()
    if not whole:
        query = query.where(Channel.is_primary).order_by(newest_first).limit(_RECENT_SEGMENTS)
    else:
        query = query.order_by(Segment.stream_id, newest_first)
    segments = (await session.scalars(query)).all()[::-1]
    made = await session.execute(
        select(ConvertedRun.segment_id, ConvertedRun.made_of).where(
            ConvertedRun.capture_session_id == session_id
        )
    )
    made_of = {row.segment_id: row.made_of for row in made}
    return [
        run
        for run in runs_of(segments)
        if made_of.get(run.segment_id) != run.made_of
        and (whole or (len(run.segments) == 1 and run.segments[0].starts_with_keyframe))
    ]


def runs_of(segments: Iterable[Segment]) -> list[PlannedRun]:
    """The runs of the VP8 among `segments`, which are in time order, stream by stream."""
    runs: list[list[Segment]] = []
    before: tuple[str, str] | None = None
    for segment in segments:
        source = segment.stream_id, segment.codec
        if segment.codec == Codec.VP8:
            if source != before or segment.starts_with_keyframe:
                runs.append([])
            runs[-1].append(segment)
        before = source
    return [_planned(run) for run in runs]


async def claim_run(
    session: AsyncSession, session_id: str, run: PlannedRun, *, worker: str, seconds: float, take_over: bool
) -> bool:
    """Become the one that makes a run; False when another does, unless it is to be taken over."""
    now = utc_now()
    lease = {"leased_by": worker, "leased_until": now + timedelta(seconds=seconds)}
    free = or_(ConvertedRun.leased_until.is_(None), ConvertedRun.leased_until < now)
    claimed = await session.scalar(
        insert(ConvertedRun)
        .values(segment_id=run.segment_id, capture_session_id=session_id, **lease)
        .on_conflict_do_update(index_elements=["segment_id"], set_=lease, where=None if take_over else free)
        .returning(ConvertedRun.segment_id)
    )
    return claimed is not None


async def save_run(
    session: AsyncSession,
    run: PlannedRun,
    *,
    worker: str,
    storage_key: str | None,
    started_at_us: int | None,
    duration_us: int | None,
) -> None:
    """Keep a run that is in storage, or that holds no picture. Raises `LeaseLost` when it is no longer this
    worker's to make. What it replaces stays until the session is tidied: an export may be reading it."""
    row = await session.get(ConvertedRun, run.segment_id, with_for_update=True, populate_existing=True)
    if row is None or row.leased_by != worker:
        raise LeaseLost(f"the run of {run.segment_id} is in other hands")
    row.leased_by = row.leased_until = None
    row.made_of, row.storage_key = run.made_of, storage_key
    row.started_at_us, row.duration_us = started_at_us, duration_us


async def converted_runs(session: AsyncSession, session_id: str) -> dict[str, ConvertedRun]:
    """The runs that are made and hold pictures, by their first segment."""
    rows = await session.scalars(
        select(ConvertedRun).where(
            ConvertedRun.capture_session_id == session_id, ConvertedRun.storage_key.is_not(None)
        )
    )
    return {row.segment_id: row for row in rows}


def as_h264(
    segments: Iterable[Segment], converted: Mapping[str, ConvertedRun]
) -> list[Segment | ConvertedRun]:
    """One stream's segments with each run of VP8 replaced by its H.264, in time order."""
    found: list[Segment | ConvertedRun] = []
    for segment in segments:
        if segment.codec != Codec.VP8:
            found.append(segment)
        elif segment.id in converted:
            found.append(converted[segment.id])
    return found


def _planned(segments: Sequence[Segment]) -> PlannedRun:
    ids = "\n".join(segment.id for segment in segments)
    return PlannedRun(segments[0].id, hashlib.sha256(ids.encode()).hexdigest()[:32], segments)
