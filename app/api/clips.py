"""Parts of a video that fit a prompt, and videos whose titles fit a query."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.search import AppSearcher, SearchRequest, check_indexed
from app.api.shapes import asset_shape
from app.base.errors import InvalidRequest
from app.domain.assets.service import get_asset
from app.domain.collections.service import get_collection
from app.domain.passages.models import Passage
from app.domain.search.clipping import cut_clips
from app.domain.search.titles import rank_titles, titles_to_rank
from app.domain.transcripts.service import list_utterances
from app.wire.deps import AppLinks, ReadingCaller, Session
from app.wire.envelope import success

router = APIRouter(tags=["search"])
Json = dict[str, Any]
MATCHES = 30  # of which a clip may be made
LEAST_SCORE = 0.25
INDEX_TYPES = {"spoken": "spoken_word", "visual": "scene", "multimodal": None}


class ClipRequest(BaseModel):
    """`model_name` chooses nothing here: the search is the same for all."""

    prompt: str
    content_type: Literal["spoken", "visual", "multimodal"] = "spoken"


class TitleRequest(BaseModel):
    query: str


@router.post("/video/{video_id}/clip")
async def clip(
    video_id: str, wanted: ClipRequest, caller: ReadingCaller, session: Session, searcher: AppSearcher
) -> Json:
    """What of the video fits the prompt, in the order of time, with borders that cut nobody off."""
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    await check_indexed(session, asset)
    request = SearchRequest(
        query=wanted.prompt,
        index_type=INDEX_TYPES[wanted.content_type],
        top_k=MATCHES,
        score_threshold=LEAST_SCORE,
    )
    matches = await searcher.find(request, "asset", Passage.asset_id == asset.id)
    said, _ = await list_utterances(session, asset_id=asset.id)
    clips = cut_clips(
        matches,
        [(one.start_us, one.end_us) for one in said],
        round(asset.length_seconds * 1e6),
        whole_sentences=wanted.content_type != "visual",
    )
    return success({"results": searcher.as_results({asset.id: asset}, clips), "warnings": searcher.warnings})


@router.post("/collection/{collection_id}/search/title")
async def search_titles(
    collection_id: str,
    wanted: TitleRequest,
    caller: ReadingCaller,
    session: Session,
    searcher: AppSearcher,
    links: AppLinks,
) -> Json:
    """Videos whose titles fit the query, the best first (a list: contract §1.2)."""
    if not wanted.query.strip():
        raise InvalidRequest("query must not be empty", field="query")
    collection = await get_collection(session, caller.account_id, collection_id)
    titles = await titles_to_rank(session, collection.id, wanted.query)
    vectors = await searcher.vectors([wanted.query, *(title.asset.name for title in titles)])
    found = rank_titles(titles, vectors)
    return success([{"video": asset_shape(asset, links)} for asset in found])
