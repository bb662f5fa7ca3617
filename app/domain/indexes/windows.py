"""Pictures on their way to text, and windows on their way to records."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pgvector import HalfVector
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import new_id, utc_now
from app.domain.indexes.models import IndexWindow, SceneIndex, ScreenFrame
from app.domain.outbox.jobs import RING_AGAIN_SECONDS, Job, enqueue
from app.domain.passages.service import PictureVector

# So long after a stretch of time has ended its last utterance has ended, and has its words.
WORDS_LATE_US = 8_000_000
_TURNS = 0x69647877  # the first key of the advisory locks by which an index's windows take turns


async def add_screen(
    session: AsyncSession,
    *,
    frame_id: str,
    stream_id: str,
    storage_key: str,
    at_us: int,
    width: int,
    height: int,
) -> None:
    """Keep a picture that is in storage, once, and ask for what is written on it."""
    added = await session.scalar(
        insert(ScreenFrame)
        .values(
            id=frame_id,
            stream_id=stream_id,
            storage_key=storage_key,
            at_us=at_us,
            width=width,
            height=height,
        )
        .on_conflict_do_nothing(index_elements=["id"])
        .returning(ScreenFrame.id)
    )
    if added is not None:
        await enqueue(session, Job.READ_SCREEN, frame_id)


async def add_window(
    session: AsyncSession,
    index_id: str,
    *,
    start_us: int,
    end_us: int,
    frame_ids: Sequence[str] = (),
    not_before: datetime | None = None,
) -> None:
    """Ask for the records of a stretch, once; nothing is asked of an index that was deleted.

    With `not_before` they are asked for then: words of the stretch are still on their way.
    """
    if await session.get(SceneIndex, index_id) is None:
        return
    added = await session.scalar(
        insert(IndexWindow)
        .values(
            id=new_id("win"),
            index_id=index_id,
            start_us=start_us,
            end_us=end_us,
            frames=list(frame_ids),
            due_at=not_before or utc_now() + timedelta(seconds=RING_AGAIN_SECONDS),
            is_ready=not_before is None,
        )
        .on_conflict_do_nothing(index_elements=["index_id", "start_us"])
        .returning(IndexWindow.id)
    )
    if added is not None and not_before is None:
        await enqueue(session, Job.INDEX_WINDOW, added)


async def add_spoken(session: AsyncSession, stream_id: str, start_us: int, end_us: int) -> None:
    """Ask for the records of an utterance, of every audio index that ran when it was said."""
    indexes = await session.scalars(
        select(SceneIndex).where(
            SceneIndex.stream_id == stream_id,
            SceneIndex.kind == "audio",
            SceneIndex.created_at <= _as_time(end_us),
            or_(SceneIndex.status == "running", SceneIndex.updated_at >= _as_time(start_us)),
        )
    )
    for index in indexes.all():
        config = index.extraction["config"]
        if config["segmenter"] != "time":
            await add_window(session, index.id, start_us=start_us, end_us=end_us)
            continue
        each_us = round(config["segmentation_value"] * 1_000_000)
        zero_us = round(index.created_at.timestamp() * 1_000_000)
        for number in range((start_us - zero_us) // each_us, (end_us - zero_us) // each_us + 1):
            begin_us = zero_us + number * each_us
            await add_window(
                session,
                index.id,
                start_us=begin_us,
                end_us=begin_us + each_us,
                not_before=_as_time(begin_us + each_us + WORDS_LATE_US),
            )


def _as_time(unix_us: int) -> datetime:
    return datetime.fromtimestamp(unix_us / 1_000_000, UTC)


async def save_lines(session: AsyncSession, frame_id: str, lines: list[dict[str, Any]]) -> None:
    """Keep what is written on a picture; reading it twice gives the same."""
    await session.execute(update(ScreenFrame).where(ScreenFrame.id == frame_id).values(lines=lines))


async def seen_pictures(
    session: AsyncSession, frame_ids: Sequence[str], space: str
) -> dict[str, PictureVector]:
    """What these pictures show, by id, those that were seen by the model and weights of `space`."""
    rows = await session.execute(
        select(ScreenFrame.id, ScreenFrame.picture_vector).where(
            ScreenFrame.id.in_(frame_ids), ScreenFrame.picture_space == space
        )
    )
    return {row.id: PictureVector(space, row.picture_vector) for row in rows}


async def save_pictures(session: AsyncSession, seen: dict[str, PictureVector]) -> None:
    """Keep what pictures show, in place of what another model has seen."""
    for frame_id, one in seen.items():
        await session.execute(
            update(ScreenFrame)
            .where(ScreenFrame.id == frame_id)
            .values(picture_space=one.space, picture_vector=HalfVector(list(one.vector)))
        )


async def screens_of(session: AsyncSession, frame_ids: Sequence[str]) -> list[ScreenFrame]:
    """These pictures, by time; those that were deleted meanwhile are missing."""
    rows = await session.scalars(
        select(ScreenFrame).where(ScreenFrame.id.in_(frame_ids)).order_by(ScreenFrame.at_us)
    )
    return list(rows)


async def take_turn(session: AsyncSession, index_id: str) -> bool:
    """Whether the index is the caller's until its transaction ends, rather than another job's.

    So records come in the order of their windows, each knows the one before, and an index that is behind
    takes one job's thread.
    """
    mine = select(func.pg_try_advisory_xact_lock(_TURNS, func.hashtext(index_id)))
    return bool(await session.scalar(mine))


async def next_window(session: AsyncSession, index_id: str) -> IndexWindow | None:
    """The oldest window of the index that is ready."""
    window: IndexWindow | None = await session.scalar(
        select(IndexWindow)
        .where(IndexWindow.index_id == index_id, IndexWindow.is_ready)
        .order_by(IndexWindow.start_us)
        .limit(1)
    )
    return window


async def forget_window(session: AsyncSession, window_id: str) -> None:
    """The window has become its record."""
    await session.execute(delete(IndexWindow).where(IndexWindow.id == window_id))


async def ring_due_windows(session: AsyncSession) -> None:
    """Ask for windows whose time has come, and again for those whose job may have been lost."""
    now = utc_now()
    waiting = await session.scalars(
        update(IndexWindow)
        .where(IndexWindow.due_at <= now)
        .values(due_at=now + timedelta(seconds=RING_AGAIN_SECONDS), is_ready=True)
        .returning(IndexWindow.id)
    )
    for window_id in waiting.all():
        await enqueue(session, Job.INDEX_WINDOW, window_id)
