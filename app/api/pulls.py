"""Pulled RTStreams: connect one, list, start, stop and name them."""

import asyncio
import time
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from app.api.shapes import pulled_shape
from app.base.errors import InvalidRequest
from app.base.redis import CONTROL_CHANNEL, publish
from app.base.settings import get_settings
from app.domain.collections.service import get_collection
from app.domain.streams.listing import list_streams, read_ordering
from app.domain.streams.models import Pull
from app.domain.streams.pulls import connect_stream, describe_pull, pulls_of, set_wanted
from app.domain.streams.service import get_stream
from app.domain.transcripts.service import start_transcription
from app.process import Context
from app.wire.deps import AppContext, ServerCaller, Session
from app.wire.envelope import success

router = APIRouter(prefix="/rtstream", tags=["rtstreams"])
Json = dict[str, Any]

DEFAULT_LIMIT = 10
LARGEST_LIMIT = 100
# What was received is usually stored within this time; afterwards the stream stops by itself.
STOP_HOLD_SECONDS = 8.0
LOOK_SECONDS = 0.1


class NewStream(BaseModel):
    collection_id: str | None = None
    url: str | None = None
    name: str | None = None
    media_types: list[str] | None = None
    sample_rate: int | None = None
    store: bool | None = None
    enable_transcript: bool | None = None
    ws_connection_id: str | None = None


class StreamAction(BaseModel):
    action: str | None = None


class StreamChange(BaseModel):
    name: str | None = None
    sample_rate: int | None = None


@router.post("")
async def connect(wanted: NewStream, caller: ServerCaller, context: AppContext) -> Json:
    """Pull a source from now on; whether it can be reached, the stream tells afterwards."""
    async with context.db.transaction() as session:
        collection = await get_collection(session, caller.account_id, wanted.collection_id or "default")
        stream, pull = await connect_stream(
            session,
            caller.account_id,
            collection.id,
            url=wanted.url,
            name=wanted.name,
            media_types=wanted.media_types or (),
            store=bool(wanted.store),
            sample_rate=wanted.sample_rate,
        )
        if wanted.enable_transcript:
            await start_transcription(session, stream, engine=None, ws_connection_id=wanted.ws_connection_id)
        data = pulled_shape(stream, pull)
    await publish(context.redis, CONTROL_CHANNEL, {"stream_id": stream.id})
    return success(data)


@router.get("")
async def list_all(
    request: Request,
    caller: ServerCaller,
    session: Session,
    limit: Annotated[int, Query(ge=1)] = DEFAULT_LIMIT,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    status: str | None = None,
    name: Annotated[str | None, Query(max_length=200)] = None,
    ordering: str | None = None,
) -> Json:
    """The account's streams, those of capture sessions too, newest first unless asked otherwise."""
    if status and status not in ("connected", "stopped"):
        raise InvalidRequest("status must be connected or stopped", field="status")
    limit = min(limit, LARGEST_LIMIT)
    rows, count = await list_streams(
        session,
        caller.account_id,
        status=status or None,
        name=name or None,
        ordering=read_ordering(ordering),
        limit=limit,
        offset=offset,
    )
    pulls = await pulls_of(session, rows)
    asked = dict(request.query_params) | {"limit": str(limit)}
    return success(
        {
            "results": [pulled_shape(row, pulls.get(row.id)) for row in rows],
            "count": count,
            "next": _page(asked, offset + limit) if offset + limit < count else None,
            "previous": _page(asked, max(offset - limit, 0)) if offset else None,
        }
    )


@router.patch("/{stream_id}/status")
async def act(wanted: StreamAction, stream_id: str, caller: ServerCaller, context: AppContext) -> Json:
    """Start or stop a pulled stream; the answer to a stop waits a while for the stream to be stored."""
    if wanted.action not in ("start", "stop"):
        raise InvalidRequest("action must be start or stop", field="action")
    async with context.db.transaction() as session:
        stream = await get_stream(session, caller.account_id, stream_id)
        await set_wanted(session, stream.id, wanted=wanted.action == "start")
    await publish(context.redis, CONTROL_CHANNEL, {"stream_id": stream_id})
    return success(await _settled(context, caller.account_id, stream_id, wanted.action))


@router.patch("/{stream_id}")
async def change(wanted: StreamChange, stream_id: str, caller: ServerCaller, session: Session) -> Json:
    stream = await get_stream(session, caller.account_id, stream_id)
    pull = await describe_pull(session, stream, name=wanted.name, sample_rate=wanted.sample_rate)
    return success(pulled_shape(stream, pull))


async def _settled(context: Context, account_id: str, stream_id: str, action: str) -> Json:
    deadline = time.monotonic() + STOP_HOLD_SECONDS
    while True:
        async with context.db.transaction() as session:
            stream = await get_stream(session, account_id, stream_id)
            shape = pulled_shape(stream, await session.get(Pull, stream.id))
        if action == "start" or stream.status == "stopped" or time.monotonic() > deadline:
            return shape
        await asyncio.sleep(LOOK_SECONDS)


def _page(asked: dict[str, str], offset: int) -> str:
    return f"{get_settings().base_url}/rtstream?{urlencode(asked | {'offset': str(offset)})}"
