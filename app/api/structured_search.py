"""Named indexes of videos and collections searched by meaning, asked by fields, and counted (contract "Video
and collection search v0.5")."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, select

from app.api.hydration import hydrate
from app.api.search import AppSearcher, SearchRequest, entry_of
from app.base.errors import InvalidRequest
from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from app.domain.assets.service import get_asset
from app.domain.collections.service import get_collection
from app.domain.passages.models import Passage
from app.domain.search.filters import read_filter
from app.domain.understanding.models import NamedIndex
from app.domain.understanding.named_indexes import named_in_scope
from app.domain.understanding.records import (
    MOST_ROWS,
    Held,
    count_groups,
    matching_records,
    query_records,
    read_order,
)
from app.wire.deps import AppLinks, ReadingCaller, Session
from app.wire.envelope import success

router = APIRouter(tags=["search"])
Json = dict[str, Any]
Names = list[str] | str | None


class SemanticRequest(BaseModel):
    query: str | None = None
    index_names: Names = None
    index_ids: Names = None
    top_k: int | None = None
    score_threshold: float | None = None
    filter: Any = None
    return_fields: Any = None


class StructuredRequest(BaseModel):
    """Without `index_name` and `index_id` all indexes are asked that are good for it."""

    index_name: str | None = None
    index_id: str | None = None
    filter: Any = None
    sort: Any = None
    limit: Annotated[int | None, Field(ge=1)] = None

    @property
    def rows(self) -> int:
        return min(self.limit or 100, MOST_ROWS)


class QueryRequest(StructuredRequest):
    return_fields: Any = None


class AggregateRequest(StructuredRequest):
    group_by: str | None = None
    metric: str | None = None


async def _video(video_id: str, caller: ReadingCaller, session: Session) -> ColumnElement[bool]:
    return Asset.id == (await get_asset(session, caller.account_id, video_id, kind="video")).id


async def _collection(collection_id: str, caller: ReadingCaller, session: Session) -> ColumnElement[bool]:
    return Asset.collection_id == (await get_collection(session, caller.account_id, collection_id)).id


# The assets that a search is over.
OfVideo = Annotated[ColumnElement[bool], Depends(_video)]
OfCollection = Annotated[ColumnElement[bool], Depends(_collection)]


@router.post("/video/{video_id}/semantic-search")
async def search_video(
    wanted: SemanticRequest, scope: OfVideo, session: Session, searcher: AppSearcher
) -> Json:
    return await _search(session, searcher, scope, wanted)


@router.post("/collection/{collection_id}/semantic-search")
async def search_collection(
    wanted: SemanticRequest, scope: OfCollection, session: Session, searcher: AppSearcher
) -> Json:
    return await _search(session, searcher, scope, wanted)


@router.post("/video/{video_id}/query")
async def query_video(wanted: QueryRequest, scope: OfVideo, session: Session, links: AppLinks) -> Json:
    return await _query(session, links, scope, wanted)


@router.post("/collection/{collection_id}/query")
async def query_collection(
    wanted: QueryRequest, scope: OfCollection, session: Session, links: AppLinks
) -> Json:
    return await _query(session, links, scope, wanted)


@router.post("/video/{video_id}/aggregate")
async def aggregate_video(wanted: AggregateRequest, scope: OfVideo, session: Session) -> Json:
    return await _aggregate(session, scope, wanted)


@router.post("/collection/{collection_id}/aggregate")
async def aggregate_collection(wanted: AggregateRequest, scope: OfCollection, session: Session) -> Json:
    return await _aggregate(session, scope, wanted)


async def _search(
    session: Session, searcher: AppSearcher, scope: ColumnElement[bool], wanted: SemanticRequest
) -> Json:
    """By meaning and words, in the indexes that are named or in all there is."""
    request = SearchRequest(
        query=wanted.query, top_k=wanted.top_k, score_threshold=wanted.score_threshold, filter=wanted.filter
    )
    names, ids = _listed(wanted.index_names), _listed(wanted.index_ids)
    if not names and not ids:
        results = await searcher.in_assets(scope, request)
    else:
        named = await named_in_scope(session, scope, "semantic", names=names, ids=ids)
        narrowed = [Passage.index_id.in_([index.output_id for index in named])]
        filter_ = read_filter(wanted.filter)
        if filter_ is not None:
            narrowed.append(Passage.record_id.in_(matching_records(named, filter_)))
        request.filter = None
        results = await searcher.in_assets(scope, request, *narrowed)
        _rename(results, named)
    await hydrate(session, scope, results, wanted.return_fields)
    return success({"results": results, "warnings": searcher.warnings})


async def _query(session: Session, links: Links, scope: ColumnElement[bool], wanted: QueryRequest) -> Json:
    """Records by their fields alone, each with what it holds."""
    named = await _named(session, scope, "query", wanted)
    rows = await query_records(
        session, named, read_filter(wanted.filter), read_order(wanted.sort), wanted.rows
    )
    results = await _as_results(session, links, rows)
    await hydrate(session, scope, results, wanted.return_fields)
    return success({"results": results, "warnings": []})


async def _aggregate(session: Session, scope: ColumnElement[bool], wanted: AggregateRequest) -> Json:
    """How often each value of a field occurs."""
    if wanted.metric not in (None, "count"):
        raise InvalidRequest("metric must be count", field="metric")
    named = await _named(session, scope, "aggregate", wanted)
    rows = await count_groups(
        session, named, read_filter(wanted.filter), wanted.group_by, read_order(wanted.sort), wanted.rows
    )
    return success({"results": rows, "warnings": []})


async def _named(
    session: Session, scope: ColumnElement[bool], capability: str, wanted: StructuredRequest
) -> list[NamedIndex]:
    found = await named_in_scope(
        session, scope, capability, names=_listed(wanted.index_name), ids=_listed(wanted.index_id)
    )
    if not found:
        raise InvalidRequest(f"there is no index for {capability} here", field="index_name")
    return found


def _listed(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else [*(names or ())]


def _rename(results: Sequence[Json], named: Sequence[NamedIndex]) -> None:
    """Let results say the index that was asked, not the output that it is over."""
    by_output = {index.output_id: index for index in named}
    for doc in (doc for result in results for doc in result["docs"]):
        index = by_output[doc["scene_index_id"]]
        doc["scene_index_id"], doc["scene_index_name"] = index.id, index.name


async def _as_results(session: Session, links: Links, rows: Sequence[Held]) -> list[Json]:
    ids = {row.asset_id for row in rows}
    assets = {row.id: row for row in await session.scalars(select(Asset).where(Asset.id.in_(ids)))}
    results: dict[str, Json] = {}
    for row in rows:
        asset = assets[row.asset_id or ""]
        entry = results.setdefault(asset.id, entry_of(asset, links) | {"max_score": 1.0})
        entry["docs"].append(
            {
                "start": row.start_us / 1e6,
                "end": row.end_us / 1e6,
                "text": row.text,
                "score": 1.0,
                "scene_index_id": row.index_id,
                "scene_index_name": row.index_name,
                "metadata": {"scene_id": row.id, "data": row.data},
                **links.of_stretch(asset, row.start_us, row.end_us),
            }
        )
    return list(results.values())
