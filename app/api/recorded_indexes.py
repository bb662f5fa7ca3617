"""Indexes of recordings: build, list, read and delete them (contract §2, Videos)."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.api.given_scenes import read_given_scenes
from app.api.operations import answer_operation
from app.base.errors import InvalidRequest
from app.domain.assets.service import get_asset
from app.domain.indexes.extraction import MOST_PICTURES, read_recorded_extraction
from app.domain.indexes.models import IndexRecord
from app.domain.indexes.service import list_records
from app.domain.operations.service import find_operation
from app.domain.scenes import indexing
from app.domain.transcripts.service import index_subject
from app.domain.webhooks.service import check_callback_url
from app.wire.deps import AppContext, ServerCaller, Session
from app.wire.envelope import success

router = APIRouter(prefix="/video/{video_id}/index", tags=["indexes"])
Json = dict[str, Any]

_STATUS = {"pending": "processing", "running": "processing"}


class NewRecordedIndex(BaseModel):
    """What the SDKs send; `model_config` and `sandbox_id` have no effect here, `scene_type` and
    `segmentation_threshold` (0 to 1) are the vendor's OpenAPI's."""

    extraction_type: str | None = None
    extraction_config: Json | None = None
    scene_type: str | None = None
    segmentation_threshold: float | None = Field(None, gt=0, le=1)
    prompt: str | None = None
    name: str | None = None
    model_name: str | None = None
    metadata: Json | None = None
    scenes: list[Json] | None = None
    language_code: str | None = None
    callback_url: str | None = None


class IndexesToDelete(BaseModel):
    index_type: str | None = None


@router.post("/scene", response_model=None)
async def create(
    video_id: str, wanted: NewRecordedIndex, caller: ServerCaller, context: AppContext
) -> Json | JSONResponse:
    """Index the recording; finished when the call returns, or polled.

    With a `callback_url` the index is named at once, and the URL is told when it has been built.
    """
    callback_url = check_callback_url(wanted.callback_url) if wanted.callback_url else None
    async with context.db.transaction() as session:
        asset = await get_asset(session, caller.account_id, video_id, kind="video")
        index, operation = await indexing.request_index(
            session,
            asset,
            indexing.WantedIndex(
                extraction=read_recorded_extraction(
                    wanted.extraction_type or wanted.scene_type or "time",
                    _config(wanted),
                    asset.length_seconds,
                ),
                prompt=wanted.prompt,
                name=wanted.name,
                model_name=wanted.model_name,
                language_code=wanted.language_code,
                metadata=wanted.metadata,
                scenes=read_given_scenes(wanted.scenes, asset.length_seconds) if wanted.scenes else None,
                callback_url=callback_url,
            ),
        )
    if callback_url:
        return success(indexing.index_facts(index))
    return await answer_operation(context, caller.account_id, operation.id)


def _config(wanted: NewRecordedIndex) -> Json | None:
    if wanted.segmentation_threshold is None:
        return wanted.extraction_config
    return {"threshold": wanted.segmentation_threshold * 100} | (wanted.extraction_config or {})


@router.get("/scene")
async def list_all(video_id: str, caller: ServerCaller, session: Session) -> Json:
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    rows = await indexing.list_recorded_indexes(session, asset)
    return success({"scene_indexes": [indexing.index_facts(row) for row in rows]})


@router.get("/scene/{index_id}")
async def show(
    video_id: str,
    index_id: str,
    caller: ServerCaller,
    session: Session,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=MOST_PICTURES)] = MOST_PICTURES,
) -> Json:
    """The index with its records by time, in seconds from the recording's start; all of them in one page
    where no other is asked for, as the SDKs read them."""
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    index = await indexing.get_recorded_index(session, asset, index_id)
    rows, more = await list_records(
        session, index.id, start_us=None, end_us=None, offset=(page - 1) * page_size, limit=page_size
    )
    records = [_record_shape(row) for row in rows]
    return success(indexing.index_facts(index) | {"scene_index_records": records, "next_page": more})


@router.delete("/scene/{index_id}")
async def delete(video_id: str, index_id: str, caller: ServerCaller, session: Session) -> Json:
    """Forget the index with its records; one that is being built is built no further."""
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    index = await indexing.get_recorded_index(session, asset, index_id)
    await indexing.delete_recorded_index(session, index)
    return success({})


@router.get("")
async def show_by_type(
    video_id: str, caller: ServerCaller, session: Session, index_type: str = "spoken_word"
) -> Json:
    """Of `scene` the records of the newest index that is ready, as a bare list (the SDK's `get_scenes`); of
    `spoken_word` how far its words are."""
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    if index_type == "scene":
        rows = await indexing.list_recorded_indexes(session, asset)
        ready = [row for row in rows if row.status == "ready"]
        if not ready:
            return success([])
        records, _ = await list_records(
            session, ready[-1].id, start_us=None, end_us=None, offset=0, limit=MOST_PICTURES
        )
        return success([_record_shape(record) for record in records])
    if index_type != "spoken_word":
        raise InvalidRequest("index_type must be spoken_word or scene", field="index_type")
    operation = await find_operation(session, caller.account_id, index_subject(asset.id))
    status = _STATUS.get(operation.status, operation.status) if operation else "none"
    return success({"status": status, "message": (operation and operation.error) or ""})


@router.post("/delete")
async def delete_by_type(
    video_id: str, wanted: IndexesToDelete, caller: ServerCaller, session: Session
) -> Json:
    """Forget the recording's words, its scene indexes, or both (the vendor's OpenAPI)."""
    index_type = wanted.index_type or "all"
    if index_type not in ("spoken_word", "scene", "all"):
        raise InvalidRequest("index_type must be spoken_word, scene or all", field="index_type")
    asset = await get_asset(session, caller.account_id, video_id, kind="video")
    if index_type in ("spoken_word", "all"):
        await indexing.delete_words(session, asset)
    if index_type in ("scene", "all"):
        for index in await indexing.list_recorded_indexes(session, asset):
            await indexing.delete_recorded_index(session, index)
    return success({})


def _record_shape(record: IndexRecord) -> Json:
    """Both `description` and `text`: readers of each exist (contract C34)."""
    return {
        "id": record.id,
        "start": record.start_us / 1e6,
        "end": record.end_us / 1e6,
        "description": record.text,
        "text": record.text,
        "metadata": record.details.get("metadata", {}),
    }
