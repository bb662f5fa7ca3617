"""Search requests as both SDK generations send them, and results as both read them."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.domain.assets.models import Asset
from app.domain.streams.models import Stream
from app.domain.transcripts.models import Utterance
from app.domain.transcripts.search import MAX_RESULTS, Match, search_utterances

Json = dict[str, Any]
DEFAULT_RESULTS = 10


class SearchRequest(BaseModel):
    """Contract A8, A13 and A14; fields that choose among engines are accepted and have no effect yet."""

    query: str | None = None
    top_k: int | None = None
    result_threshold: int | None = None
    score_threshold: float | None = None

    @property
    def limit(self) -> int:
        limit = self.top_k or self.result_threshold or DEFAULT_RESULTS
        if limit < 1:
            raise InvalidRequest("result_threshold and top_k must be at least 1", field="result_threshold")
        return min(limit, MAX_RESULTS)

    @property
    def least_score(self) -> float:
        return self.score_threshold or 0.0


async def stream_results(
    session: AsyncSession, which: ColumnElement[bool], wanted: SearchRequest
) -> list[Json]:
    """Results of contract A8 from the streams for which `which` holds: times in Unix seconds."""
    matches = await search_utterances(
        session,
        wanted.query or "",
        Utterance.stream_id.in_(select(Stream.id).where(which)),
        limit=wanted.limit,
        score_threshold=wanted.least_score,
    )
    found = {match.utterance.stream_id for match in matches}
    by_id = {row.id: row for row in await session.scalars(select(Stream).where(Stream.id.in_(found)))}
    results = []
    for match in matches:
        stream = by_id[match.utterance.stream_id or ""]
        results.append(
            _doc(match) | {"rtstream_id": stream.id, "id": stream.id, "rtstream_name": stream.name}
        )
    return results


async def asset_results(session: AsyncSession, assets: Sequence[Asset], wanted: SearchRequest) -> list[Json]:
    """Results of contract §2.3: one entry for each asset that matched, times in seconds from its start."""
    matches = await search_utterances(
        session,
        wanted.query or "",
        Utterance.asset_id.in_([asset.id for asset in assets]),
        limit=wanted.limit,
        score_threshold=wanted.least_score,
    )
    results: dict[str, Json] = {}
    by_id = {asset.id: asset for asset in assets}
    for match in matches:
        asset = by_id[match.utterance.asset_id or ""]
        entry = results.setdefault(
            asset.id,
            {
                "collection_id": asset.collection_id,
                "video_id": asset.id,
                "length": str(round(asset.length_seconds, 3)),
                "title": asset.name,
                "max_score": match.score,
                "docs": [],
            },
        )
        entry["docs"].append(_doc(match))
    return list(results.values())


def _doc(match: Match) -> Json:
    return {
        "start": match.utterance.start_us / 1e6,
        "end": match.utterance.end_us / 1e6,
        "text": match.utterance.text,
        "score": round(match.score, 4),
        "scene_index_id": None,
        "scene_index_name": None,
        "metadata": {},
    }
