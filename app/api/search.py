"""Search requests as both SDK generations send them, and results as both read them."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Annotated, Any, Literal

from fastapi import Depends
from pydantic import BaseModel, Field, field_validator
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.picture_query import picture_question
from app.api.times import read_unix_us
from app.base.errors import Conflict, InvalidRequest
from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from app.domain.indexes.models import SceneIndex
from app.domain.operations.service import find_operation
from app.domain.passages.models import Passage
from app.domain.search.fields import filter_passages
from app.domain.search.filters import read_filter
from app.domain.search.hydrating import hydrated, read_return_fields
from app.domain.search.pictures import PictureQuestion
from app.domain.search.service import MAX_QUERY_CHARACTERS, MAX_RESULTS, Match, Question, search_passages
from app.domain.search.stitching import stitched
from app.domain.streams.models import Stream
from app.domain.transcripts.service import index_subject
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
NOT_SHOWN = ("spoken_word", "audio")


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
    sort_docs_on: str | None = None
    stitch: bool | None = None

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

    def sort(self, docs: list[Json]) -> None:
        """Put the docs of one video in their order: the best first, or with `start` as they come in it."""
        if self.sort_docs_on == "start":
            docs.sort(key=lambda doc: doc["start"])
        elif self.sort_docs_on == "score":
            docs.sort(key=lambda doc: -doc["score"])

    @field_validator("sort_docs_on")
    @classmethod
    def _known_order(cls, value: str | None) -> str | None:
        if value not in (None, "", "score", "start"):
            raise ValueError("must be score or start")
        return value or None

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
        matches = await self.find(wanted, "unix", Passage.stream_id.in_(select(Stream.id).where(which)))
        return await self._as_stream_results(wanted, matches)

    async def in_stream(self, stream: Stream, wanted: SearchRequest) -> list[Json]:
        """Results of contract A8 from one stream."""
        matches = await self.find(wanted, "unix", Passage.stream_id == stream.id)
        return await self._as_stream_results(wanted, matches)

    async def in_assets(
        self, which: ColumnElement[bool], wanted: SearchRequest, *narrowed: ColumnElement[bool]
    ) -> list[Json]:
        """Results of contract §2.3: one entry for each asset that matched, times in seconds from its
        start. `narrowed` are terms of `Passage`'s columns."""
        of_assets = Passage.asset_id.in_(select(Asset.id).where(which, Asset.deleted_at.is_(None)))
        matches = await self.find(wanted, "asset", of_assets, *narrowed)
        results = await self.asset_results(matches, await self._fields(wanted, matches))
        for entry in results:
            wanted.sort(entry["docs"])
        return results

    async def asset_results(self, matches: Sequence[Match], fields: Sequence[Json | None] = ()) -> list[Json]:
        """Matches within assets as contract §2.3 has them, each with links that play it; those of assets that
        are gone are left out."""
        ids = {match.asset_id for match in matches}
        assets = {row.id: row for row in await self.session.scalars(select(Asset).where(Asset.id.in_(ids)))}
        return self.as_results(assets, matches, fields)

    def as_results(
        self, assets: Mapping[str, Asset], matches: Sequence[Match], fields: Sequence[Json | None] = ()
    ) -> list[Json]:
        """The same where the assets are known."""
        links = Links(self.context.settings)
        results: dict[str, Json] = {}
        for match, held in zip_longest(matches, fields):
            asset = assets.get(match.asset_id or "")
            if asset is None:
                continue
            entry = results.setdefault(asset.id, entry_of(asset, links))
            entry["max_score"] = max(entry["max_score"], round(match.score, 4))
            moment = links.of_stretch(asset, match.start_us, match.end_us)
            entry["docs"].append(_doc(match, held) | moment)
        return list(results.values())

    async def find(
        self, wanted: SearchRequest, clock: Literal["unix", "asset"], *of_owner: ColumnElement[bool]
    ) -> list[Match]:
        """The account's best matches among passages for which `of_owner` holds. Raises `InvalidRequest`."""
        if wanted.mode == "deepsearch":
            self.warnings.append({"code": "no_deepsearch", "message": NO_DEEPSEARCH, "docs": []})
        question = Question(
            wanted.query or "",
            await self._vector(wanted),
            wanted.limit,
            wanted.score_threshold or 0.0,
            wanted.dynamic_score_percentage,
            await self._picture(wanted),
        )
        which = [
            Passage.account_id == self.account_id,
            *of_owner,
            *wanted.narrowing(clock),
            *await self._of_index(wanted),
            *await filter_passages(self.session, self.account_id, read_filter(wanted.filter)),
        ]
        matches = await search_passages(self.session, question, *which)
        return stitched(matches) if wanted.stitch else matches

    async def _of_index(self, wanted: SearchRequest) -> list[ColumnElement[bool]]:
        """Passages of the index that is asked for, a named one or one that makes records itself."""
        if not wanted.index_id:
            return []
        return [await narrow_to(self.session, self.account_id, wanted.index_id, Passage)]

    async def _vector(self, wanted: SearchRequest) -> list[float] | None:
        if wanted.by_words_alone or not (wanted.query or "").strip():
            return None
        vectors = await self.vectors([(wanted.query or "")[:MAX_QUERY_CHARACTERS]])
        return vectors[0] if vectors else None

    async def vectors(self, texts: list[str]) -> list[list[float]] | None:
        """What the texts mean; None, with a warning in the answer, where that cannot be told."""
        try:
            engine = open_sentence_engine(self.context.settings)
            found = await asyncio.to_thread(engine.encode, texts)
        except EngineError as error:
            logger.warning("searched by words alone: %s", type(error).__name__)
            self.warnings.append({"code": error.code, "message": BY_WORDS_ALONE, "docs": []})
            return None
        return [[float(value) for value in vector] for vector in found]

    async def _picture(self, wanted: SearchRequest) -> PictureQuestion | None:
        if wanted.by_words_alone or wanted.index_type in NOT_SHOWN or not (wanted.query or "").strip():
            return None
        query = (wanted.query or "")[:MAX_QUERY_CHARACTERS]
        settings = self.context.settings
        return await picture_question(self.session, settings, self.account_id, query, self.warnings)

    async def _as_stream_results(self, wanted: SearchRequest, matches: Sequence[Match]) -> list[Json]:
        ids = {match.stream_id for match in matches}
        rows = await self.session.scalars(select(Stream).where(Stream.id.in_(ids)))
        streams = {row.id: row for row in rows}
        links = Links(self.context.settings)
        fields = await self._fields(wanted, matches)
        docs = []
        for match, held in zip(matches, fields, strict=True):
            stream = streams[match.stream_id or ""]
            named = {"rtstream_id": stream.id, "id": stream.id, "rtstream_name": stream.name}
            moment = links.of_stream_stretch(stream.id, match.start_us, match.end_us) if stream.store else {}
            docs.append(_doc(match, held) | named | moment)
        return docs

    async def _fields(self, wanted: SearchRequest, matches: Sequence[Match]) -> Sequence[Json | None]:
        """Of each match what its indexes hold, as `return_fields` asks for it."""
        asked = read_return_fields(wanted.return_fields)
        return await hydrated(self.session, matches, asked) if asked else [None] * len(matches)


async def _searcher(context: AppContext, session: Session, caller: ReadingCaller) -> Searcher:
    return Searcher(context, session, caller.account_id, [])


AppSearcher = Annotated[Searcher, Depends(_searcher)]


async def check_indexed(session: AsyncSession, asset: Asset) -> None:
    """Raises `InvalidRequest` for what has no index to search, `Conflict` while its first is being made."""
    indexes = select(SceneIndex.id).where(SceneIndex.asset_id == asset.id).limit(1)
    if await session.scalar(indexes) is not None:
        return
    operation = await find_operation(session, asset.account_id, index_subject(asset.id))
    if operation is None:
        message = f"{asset.id} is not indexed: call index_spoken_words or index_scenes first"
        raise InvalidRequest(message, code="not_indexed")
    if operation.status != "done":
        raise Conflict(f"{asset.id} is being indexed", code="indexing")


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


def entry_of(asset: Asset, links: Links) -> Json:
    """A result of contract §2.3 without documents yet."""
    return {
        "collection_id": asset.collection_id,
        "video_id": asset.id,
        "length": str(round(asset.length_seconds, 3)),
        "title": asset.name,
        "thumbnail": links.thumbnail_url(asset),
        "max_score": 0.0,
        "docs": [],
    }


def _doc(match: Match, indexes: Json | None) -> Json:
    return {
        "start": match.start_us / 1e6,
        "end": match.end_us / 1e6,
        "text": match.text,
        "score": round(match.score, 4),
        "scene_index_id": match.index_id,
        "scene_index_name": match.index_name,
        "metadata": {"kind": match.kind} | ({} if indexes is None else {"indexes": indexes}),
    }
