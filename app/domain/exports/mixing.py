"""Which windows of a session's mix are to be made, who makes one, and what came of it."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import utc_now
from app.domain.exports.models import MixWindow
from app.domain.operations.service import LeaseLost
from app.domain.sessions.models import CaptureSession
from app.domain.sessions.states import Status
from app.domain.streams.models import Segment, Stream
from app.domain.streams.recording import MIX_DELAY_US
from app.media.sound import Placement
from app.media.windows import POSTROLL_US, PREROLL_US, WINDOW_US, window_at

# While a session records only its newest windows are looked at; what changed before is found at its export.
_RECENT_US = 20 * WINDOW_US


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """A window to be made, of these segments by stream, in time order."""

    number: int
    made_of: str
    segments: Mapping[str, Sequence[Segment]]


async def plan_windows(session: AsyncSession, session_id: str, *, whole: bool) -> list[PlannedWindow]:
    """The windows that have sound and are not made of it yet, in order; none once the session has ended.

    Unless `whole`, those that more sound may still come for are left out.
    """
    capture = await session.get_one(CaptureSession, session_id)
    if capture.status not in (Status.ACTIVE, Status.STOPPING, Status.STOPPED):
        return []
    is_sound = (Stream.capture_session_id == session_id) & Stream.store & (Stream.media_type == "audio")
    newest_us = await session.scalar(
        select(func.max(Segment.started_at_us + Segment.duration_us))
        .join(Stream, Stream.id == Segment.stream_id)
        .where(is_sound)
    )
    if newest_us is None:
        return []
    since_us = 0 if whole else newest_us - _RECENT_US
    segments = await session.scalars(
        select(Segment)
        .join(Stream, Stream.id == Segment.stream_id)
        .where(is_sound, Segment.started_at_us >= since_us)
        .order_by(Segment.started_at_us)
    )
    made = await session.execute(
        select(MixWindow.number, MixWindow.made_of).where(MixWindow.capture_session_id == session_id)
    )
    # The segments of the first windows may begin before what was asked for.
    first = 0 if whole else window_at(since_us) + 2
    end = window_at(newest_us - 1) + 1 if whole else window_at(newest_us - MIX_DELAY_US)
    made_of = {row.number: row.made_of for row in made}
    return [
        window
        for window in _windows(segments.all())
        if first <= window.number < end and made_of.get(window.number) != window.made_of
    ]


async def claim_window(
    session: AsyncSession, session_id: str, number: int, *, worker: str, seconds: float, take_over: bool
) -> dict[str, Placement] | None:
    """Become the one that makes a window; returns the placements of the one before it.

    None when another run is making it, unless it is to be taken over.
    """
    now = utc_now()
    lease = {"leased_by": worker, "leased_until": now + timedelta(seconds=seconds)}
    free = or_(MixWindow.leased_until.is_(None), MixWindow.leased_until < now)
    claimed = await session.scalar(
        insert(MixWindow)
        .values(capture_session_id=session_id, number=number, placements={}, **lease)
        .on_conflict_do_update(
            index_elements=["capture_session_id", "number"], set_=lease, where=None if take_over else free
        )
        .returning(MixWindow.number)
    )
    if claimed is None:
        return None
    before = await session.get(MixWindow, (session_id, number - 1))
    return {name: Placement(*fields) for name, fields in before.placements.items()} if before else {}


async def save_window(
    session: AsyncSession,
    session_id: str,
    window: PlannedWindow,
    *,
    worker: str,
    storage_key: str,
    placements: Mapping[str, Placement],
) -> None:
    """Keep a window that is in storage. Raises `LeaseLost` when it is no longer this run's to make.

    The object that it replaces stays until the session is tidied: an export may be reading it.
    """
    row = await session.get(
        MixWindow, (session_id, window.number), with_for_update=True, populate_existing=True
    )
    if row is None or row.leased_by != worker:
        raise LeaseLost(f"window {window.number} of {session_id} is in other hands")
    row.leased_by = row.leased_until = None
    row.made_of, row.storage_key = window.made_of, storage_key
    row.placements = {name: list(astuple(placement)) for name, placement in placements.items()}


async def mixed_windows(session: AsyncSession, session_id: str) -> dict[int, str]:
    """The storage keys of the windows that are made, by number."""
    rows = await session.execute(
        select(MixWindow.number, MixWindow.storage_key).where(
            MixWindow.capture_session_id == session_id, MixWindow.storage_key.is_not(None)
        )
    )
    return {number: key for number, key in rows if key}


def _windows(segments: Sequence[Segment]) -> list[PlannedWindow]:
    """The windows in which `segments` sound, each with those that its margins reach into as well."""
    near: dict[int, list[Segment]] = defaultdict(list)
    sounding: set[int] = set()
    for segment in segments:
        begins_us, ends_us = segment.started_at_us, segment.ended_at_us
        sounding.update(range(window_at(begins_us), window_at(ends_us - 1) + 1))
        for number in range(window_at(begins_us - POSTROLL_US), window_at(ends_us + PREROLL_US) + 1):
            near[number].append(segment)
    return [_planned(number, near[number]) for number in sorted(sounding)]


def _planned(number: int, segments: Sequence[Segment]) -> PlannedWindow:
    by_stream: dict[str, list[Segment]] = defaultdict(list)
    for segment in segments:
        by_stream[segment.stream_id].append(segment)
    ids = "\n".join(sorted(segment.id for segment in segments))
    return PlannedWindow(number, hashlib.sha256(ids.encode()).hexdigest()[:32], by_stream)
