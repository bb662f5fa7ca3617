"""Pictures on their way to text, and windows on their way to records."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import new_id, utc_now
from app.domain.indexes.models import IndexWindow, SceneIndex, ScreenFrame
from app.domain.outbox.jobs import RING_AGAIN_SECONDS, Job, enqueue


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
    session: AsyncSession, index_id: str, *, start_us: int, end_us: int, frame_ids: Sequence[str]
) -> None:
    """Ask for the record of a stretch, once; nothing is asked of an index that was deleted."""
    if await session.get(SceneIndex, index_id) is None:
        return
    added = await session.scalar(
        insert(IndexWindow)
        .values(id=new_id("win"), index_id=index_id, start_us=start_us, end_us=end_us, frames=list(frame_ids))
        .on_conflict_do_nothing(index_elements=["index_id", "start_us"])
        .returning(IndexWindow.id)
    )
    if added is not None:
        await enqueue(session, Job.INDEX_WINDOW, added)


async def save_lines(session: AsyncSession, frame_id: str, lines: list[dict[str, Any]]) -> None:
    """Keep what is written on a picture; reading it twice gives the same."""
    await session.execute(update(ScreenFrame).where(ScreenFrame.id == frame_id).values(lines=lines))


async def screens_of(session: AsyncSession, frame_ids: Sequence[str]) -> list[ScreenFrame]:
    """These pictures, by time; those that were deleted meanwhile are missing."""
    rows = await session.scalars(
        select(ScreenFrame).where(ScreenFrame.id.in_(frame_ids)).order_by(ScreenFrame.at_us)
    )
    return list(rows)


async def forget_window(session: AsyncSession, window_id: str) -> None:
    """The window has become its record."""
    await session.execute(delete(IndexWindow).where(IndexWindow.id == window_id))


async def ring_waiting_windows(session: AsyncSession) -> None:
    """Ask again for windows that have waited so long that their job may have been lost."""
    now = utc_now()
    waiting = await session.scalars(
        update(IndexWindow)
        .where(IndexWindow.rung_at < now - timedelta(seconds=RING_AGAIN_SECONDS))
        .values(rung_at=now)
        .returning(IndexWindow.id)
    )
    for window_id in waiting.all():
        await enqueue(session, Job.INDEX_WINDOW, window_id)
