"""Search requests as both SDK generations send them, and results as both read them."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.times import read_unix_us
from app.base.errors import InvalidRequest
from app.domain.assets.models import Asset
from app.domain.passages.models import Passage
from app.domain.search.fields import filter_passages
from app.domain.search.filters import read_filter
from app.domain.search.service import MAX_QUERY_CHARACTERS, MAX_RESULTS, Match, Question, search_passages
from app.domain.streams.models import Stream
from app.domain.understanding.named_indexes import narrow_to
from app.engines.contract import EngineError
from app.engines.registry import open_sentence_engine
from app.wire.deps import AppContext, ReadingCaller, Session

logger = logging.getLogger(__name__)

Json = dict[str, Any]
DEFAULT_RESULTS = 10
LONGEST_PASSAGE_US = 3_600_000_000
NO_DEEPSEARCH = "Searched in one step: this server does not search deeper."
BY_WORDS_ALONE = "Found by words alone: the server cannot compare meanings now."
# What SDKs call kinds of indexes; anything else does not narrow the search.
KINDS = {"spoken_word": ("spoken",), "scene": ("visual", "audio"), "visual": ("visual",), "audio": ("audio",)}


class SearchRequest(BaseModel):
    """Contract A8, A13 and A14; fields that choose among engines are accepted and have no effect."""

    query: str | None = None
    search_type: str | None = None
    index_type: str | None = None
    scene_index_id: str | None = None
    rtstream_index_id: str | None = None
    top_k: int | None = None
    result_threshold: int | None = None
    score_threshold: float | None = None
    dynamic_score_percentage: Annotated[float | None, Field(ge=0, le=100)] = None
    start: float | None = None
    end: float | None = None
    filter: Any = None
    mode: str | None = None
    return_fields: Any = None

    @property
    def limit(self) -> int:
        limit = self.top_k or self.result_threshold or DEFAULT_RESULTS
        if limit < 1:
            raise InvalidRequest("result_threshold and top_k must be at least 1", field="result_threshold")
        return min(limit, MAX_RESULTS)

    @property
    def index_id(self) -> str | None:
        return self.scene_index_id or self.rtstream_index_id

    @property
    def by_words_alone(self) -> bool:
        return self.search_type == "keyword"

    def narrowing(self, clock: Literal["unix", "asset"]) -> list[ColumnElement[bool]]:
        """What the request leaves of an owner's passages; `clock` says what its times are."""
        terms: list[ColumnElement[bool]] = []
        if not self.index_id and (kinds := KINDS.get(self.index_type or "")):
            terms.append(Passage.kind.in_(kinds))
        if self.start is not None:
            terms.append(Passage.end_us > _as_us(self.start, clock))
            # Said twice, so that an index by the start reads no more than it must.
            terms.append(Passage.start_us > _as_us(self.start, clock) - LONGEST_PASSAGE_US)
        if self.end is not None:
            terms.append(Passage.start_us < _as_us(self.end, clock))
        return terms


def _as_us(at: float, clock: Literal["unix", "asset"]) -> int:
    return read_unix_us(at) if clock == "unix" else round(at * 1e6)


@dataclass(frozen=True, slots=True)
class Searcher:
    """Answers one request's search; `warnings` says afterwards what it had to do without."""

    context: AppContext
    session: AsyncSession
    account_id: str
    warnings: list[Json]

    async def in_streams(self, which: ColumnElement[bool], wanted: SearchRequest) -> list[Json]:
        """Results of contract A8 from the streams for which `which` holds: times in Unix seconds."""
        matches = await self._find(wanted, "unix", Passage.stream_id.in_(select(Stream.id).where(which)))
        return await self._as_stream_results(matches)

    async def in_stream(self, stream: Stream, wanted: SearchRequest) -> list[Json]:
        """Results of contract A8 from one stream."""
        return await self._as_stream_results(await self._find(wanted, "unix", Passage.stream_id == stream.id))

    async def in_assets(
        self, which: ColumnElement[bool], wanted: SearchRequest, *narrowed: ColumnElement[bool]
    ) -> list[Json]:
        """Results of contract §2.3: one entry for each asset that matched, times in seconds from its
        start. `narrowed` are terms of `Passage`'s columns."""
        of_assets = Passage.asset_id.in_(select(Asset.id).where(which, Asset.deleted_at.is_(None)))
        return await self.asset_results(await self._find(wanted, "asset", of_assets, *narrowed))

    async def asset_results(self, matches: Sequence[Match]) -> list[Json]:
        """Matches within assets as results of contract §2.3; those of assets that are gone are left out."""
        ids = {match.asset_id for match in matches}
        assets = {row.id: row for row in await self.session.scalars(select(Asset).where(Asset.id.in_(ids)))}
        results: dict[str, Json] = {}
        for match in matches:
            asset = assets.get(match.asset_id or "")
            if asset is None:
                continue
            entry = results.setdefault(asset.id, entry_of(asset))
            entry["max_score"] = max(entry["max_score"], round(match.score, 4))
            entry["docs"].append(_doc(match))
        return list(results.values())

    async def _find(
        self, wanted: SearchRequest, clock: Literal["unix", "asset"], *of_owner: ColumnElement[bool]
    ) -> list[Match]:
        if wanted.mode == "deepsearch":
            self.warnings.append({"code": "no_deepsearch", "message": NO_DEEPSEARCH, "docs": []})
        question = Question(
            wanted.query or "",
            await self._vector(wanted),
            wanted.limit,
            wanted.score_threshold or 0.0,
            wanted.dynamic_score_percentage,
        )
        which = [
            Passage.account_id == self.account_id,
            *of_owner,
            *wanted.narrowing(clock),
            *await self._of_index(wanted),
            *await filter_passages(self.session, self.account_id, read_filter(wanted.filter)),
        ]
        return await search_passages(self.session, question, *which)

    async def _of_index(self, wanted: SearchRequest) -> list[ColumnElement[bool]]:
        """Passages of the index that is asked for, a named one or one that makes records itself."""
        if not wanted.index_id:
            return []
        return [await narrow_to(self.session, self.account_id, wanted.index_id, Passage)]

    async def _vector(self, wanted: SearchRequest) -> list[float] | None:
        if wanted.by_words_alone or not (wanted.query or "").strip():
            return None
        query = (wanted.query or "")[:MAX_QUERY_CHARACTERS]
        try:
            engine = open_sentence_engine(self.context.settings)
            (vector,) = await asyncio.to_thread(engine.encode, [query])
        except EngineError as error:
            logger.warning("searched by words alone: %s", type(error).__name__)
            self.warnings.append({"code": error.code, "message": BY_WORDS_ALONE, "docs": []})
            return None
        return [float(value) for value in vector]

    async def _as_stream_results(self, matches: Sequence[Match]) -> list[Json]:
        ids = {match.stream_id for match in matches}
        rows = await self.session.scalars(select(Stream).where(Stream.id.in_(ids)))
        streams = {row.id: row for row in rows}
        return [
            _doc(match)
            | {
                "rtstream_id": match.stream_id,
                "id": match.stream_id,
                "rtstream_name": streams[match.stream_id or ""].name,
            }
            for match in matches
        ]


async def _searcher(context: AppContext, session: Session, caller: ReadingCaller) -> Searcher:
    return Searcher(context, session, caller.account_id, [])


AppSearcher = Annotated[Searcher, Depends(_searcher)]


def as_v2(results: list[Json], warnings: list[Json]) -> Json:
    """What search/v2 answers around the same results (contract A14)."""
    return {
        "response_type": "shots",
        "results": results,
        "session_id": None,
        "waiting_for": None,
        "clarification": None,
        "trace": None,
        "warnings": warnings,
    }


def entry_of(asset: Asset) -> Json:
    """A result of contract §2.3 without documents yet."""
    return {
        "collection_id": asset.collection_id,
        "video_id": asset.id,
        "length": str(round(asset.length_seconds, 3)),
        "title": asset.name,
        "max_score": 0.0,
        "docs": [],
    }


def _doc(match: Match) -> Json:
    return {
        "start": match.start_us / 1e6,
        "end": match.end_us / 1e6,
        "text": match.text,
        "score": round(match.score, 4),
        "scene_index_id": match.index_id,
        "scene_index_name": match.index_name,
        "metadata": {"kind": match.kind},
    }
