"""Indexes on live streams: make, stop, start, another prompt, and what they found (contract A7, Tier B)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.times import read_unix_us
from app.base.errors import InvalidRequest
from app.base.redis import CONTROL_CHANNEL, publish
from app.domain.indexes import service as indexes
from app.domain.indexes.extraction import read_extraction
from app.domain.indexes.models import IndexRecord, SceneIndex
from app.domain.streams.service import get_stream
from app.domain.transcripts.service import ensure_transcription
from app.wire.deps import AppContext, ServerCaller, Session
from app.wire.envelope import success

router = APIRouter(prefix="/rtstream/{stream_id}/index", tags=["indexes"])
Json = dict[str, Any]


class NewIndex(BaseModel):
    """What the SDKs send; `model_config` has no effect here.

    `model_name` (mini, basic, pro, ultra, …) is kept: whichever it is, the one model that is set answers.
    """

    extraction_type: str | None = None
    extraction_config: Json | None = None
    prompt: str | None = None
    name: str | None = None
    model_name: str | None = None
    ws_connection_id: str | None = None
    auto_start_transcript: bool = False


class NewPrompt(BaseModel):
    prompt: str | None = None


class IndexAction(BaseModel):
    action: str | None = None


async def _index(stream_id: str, index_id: str, caller: ServerCaller, session: Session) -> SceneIndex:
    stream = await get_stream(session, caller.account_id, stream_id)
    return await indexes.get_stream_index(session, stream, index_id)


PathIndex = Annotated[SceneIndex, Depends(_index)]


@router.post("/scene")
async def create(stream_id: str, wanted: NewIndex, caller: ServerCaller, context: AppContext) -> Json:
    """Index the stream from now on. An unknown socket id is no error: the pipeline still runs.

    With `auto_start_transcript`, as the Node SDK asks of audio indexes, sockets get the transcript too.
    """
    extraction = read_extraction(wanted.extraction_type, wanted.extraction_config)
    async with context.db.transaction() as session:
        stream = await get_stream(session, caller.account_id, stream_id)
        index = await indexes.create_stream_index(
            session,
            stream,
            extraction,
            prompt=wanted.prompt,
            name=wanted.name,
            model_name=wanted.model_name,
            ws_connection_id=wanted.ws_connection_id,
        )
        if wanted.auto_start_transcript and index.kind == "audio":
            await ensure_transcription(session, stream, ws_connection_id=wanted.ws_connection_id)
    await publish(context.redis, CONTROL_CHANNEL, {"stream_id": stream_id})
    return success(_index_shape(index))


@router.get("/scene")
async def list_all(stream_id: str, caller: ServerCaller, session: Session) -> Json:
    stream = await get_stream(session, caller.account_id, stream_id)
    rows = await indexes.list_stream_indexes(session, stream)
    return success({"scene_indexes": [_index_shape(row) for row in rows]})


@router.get("/scene/{index_id}")
async def records(
    index: PathIndex,
    session: Session,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1)] = 100,
    start: float | None = None,
    end: float | None = None,
) -> Json:
    """What it found by time, at most 1000 a page; `start` and `end` in Unix seconds."""
    page_size = min(page_size, 1000)
    rows, more = await indexes.list_records(
        session,
        index.id,
        start_us=None if start is None else read_unix_us(start),
        end_us=None if end is None else read_unix_us(end),
        offset=(page - 1) * page_size,
        limit=page_size,
    )
    return success({"scene_index_records": [_record_shape(row) for row in rows], "next_page": more})


@router.patch("/scene/{index_id}")
async def change_prompt(wanted: NewPrompt, index: PathIndex, session: Session) -> Json:
    """Another prompt; records from now on follow it."""
    await indexes.change_prompt(session, index, wanted.prompt or "")
    return success(_index_shape(index))


@router.patch("/scene/{index_id}/status")
@router.patch("/spoken/{index_id}/status")
async def act(
    stream_id: str, index_id: str, wanted: IndexAction, caller: ServerCaller, context: AppContext
) -> Json:
    """Start or stop it; the second spelling is that of Node's SpokenIndex."""
    async with context.db.transaction() as session:
        index = await _act(session, caller.account_id, stream_id, index_id, wanted.action)
    await publish(context.redis, CONTROL_CHANNEL, {"stream_id": stream_id})
    return success(_index_shape(index))


@router.get("/{index_id}")
async def show(index: PathIndex) -> Json:
    return success(_index_shape(index))


async def _act(
    session: AsyncSession, account_id: str, stream_id: str, index_id: str, action: str | None
) -> SceneIndex:
    stream = await get_stream(session, account_id, stream_id)
    index = await indexes.get_stream_index(session, stream, index_id)
    if action == "start":
        await indexes.start_index(session, stream, index)
    elif action == "stop":
        await indexes.stop_index(session, index)
    else:
        raise InvalidRequest("action must be start or stop", field="action")
    return index


def _index_shape(index: SceneIndex) -> Json:
    return {
        "rtstream_index_id": index.id,
        "rtstream_id": index.stream_id,
        "name": index.name,
        "prompt": index.prompt,
        "model_name": index.model_name,
        "extraction_type": index.extraction["type"],
        "extraction_config": index.extraction["config"],
        "index_type": index.kind,
        "status": index.status,
        "notice": index.told_notice,
        "sandbox_id": None,
    }


def _record_shape(record: IndexRecord) -> Json:
    """Both `description` and `text`: readers of each exist (contract C34)."""
    return {
        "id": record.id,
        "start": record.start_us / 1e6,
        "end": record.end_us / 1e6,
        "description": record.text,
        "text": record.text,
        "metadata": record.details,
    }
