"""Live transcription of streams: start, stop, speech in, utterances saved once and read by time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, InvalidRequest
from app.base.ids import new_id, utc_now
from app.domain.assets.models import Asset
from app.domain.outbox.events import Route, emit
from app.domain.outbox.jobs import RING_AGAIN_SECONDS, Job, enqueue
from app.domain.outbox.stream_events import TranscriptFinal
from app.domain.passages.service import Findable, add_passages
from app.domain.sessions.service import next_seq
from app.domain.streams.models import Stream
from app.domain.transcripts.models import SpeechChunk, Transcription, Utterance


@dataclass(frozen=True, slots=True)
class Spoken:
    """Recognised speech; times in microseconds on its owner's clock, words as `Utterance.words`."""

    text: str
    start_us: int
    end_us: int
    language: str | None
    words: list[dict[str, Any]]


async def start_transcription(
    session: AsyncSession, stream: Stream, *, engine: str | None, ws_connection_id: str | None
) -> Transcription:
    """Transcribe the stream from now on; starting again changes the engine and the socket.

    Raises `InvalidRequest` for a stream without sound and `Conflict` for one that has stopped.
    """
    if "audio" not in stream.media_types:
        raise InvalidRequest(f"{stream.name} has no sound to transcribe")
    if stream.status != "connected":
        raise Conflict(f"{stream.name} has stopped: there is nothing left to transcribe")
    values = {"status": "running", "engine": engine, "ws_connection_id": ws_connection_id or None}
    await session.execute(
        insert(Transcription)
        .values(stream_id=stream.id, **values)
        .on_conflict_do_update(
            index_elements=["stream_id"], set_=values | {"updated_at": func.clock_timestamp()}
        )
    )
    return await session.get_one(Transcription, stream.id, populate_existing=True)


async def stop_transcription(session: AsyncSession, stream: Stream) -> Transcription | None:
    """Stop it; what was said before still becomes text. None when it was never started."""
    transcription = await session.get(Transcription, stream.id)
    if transcription is not None:
        transcription.status = "stopped"
        await session.flush()
        await session.refresh(transcription)
    return transcription


async def running_on(session: AsyncSession, stream_ids: Sequence[str]) -> set[str]:
    """Which of these streams are being transcribed."""
    rows = await session.scalars(
        select(Transcription.stream_id).where(
            Transcription.stream_id.in_(stream_ids), Transcription.status == "running"
        )
    )
    return set(rows)


async def add_speech(
    session: AsyncSession,
    *,
    chunk_id: str,
    stream_id: str,
    storage_key: str,
    started_at_us: int,
    ended_at_us: int,
) -> None:
    """Ask for the words of an utterance whose sound is in storage."""
    session.add(
        SpeechChunk(
            id=chunk_id,
            stream_id=stream_id,
            storage_key=storage_key,
            started_at_us=started_at_us,
            ended_at_us=ended_at_us,
        )
    )
    await session.flush()
    await enqueue(session, Job.TRANSCRIBE_CHUNK, chunk_id)


async def save_utterance(
    session: AsyncSession, chunk: SpeechChunk, spoken: Spoken | None, route: Route | None
) -> None:
    """Save a chunk's words once and forget the chunk; `spoken` None means that it held no speech.

    They are emitted to `route`; None means that nobody asked for a transcript.
    """
    if spoken is not None:
        saved = await session.scalar(
            insert(Utterance)
            .values(
                id=new_id("utt"),
                stream_id=chunk.stream_id,
                source_id=chunk.id,
                start_us=spoken.start_us,
                end_us=spoken.end_us,
                text=spoken.text,
                language=spoken.language,
                words=spoken.words,
            )
            .on_conflict_do_nothing(index_elements=["source_id"])
            .returning(Utterance.id)
        )
        if saved is not None:
            stream = await session.get_one(Stream, chunk.stream_id)
            await add_passages(
                session,
                [_findable(saved, spoken, stream.account_id, stream_id=stream.id)],
            )
        if saved is not None and route is not None:
            event = TranscriptFinal(
                stream.id,
                stream.name,
                saved,
                spoken.text,
                spoken.start_us // 1000,
                spoken.end_us // 1000,
                stream.capture_session_id,
            )
            await emit(
                session,
                event,
                account_id=stream.account_id,
                route=route,
                seq=await next_seq(session, stream.capture_session_id),
            )
    await session.execute(delete(SpeechChunk).where(SpeechChunk.id == chunk.id))


async def ring_waiting_speech(session: AsyncSession) -> None:
    """Ask again for chunks that have waited so long that their job may have been lost."""
    now = utc_now()
    waiting = await session.scalars(
        update(SpeechChunk)
        .where(SpeechChunk.rung_at < now - timedelta(seconds=RING_AGAIN_SECONDS))
        .values(rung_at=now)
        .returning(SpeechChunk.id)
    )
    for chunk_id in waiting.all():
        await enqueue(session, Job.TRANSCRIBE_CHUNK, chunk_id)


async def list_utterances(
    session: AsyncSession,
    *,
    stream_id: str | None = None,
    asset_id: str | None = None,
    start_us: int | None = None,
    end_us: int | None = None,
    since_us: int | None = None,
    written_since: datetime | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> tuple[list[Utterance], int]:
    """Utterances of one owner that overlap `[start_us, end_us)` or begin after `since_us`, and how many.

    With `written_since` only those that have been written down since then.
    """
    query = select(Utterance)
    query = query.where(Utterance.stream_id == stream_id) if stream_id else query
    query = query.where(Utterance.asset_id == asset_id) if asset_id else query
    query = query.where(Utterance.end_us > start_us) if start_us is not None else query
    query = query.where(Utterance.start_us < end_us) if end_us is not None else query
    query = query.where(Utterance.start_us > since_us) if since_us is not None else query
    query = query.where(Utterance.created_at >= written_since) if written_since is not None else query
    total = await session.scalar(select(func.count()).select_from(query.subquery()))
    rows = await session.scalars(query.order_by(Utterance.start_us).offset(offset).limit(limit))
    return list(rows), total or 0


def index_subject(asset_id: str) -> str:
    """What the operation that finds an asset's words is about."""
    return f"index_spoken_words:{asset_id}"


async def replace_asset_utterances(
    session: AsyncSession, asset_id: str, operation_id: str, spoken: Sequence[Spoken]
) -> None:
    """Make these the asset's utterances, instead of whatever it had."""
    await session.execute(delete(Utterance).where(Utterance.asset_id == asset_id))
    ids = [new_id("utt") for _ in spoken]
    session.add_all(
        Utterance(
            id=utterance_id,
            asset_id=asset_id,
            source_id=f"{operation_id}:{number}",
            start_us=one.start_us,
            end_us=one.end_us,
            text=one.text,
            language=one.language,
            words=one.words,
        )
        for number, (utterance_id, one) in enumerate(zip(ids, spoken, strict=True))
    )
    await session.flush()
    asset = await session.get_one(Asset, asset_id)
    await add_passages(
        session,
        [
            _findable(utterance_id, one, asset.account_id, asset_id=asset_id)
            for utterance_id, one in zip(ids, spoken, strict=True)
        ],
    )


def _findable(
    utterance_id: str,
    spoken: Spoken,
    account_id: str,
    *,
    stream_id: str | None = None,
    asset_id: str | None = None,
) -> Findable:
    return Findable(
        account_id,
        "spoken",
        spoken.start_us,
        spoken.end_us,
        [spoken.text],
        stream_id=stream_id,
        asset_id=asset_id,
        utterance_id=utterance_id,
    )
