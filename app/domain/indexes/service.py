"""Indexes on live streams: made, stopped and started again, and their records saved once and read by time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, InvalidRequest, NotFound
from app.base.ids import new_id, utc_now
from app.domain.indexes.extraction import Extraction
from app.domain.indexes.models import IndexRecord, SceneIndex
from app.domain.outbox.events import Route, emit
from app.domain.outbox.stream_events import SceneRecorded
from app.domain.passages.service import Findable, PictureVector, add_passages, cut_lines
from app.domain.sessions.service import next_seq
from app.domain.streams.models import Stream

DEFAULT_PROMPT = {"visual": "Describe the scene", "audio": "Summarize what is said"}


@dataclass(frozen=True, slots=True)
class Found:
    """What an index found in one stretch, and what it was shown by; times in microseconds on its owner's
    clock."""

    source_id: str
    start_us: int
    end_us: int
    text: str
    details: dict[str, Any]
    pictures: Sequence[PictureVector] = ()


async def create_stream_index(
    session: AsyncSession,
    stream: Stream,
    extraction: Extraction,
    *,
    prompt: str | None,
    name: str | None,
    model_name: str | None,
    ws_connection_id: str | None,
) -> SceneIndex:
    """Index the stream from now on.

    Raises `InvalidRequest` where the stream has no pictures or no sound to index, `Conflict` where it has
    stopped.
    """
    _require_media(stream, extraction)
    if stream.status != "connected":
        raise Conflict(f"{stream.name} has stopped: there is nothing left to index")
    index = SceneIndex(
        id=new_id("idx"),
        account_id=stream.account_id,
        stream_id=stream.id,
        kind=extraction.kind,
        name=name or f"{extraction.kind} index of {stream.name}",
        prompt=prompt or DEFAULT_PROMPT[extraction.kind],
        model_name=model_name,
        extraction={"type": extraction.type, "config": extraction.config},
        status="running",
        ws_connection_id=ws_connection_id or None,
    )
    session.add(index)
    await session.flush()
    await session.refresh(index)
    return index


def _require_media(stream: Stream, extraction: Extraction) -> None:
    if extraction.kind == "audio" and "audio" not in stream.media_types:
        raise InvalidRequest(f"{stream.name} has no sound to index", field="extraction_type")
    if extraction.kind == "visual" and "video" not in stream.media_types:
        raise InvalidRequest(f"{stream.name} has no pictures to index", field="extraction_type")


async def get_stream_index(session: AsyncSession, stream: Stream, index_id: str) -> SceneIndex:
    """The stream's index of this id. Raises `NotFound`."""
    index = await session.get(SceneIndex, index_id)
    if index is None or index.stream_id != stream.id:
        raise NotFound(f"{stream.name} has no index {index_id}")
    return index


async def list_stream_indexes(session: AsyncSession, stream: Stream) -> list[SceneIndex]:
    rows = await session.scalars(
        select(SceneIndex).where(SceneIndex.stream_id == stream.id).order_by(SceneIndex.created_at)
    )
    return list(rows)


async def start_index(session: AsyncSession, stream: Stream, index: SceneIndex) -> None:
    """Let a stopped index go on. Raises `Conflict` where its stream has stopped."""
    if stream.status != "connected":
        raise Conflict(f"{stream.name} has stopped: there is nothing left to index")
    index.status = "running"
    await session.flush()


async def stop_index(session: AsyncSession, index: SceneIndex) -> None:
    """Stop it: what was shown or said before still becomes records."""
    index.status = "stopped"
    await session.flush()


async def change_prompt(session: AsyncSession, index: SceneIndex, prompt: str) -> None:
    """Follow another prompt from the next record on. Raises `InvalidRequest` for an empty one."""
    if not prompt.strip():
        raise InvalidRequest("prompt must not be empty", field="prompt")
    index.prompt, index.prompt_changed_at = prompt, utc_now()
    await session.flush()


async def note_missing(session: AsyncSession, index: SceneIndex, notice: str | None) -> None:
    """Say in words what its latest records had to do without; None: nothing.

    `updated_at` stays: of a stopped index it says when that was.
    """
    if index.notice != notice:
        await session.execute(
            update(SceneIndex)
            .where(SceneIndex.id == index.id)
            .values(notice=notice, updated_at=SceneIndex.updated_at)
        )


async def running_indexes(
    session: AsyncSession, kind: str, stream_ids: Sequence[str]
) -> dict[str, list[SceneIndex]]:
    """The indexes of `kind` that run on each of these streams, oldest first."""
    rows = await session.scalars(
        select(SceneIndex)
        .where(SceneIndex.stream_id.in_(stream_ids), SceneIndex.kind == kind, SceneIndex.status == "running")
        .order_by(SceneIndex.created_at)
    )
    found: dict[str, list[SceneIndex]] = {}
    for index in rows:
        found.setdefault(index.stream_id or "", []).append(index)
    return found


async def save_record(
    session: AsyncSession,
    index: SceneIndex,
    stream: Stream,
    found: Found,
    *,
    route: Route,
    visual_channels: Sequence[str],
) -> IndexRecord | None:
    """Save what was found, once for its source, and emit it; None where it was saved before."""
    record_id = await keep_record(session, index, found)
    if record_id is None:
        return None
    event = SceneRecorded(
        stream.id,
        stream.name,
        index.id,
        index.kind,
        found.text,
        found.start_us // 1000,
        found.end_us // 1000,
        channels=tuple(visual_channels) if index.kind == "visual" else ("audio_index",),
        capture_session_id=stream.capture_session_id,
    )
    seq = await next_seq(session, stream.capture_session_id)
    await emit(session, event, account_id=stream.account_id, route=route, seq=seq)
    return await session.get_one(IndexRecord, record_id)


async def keep_record(session: AsyncSession, index: SceneIndex, found: Found) -> str | None:
    """Save what was found, once for its source, to be searched; its id, None where it was saved before."""
    record_id: str | None = await session.scalar(
        insert(IndexRecord)
        .values(
            id=new_id("rec"),
            index_id=index.id,
            source_id=found.source_id,
            start_us=found.start_us,
            end_us=found.end_us,
            text=found.text,
            details=found.details,
        )
        .on_conflict_do_nothing(index_elements=["index_id", "source_id"])
        .returning(IndexRecord.id)
    )
    if record_id is not None:
        await add_passages(session, [_findable(record_id, index, found)])
    return record_id


def _findable(record_id: str, index: SceneIndex, found: Found) -> Findable:
    """A record is found by what it says, and a visual one by each stretch of what the screen showed."""
    lines = (found.details.get("screen_text") or "").splitlines()
    return Findable(
        index.account_id,
        index.kind,
        found.start_us,
        found.end_us,
        [found.text, *cut_lines(lines)],
        stream_id=index.stream_id,
        asset_id=index.asset_id,
        record_id=record_id,
        index_id=index.id,
        pictures=found.pictures,
    )


async def list_records(
    session: AsyncSession,
    index_id: str,
    *,
    start_us: int | None,
    end_us: int | None,
    offset: int,
    limit: int,
) -> tuple[list[IndexRecord], bool]:
    """Records that overlap `[start_us, end_us)` by time, and whether there are more of them."""
    query = select(IndexRecord).where(IndexRecord.index_id == index_id)
    query = query.where(IndexRecord.end_us > start_us) if start_us is not None else query
    query = query.where(IndexRecord.start_us < end_us) if end_us is not None else query
    rows = list(
        await session.scalars(
            query.order_by(IndexRecord.start_us, IndexRecord.id).offset(offset).limit(limit + 1)
        )
    )
    return rows[:limit], len(rows) > limit


async def latest_record(session: AsyncSession, index_id: str, *, before_us: int) -> IndexRecord | None:
    """The index's last record that began before `before_us`."""
    return await session.scalar(
        select(IndexRecord)
        .where(IndexRecord.index_id == index_id, IndexRecord.start_us < before_us)
        .order_by(IndexRecord.start_us.desc())
        .limit(1)
    )
