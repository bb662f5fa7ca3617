"""Pulled streams: made, started and stopped by their account, carried by ingest processes in turn."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, InvalidRequest
from app.base.ids import new_id, utc_now
from app.domain.streams.ending import lock_both, settle, stop_drained_pulls
from app.domain.streams.models import PublisherState, Pull, Stream, StreamSpool
from app.domain.streams.service import zero_us_of
from app.domain.streams.source_urls import read_source_url

SHORTEST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# A connection that brought media for so long was a good one: what ends it is no reason to wait.
STEADY_SECONDS = 10.0
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class ClaimedPull:
    """A source to be connected to now. `has_begun` says that it brought media since it was last started."""

    stream: Stream
    url: str
    zero_us: int
    has_begun: bool


async def connect_stream(
    session: AsyncSession,
    account_id: str,
    collection_id: str,
    *,
    url: str | None,
    name: str | None,
    media_types: Collection[str],
    store: bool,
    sample_rate: int | None,
) -> tuple[Stream, Pull]:
    """Make a stream whose source is pulled from now on. Raises `InvalidRequest`, naming the field."""
    read_source_url(url or "")
    kinds = set(media_types) or {"video"}
    if not kinds <= {"audio", "video"}:
        raise InvalidRequest("media_types may hold audio and video", field="media_types")
    stream = Stream(
        id=new_id("rts"),
        account_id=account_id,
        collection_id=collection_id,
        name=check_name(name),
        media_type="audiovisual" if len(kinds) == 2 else kinds.pop(),
        store=store,
    )
    session.add(stream)
    await session.flush()
    pull = Pull(stream_id=stream.id, url=url, sample_rate=check_sample_rate(sample_rate))
    session.add(pull)
    await session.flush()
    await session.refresh(stream)
    await session.refresh(pull)
    return stream, pull


def check_name(name: str | None) -> str:
    """Raises `InvalidRequest` for a name that is empty, too long or not printable."""
    if not name or not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InvalidRequest(f"name must have 1 to {_LONGEST_NAME} printable characters", field="name")
    return name


def check_sample_rate(sample_rate: int | None) -> int | None:
    """Raises `InvalidRequest` for what can be no rate."""
    if sample_rate is not None and not 1 <= sample_rate <= 384_000:
        raise InvalidRequest("sample_rate must lie between 1 and 384000", field="sample_rate")
    return sample_rate


async def pulls_of(session: AsyncSession, streams: Sequence[Stream]) -> dict[str, Pull]:
    """The pulls of those of these streams that are pulled, by stream."""
    rows = await session.scalars(select(Pull).where(Pull.stream_id.in_([stream.id for stream in streams])))
    return {pull.stream_id: pull for pull in rows}


async def set_wanted(session: AsyncSession, stream_id: str, *, wanted: bool) -> None:
    """Start or stop a pulled stream; what is so already stays as it is.

    Raises `Conflict` for a channel of a capture session, which begins and ends with that.
    """
    _, stream = await lock_both(session, stream_id)
    pull = await session.get(Pull, stream.id, with_for_update=True, populate_existing=True)
    if pull is None:
        raise Conflict(f"{stream.name} starts and stops with its capture session")
    if pull.is_wanted != wanted:
        pull.is_wanted, pull.wanted_changed_at = wanted, utc_now()
        if wanted:
            pull.attempts, pull.next_attempt_at, pull.error = 0, utc_now(), None
            pull.has_begun = False
            stream.status, stream.exported_asset_id = "connected", None
    await session.flush()
    await settle(session, None, stream)
    await session.refresh(stream)


async def describe_pull(
    session: AsyncSession, stream: Stream, *, name: str | None, sample_rate: int | None
) -> Pull:
    """Give a pulled stream another name or rate. Raises `InvalidRequest`, and `Conflict` for a channel."""
    pull = await session.get(Pull, stream.id)
    if pull is None:
        raise Conflict(f"{stream.name} is a channel of a capture session, and called after it")
    if name is not None:
        stream.name = check_name(name)
    if sample_rate is not None:
        pull.sample_rate = check_sample_rate(sample_rate)
    await session.flush()
    return pull


async def claim_pulls(session: AsyncSession, publisher: str, *, limit: int) -> list[ClaimedPull]:
    """Become the ingest process that holds the sources whose turn it is, `limit` of them at most.

    The time of the next attempt is set already: a process that dies of this one delays it only.
    """
    now = utc_now()
    rows = await session.execute(
        select(Pull, Stream)
        .join(Stream, Stream.id == Pull.stream_id)
        .where(
            Pull.is_wanted,
            Pull.next_attempt_at <= now,
            Stream.publisher_state != PublisherState.LIVE.value,
        )
        .order_by(Pull.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    claimed = []
    for pull, stream in rows.all():
        pull.attempts += 1
        pull.next_attempt_at = now + timedelta(seconds=pause_seconds(pull.attempts))
        stream.publisher_state, stream.publisher = PublisherState.LIVE.value, publisher
        stream.publication = new_id("pub")
        stream.publisher_changed_at = stream.publisher_seen_at = now
        claimed.append(ClaimedPull(stream, pull.url, await zero_us_of(session, stream), pull.has_begun))
    return claimed


def pause_seconds(attempts: int) -> float:
    """How long to wait after so many attempts in a row that failed."""
    return min(SHORTEST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 16), LONGEST_PAUSE_SECONDS)


async def attempt_ended(
    session: AsyncSession, stream_id: str, *, error: str | None, media_seconds: float
) -> None:
    """A connection ended and is to be made again, after a pause if it did not do well."""
    pull = await session.get(Pull, stream_id, with_for_update=True, populate_existing=True)
    if pull is None or not pull.is_wanted:
        return
    pull.error = error
    if error is None or media_seconds >= STEADY_SECONDS:
        pull.attempts = 0
        pull.next_attempt_at = utc_now()
    else:
        pull.next_attempt_at = utc_now() + timedelta(seconds=pause_seconds(pull.attempts))


async def source_finished(session: AsyncSession, stream_id: str) -> None:
    """The source has come to its end, as a recording does: nothing is to be fetched any more."""
    await session.execute(
        update(Pull)
        .where(Pull.stream_id == stream_id, Pull.is_wanted)
        .values(is_wanted=False, wanted_changed_at=utc_now(), error=None)
    )


async def stop_abandoned_pulls(session: AsyncSession, *, resume_seconds: float) -> None:
    """Stop what has drained unseen, and what waits for a spool that did not come back in all this time."""
    long_ago = utc_now() - timedelta(seconds=resume_seconds)
    await session.execute(
        delete(StreamSpool).where(
            StreamSpool.stream_id.in_(
                select(Pull.stream_id)
                .join(Stream, Stream.id == Pull.stream_id)
                .where(
                    ~Pull.is_wanted,
                    Pull.wanted_changed_at < long_ago,
                    Stream.publisher_state != PublisherState.LIVE.value,
                )
            )
        )
    )
    await stop_drained_pulls(session)
