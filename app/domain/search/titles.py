"""Finds videos by their titles: by words, and by what the titles mean."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.assets.models import Asset
from app.domain.search.service import LEAST_CLOSENESS, MAX_QUERY_CHARACTERS

MAX_FOUND = 20
# How many of the newest videos are looked at for their meaning: some milliseconds each.
MAX_COMPARED = 100


@dataclass(frozen=True, slots=True)
class Title:
    """A video, and whether its title or description holds all words of the query."""

    asset: Asset
    holds_words: bool


async def titles_to_rank(session: AsyncSession, collection_id: str, query: str) -> list[Title]:
    """The collection's videos that hold the query's words, and the newest others."""
    document = func.to_tsvector("english", Asset.name + " " + Asset.description)
    holds = document.op("@@")(func.plainto_tsquery("english", query[:MAX_QUERY_CHARACTERS]))
    rows = await session.execute(
        select(Asset, holds.label("holds"))
        .where(Asset.collection_id == collection_id, Asset.kind == "video", Asset.deleted_at.is_(None))
        .order_by(holds.desc(), Asset.created_at.desc())
        .limit(MAX_COMPARED)
    )
    return [Title(asset, bool(held)) for asset, held in rows]


def rank_titles(titles: Sequence[Title], vectors: Sequence[Sequence[float]] | None) -> list[Asset]:
    """The best first: those with the words, and among those and behind them by closeness in meaning.

    `vectors` are the query's and each title's, None where meanings cannot be compared.
    """
    closeness = [0.0] * len(titles)
    if vectors:
        query, *others = vectors
        closeness = [sum(a * b for a, b in zip(query, other, strict=True)) for other in others]
    ranked = sorted(zip(titles, closeness, strict=True), key=lambda row: (not row[0].holds_words, -row[1]))
    found = [title.asset for title, close in ranked if title.holds_words or close >= LEAST_CLOSENESS]
    return found[:MAX_FOUND]
