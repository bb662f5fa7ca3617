"""Passages on their way to vectors: a row first, so that a vector is late at most."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pgvector import HalfVector
from sqlalchemy import exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import new_id, utc_now
from app.domain.outbox.jobs import RING_AGAIN_SECONDS, Job, enqueue
from app.domain.passages.models import Passage

LONGEST_WAIT_SECONDS = 3600.0
OWNERS_AT_ONCE = 100
PASSAGE_CHARACTERS = 200
MOST_STRETCHES = 40


@dataclass(frozen=True, slots=True)
class PictureVector:
    """What a picture shows, of length 1; comparable to those of the same `space` only."""

    space: str
    vector: Sequence[float]


@dataclass(frozen=True, slots=True)
class Findable:
    """What an utterance or a record gives to search; `kind` is `spoken`, `visual` or `audio`."""

    account_id: str
    kind: str
    start_us: int
    end_us: int
    texts: Sequence[str]
    stream_id: str | None = None
    asset_id: str | None = None
    utterance_id: str | None = None
    record_id: str | None = None
    index_id: str | None = None
    pictures: Sequence[PictureVector] = ()


def cut_lines(lines: Sequence[str]) -> list[str]:
    """Lines that stand below each other, joined into stretches that one vector can stand for."""
    stretches: list[list[str]] = []
    for line in lines:
        if not stretches or sum(map(len, stretches[-1])) + len(line) > PASSAGE_CHARACTERS:
            stretches.append([])
        stretches[-1].append(line)
    return [" ".join(stretch) for stretch in stretches[:MOST_STRETCHES]]


async def add_passages(session: AsyncSession, found: Sequence[Findable]) -> None:
    """Let these be found by their words from the commit on, and ask for their vectors."""
    due_at = utc_now() + timedelta(seconds=RING_AGAIN_SECONDS)
    rows = [_row(one, text, due_at=due_at) for one in found for text in one.texts if text.strip()]
    rows += [_row(one, "", picture=picture) for one in found for picture in one.pictures]
    if not rows:
        return
    await session.execute(insert(Passage), rows)
    for owner_id in dict.fromkeys(one.stream_id or one.asset_id for one in found):
        await enqueue(session, Job.EMBED_PASSAGES, owner_id or "")


def _row(
    one: Findable, text: str, *, due_at: datetime | None = None, picture: PictureVector | None = None
) -> dict[str, Any]:
    return {
        "id": new_id("psg"),
        "account_id": one.account_id,
        "stream_id": one.stream_id,
        "asset_id": one.asset_id,
        "utterance_id": one.utterance_id,
        "record_id": one.record_id,
        "index_id": one.index_id,
        "kind": one.kind,
        "start_us": one.start_us,
        "end_us": one.end_us,
        "text": text,
        "due_at": due_at,
        "picture_space": picture.space if picture else None,
        "picture_vector": HalfVector(list(picture.vector)) if picture else None,
    }


async def has_pictures(session: AsyncSession, account_id: str) -> bool:
    """Whether any picture of the account can be searched for, by whatever model."""
    pictured = exists().where(Passage.account_id == account_id, Passage.picture_space.is_not(None))
    return bool(await session.scalar(select(pictured)))


async def waiting_passages(session: AsyncSession, owner_id: str, limit: int) -> dict[str, str]:
    """Texts by id of passages of a stream or an asset that have no vector yet."""
    rows = await session.execute(
        select(Passage.id, Passage.text)
        .where(or_(Passage.stream_id == owner_id, Passage.asset_id == owner_id), Passage.due_at.is_not(None))
        .order_by(Passage.due_at)
        .limit(limit)
    )
    return {row.id: row.text for row in rows}


async def save_vectors(session: AsyncSession, vectors: dict[str, Any]) -> None:
    """Keep the vector of each passage."""
    for passage_id, vector in vectors.items():
        await session.execute(
            update(Passage).where(Passage.id == passage_id).values(vector=HalfVector(vector), due_at=None)
        )


async def ring_waiting_passages(session: AsyncSession) -> None:
    """Ask again for vectors that have waited so long that their job may have been lost: ever more seldom,
    for where the engine is not installed none will come."""
    now = utc_now()
    owners = await session.execute(
        select(Passage.stream_id, Passage.asset_id)
        .where(Passage.due_at <= now)
        .distinct()
        .limit(OWNERS_AT_ONCE)
    )
    wait_seconds = func.least(RING_AGAIN_SECONDS * func.power(2, Passage.attempts), LONGEST_WAIT_SECONDS)
    for stream_id, asset_id in owners.all():
        await session.execute(
            update(Passage)
            .where(
                Passage.stream_id == stream_id if stream_id else Passage.asset_id == asset_id,
                Passage.due_at <= now,
            )
            .values(
                due_at=now + func.make_interval(0, 0, 0, 0, 0, 0, wait_seconds),
                attempts=Passage.attempts + 1,
            )
        )
        await enqueue(session, Job.EMBED_PASSAGES, stream_id or asset_id or "")
