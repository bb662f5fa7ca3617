"""Live transcription of streams: start, stop, speech in, utterances saved once and read by time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, InvalidRequest
from app.base.ids import new_id, utc_now
from app.domain.assets.models import Asset
from app.domain.outbox.events import Route, emit, ring
from app.domain.outbox.stream_events import TranscriptFinal
from app.domain.passages.service import Findable, add_passages
from app.domain.sessions.service import next_seq
from app.domain.streams.models import Stream
from app.domain.transcripts.models import SpeechChunk, Transcription, Utterance

ENGINE = "faster-whisper"  # whatever a caller asks for: there is one engine
SPEECH_CHANNEL = "speech"  # rung when an utterance waits for its words
_TURNS = 0x5EEC  # the first half of the advisory locks that are streams' turns
_LANGUAGE_CODE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,2}")


@dataclass(frozen=True, slots=True)
class Spoken:
    """Recognised speech; times in microseconds on its owner's clock, words as `Utterance.words`."""

    text: str
    start_us: int
    end_us: int
    language: str | None
    words: list[dict[str, Any]]


StopMode = Literal["graceful", "force"]


async def start_transcription(
    session: AsyncSession,
    stream: Stream,
    *,
    engine: str | None,
    ws_connection_id: str | None,
    language: str | None = None,
) -> Transcription:
    """Transcribe the stream from now on; starting again changes engine, language and socket.

    `language` is a code such as `en` or `en-US`; None leaves it to the settings. Raises `InvalidRequest` for
    a stream without sound or what is no language code, and `Conflict` for a stream that has stopped.
    """
    check_language(language, "language")
    if "audio" not in stream.media_types:
        raise InvalidRequest(f"{stream.name} has no sound to transcribe")
    if stream.status != "connected":
        raise Conflict(f"{stream.name} has stopped: there is nothing left to transcribe")
    values = {
        "status": "running",
        "engine": engine,
        "language": language or None,
        "stop_mode": None,
        "reason": None,
        "ws_connection_id": ws_connection_id or None,
    }
    await session.execute(
        insert(Transcription)
        .values(stream_id=stream.id, **values)
        .on_conflict_do_update(
            index_elements=["stream_id"], set_=values | {"updated_at": func.clock_timestamp()}
        )
    )
    return await session.get_one(Transcription, stream.id, populate_existing=True)


async def ensure_transcription(
    session: AsyncSession, stream: Stream, *, ws_connection_id: str | None
) -> Transcription:
    """The stream's transcription, as it was started, or started now. Raises what starting raises."""
    running = await session.get(Transcription, stream.id)
    if running is not None and running.status == "running":
        return running
    return await start_transcription(session, stream, engine=None, ws_connection_id=ws_connection_id)


def check_language(code: str | None, field: str) -> None:
    """Raises `InvalidRequest` naming `field` for what is neither a language code nor empty."""
    if code and not _LANGUAGE_CODE.fullmatch(code):
        raise InvalidRequest(f"{field} must be a code such as en or en-US", field=field)


async def stop_transcription(
    session: AsyncSession, stream: Stream, mode: StopMode = "graceful"
) -> Transcription | None:
    """Stop it; what was said before still becomes text, unless it is stopped by force: then what is not
    final yet never will be. None when it was never started."""
    transcription = await session.get(Transcription, stream.id)
    if transcription is not None and (transcription.status, transcription.stop_mode) != ("stopped", mode):
        transcription.status, transcription.stop_mode = "stopped", mode
        transcription.updated_at = utc_now()
        await session.flush()
        await session.refresh(transcription)
    return transcription


def is_asked_for(transcription: Transcription, started_at_us: int) -> bool:
    """Whether words that were begun at this Unix time belong to the transcript."""
    if transcription.status == "running":
        return True
    stopped_at_us = transcription.updated_at.timestamp() * 1_000_000
    return transcription.stop_mode != "force" and started_at_us <= stopped_at_us


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
    """Ask for the words of an utterance whose sound is in storage; `chunk_id` becomes the utterance's."""
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
    await ring(session, SPEECH_CHANNEL)


async def streams_with_speech(session: AsyncSession) -> list[str]:
    """Streams with an utterance that is due, the one that has waited longest first."""
    rows = await session.scalars(
        select(SpeechChunk.stream_id)
        .where(SpeechChunk.due_at <= func.clock_timestamp())
        .group_by(SpeechChunk.stream_id)
        .order_by(func.min(SpeechChunk.created_at))
    )
    return list(rows)


async def take_turn(session: AsyncSession, stream_id: str) -> str | None:
    """The stream's oldest utterance that is due, which is the caller's until its transaction ends; None
    where there is none, or where another worker has the stream's turn.

    So one stream's utterances become words one after the other, in the order in which they were said; and
    a worker that dies gives its turn back with its connection.
    """
    mine = await session.scalar(select(func.pg_try_advisory_xact_lock(_TURNS, func.hashtext(stream_id))))
    if not mine:
        return None
    chunk_id: str | None = await session.scalar(
        select(SpeechChunk.id)
        .where(SpeechChunk.stream_id == stream_id, SpeechChunk.due_at <= func.clock_timestamp())
        .order_by(SpeechChunk.started_at_us)
        .limit(1)
    )
    return chunk_id


async def put_off(session: AsyncSession, chunk_id: str) -> None:
    """Let nobody take the utterance for a while, longer with each attempt that failed."""
    seconds = func.least(2.0**6, func.power(2.0, SpeechChunk.attempts))
    await session.execute(
        update(SpeechChunk)
        .where(SpeechChunk.id == chunk_id)
        .values(due_at=func.clock_timestamp() + seconds * text("interval '1 second'"))
    )


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
                id=chunk.id,
                stream_id=chunk.stream_id,
                source_id=chunk.id,
                start_us=spoken.start_us,
                end_us=spoken.end_us,
                text=spoken.text,
                language=spoken.language,
                words=spoken.words,
            )
            .on_conflict_do_nothing()
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
                tuple(_word_in_ms(word) for word in spoken.words),
            )
            await emit(
                session,
                event,
                account_id=stream.account_id,
                route=route,
                seq=await next_seq(session, stream.capture_session_id),
            )
    await session.execute(delete(SpeechChunk).where(SpeechChunk.id == chunk.id))


def _word_in_ms(word: dict[str, Any]) -> dict[str, Any]:
    return {
        "text": word["text"],
        "word": word["text"],
        "start": word["start_us"] // 1000,
        "end": word["end_us"] // 1000,
    }


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
    session: AsyncSession,
    asset_id: str,
    operation_id: str,
    spoken: Sequence[Spoken],
    passages: Sequence[slice] | None = None,
) -> None:
    """Make these the asset's utterances, instead of whatever it had.

    `passages` says which of them search finds together; without, each is found by itself.
    """
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
    together = passages if passages is not None else [slice(at, at + 1) for at in range(len(spoken))]
    await add_passages(
        session,
        [
            _findable(ids[part.start], joined(spoken[part]), asset.account_id, asset_id=asset_id)
            for part in together
        ],
    )


def joined(spoken: Sequence[Spoken]) -> Spoken:
    """Several that follow each other, at least one, as one."""
    return Spoken(
        text=" ".join(one.text for one in spoken),
        start_us=spoken[0].start_us,
        end_us=max(one.end_us for one in spoken),
        language=spoken[0].language,
        words=[word for one in spoken for word in one.words],
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
