"""Questions about videos and collections, answered by a worker from what search finds (contract "ask")."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.api.operations import answer_operation
from app.base.errors import InvalidRequest
from app.base.ids import new_id
from app.domain.assets.service import get_asset
from app.domain.collections.service import get_collection
from app.domain.operations.service import OperationKind, request_operation
from app.domain.search.service import MAX_QUERY_CHARACTERS
from app.wire.deps import AppContext, ReadingCaller

router = APIRouter(tags=["search"])
Json = dict[str, Any]
DEFAULT_SOURCES, MOST_SOURCES = 15, 50


class AskRequest(BaseModel):
    """`mode` is accepted and has no effect: there is one way to look for an answer."""

    question: str | None = None
    top_k: Annotated[int | None, Field(ge=1)] = None
    mode: str | None = None
    include_sources: bool | None = None

    def as_operation(self, scope: Json) -> Json:
        question = (self.question or "").strip()
        if not question or len(question) > MAX_QUERY_CHARACTERS:
            raise InvalidRequest(
                f"question must hold 1 to {MAX_QUERY_CHARACTERS} characters", field="question"
            )
        return scope | {
            "question": question,
            "top_k": min(self.top_k or DEFAULT_SOURCES, MOST_SOURCES),
            "include_sources": bool(self.include_sources),
        }


@router.post("/video/{video_id}/ask", response_model=None)
async def ask_video(
    video_id: str, wanted: AskRequest, caller: ReadingCaller, context: AppContext
) -> Json | JSONResponse:
    async with context.db.transaction() as session:
        video = await get_asset(session, caller.account_id, video_id, kind="video")
    return await _ask(context, caller, wanted.as_operation({"asset_id": video.id}))


@router.post("/collection/{collection_id}/ask", response_model=None)
async def ask_collection(
    collection_id: str, wanted: AskRequest, caller: ReadingCaller, context: AppContext
) -> Json | JSONResponse:
    async with context.db.transaction() as session:
        collection = await get_collection(session, caller.account_id, collection_id)
    return await _ask(context, caller, wanted.as_operation({"collection_id": collection.id}))


async def _ask(context: AppContext, caller: ReadingCaller, request: Json) -> Json | JSONResponse:
    async with context.db.transaction() as session:
        operation = await request_operation(
            session, caller.account_id, OperationKind.ANSWER_QUESTION, new_id("ask"), request
        )
    return await answer_operation(context, caller.account_id, operation.id)
