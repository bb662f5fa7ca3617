"""Understanding of live streams, and named indexes over what it finds (contract "RTStream v0.5")."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from app.api.times import read_unix_us
from app.base.errors import InvalidRequest
from app.base.redis import CONTROL_CHANNEL, publish
from app.domain.indexes.models import IndexRecord, SceneIndex
from app.domain.streams.service import get_stream
from app.domain.understanding import named_indexes, service
from app.domain.understanding.analyzers import read_analyzers
from app.domain.understanding.fields import read_use_for, schema_of
from app.domain.understanding.models import NamedIndex, Understanding
from app.domain.understanding.records import Held, output_records
from app.domain.understanding.service import Output
from app.wire.deps import AppContext, ServerCaller, Session
from app.wire.envelope import success

router = APIRouter(prefix="/rtstream/{stream_id}", tags=["understanding"])
Json = dict[str, Any]
MOST_PER_PAGE = 1000


class NewUnderstanding(BaseModel):
    """`store` is accepted and always true here: what was understood is kept as long as its stream is."""

    segmentation: Json | None = None
    sampling: Json | None = None
    analyzers: list[Any] | None = None
    store: bool | None = None
    ws_connection_id: str | None = None


class NewNamedIndex(BaseModel):
    source: Json | None = None
    name: str | None = None
    use_for: list[Any] | str | None = None


class Action(BaseModel):
    action: str | None = None


class Paging(BaseModel):
    """`start` and `end` in Unix seconds."""

    start: float | None = None
    end: float | None = None
    page: int = Query(1, ge=1, le=1_000_000)
    page_size: int = Query(100, ge=1)

    def as_records(self) -> Json:
        size = min(self.page_size, MOST_PER_PAGE)
        return {
            "start_us": None if self.start is None else read_unix_us(self.start),
            "end_us": None if self.end is None else read_unix_us(self.end),
            "offset": (self.page - 1) * size,
            "limit": size,
        }


async def _understanding(
    stream_id: str, understanding_id: str, caller: ServerCaller, session: Session
) -> Understanding:
    stream = await get_stream(session, caller.account_id, stream_id)
    return await service.get_understanding(session, understanding_id, stream_id=stream.id)


async def _named_index(stream_id: str, index_id: str, caller: ServerCaller, session: Session) -> NamedIndex:
    stream = await get_stream(session, caller.account_id, stream_id)
    return await named_indexes.get_named(session, index_id, stream_id=stream.id)


UnderstandingOfStream = Annotated[Understanding, Depends(_understanding)]
NamedIndexOfStream = Annotated[NamedIndex, Depends(_named_index)]


@router.post("/understand")
async def understand(
    stream_id: str, wanted: NewUnderstanding, caller: ServerCaller, context: AppContext
) -> Json:
    """Let analyzers work on the stream from now on."""
    async with context.db.transaction() as session:
        stream = await get_stream(session, caller.account_id, stream_id)
        understanding = await service.understand_stream(
            session,
            stream,
            read_analyzers(wanted.analyzers, wanted.segmentation, wanted.sampling),
            {"segmentation": wanted.segmentation or {}, "sampling": wanted.sampling},
            wanted.ws_connection_id,
        )
        outputs = await service.outputs_of(session, [understanding])
    await publish(context.redis, CONTROL_CHANNEL, {"stream_id": stream_id})
    return success(_understanding_shape(understanding, outputs[understanding.id]))


@router.get("/understand")
async def list_understandings(stream_id: str, caller: ServerCaller, session: Session) -> Json:
    stream = await get_stream(session, caller.account_id, stream_id)
    rows = await service.list_understandings(session, stream_id=stream.id)
    outputs = await service.outputs_of(session, rows)
    return success({"understandings": [_understanding_shape(row, outputs[row.id]) for row in rows]})


@router.get("/understand/{understanding_id}")
async def show_understanding(understanding: UnderstandingOfStream, session: Session) -> Json:
    outputs = await service.outputs_of(session, [understanding])
    return success(_understanding_shape(understanding, outputs[understanding.id]))


@router.patch("/understand/{understanding_id}/status")
async def act_on_understanding(
    stream_id: str, understanding_id: str, wanted: Action, caller: ServerCaller, context: AppContext
) -> Json:
    """Start or stop its analyzers."""
    async with context.db.transaction() as session:
        stream = await get_stream(session, caller.account_id, stream_id)
        understanding = await service.get_understanding(session, understanding_id, stream_id=stream.id)
        if _starts(wanted):
            await service.start_understanding(session, stream, understanding)
        else:
            await service.stop_understanding(session, understanding)
        outputs = await service.outputs_of(session, [understanding])
    await publish(context.redis, CONTROL_CHANNEL, {"stream_id": stream_id})
    return success(_understanding_shape(understanding, outputs[understanding.id]))


@router.get("/understand/{understanding_id}/records")
async def understanding_records(
    understanding: UnderstandingOfStream,
    session: Session,
    paging: Annotated[Paging, Depends()],
    output: str = "scene",
) -> Json:
    """What an analyzer found by time, at most 1000 a page."""
    found = await service.get_output(session, understanding, output, field="output")
    if found.index is None:
        return success({"records": [], "next_page": False})
    rows, more = await output_records(session, found.index, found.analyzer.type, **paging.as_records())
    return success({"records": [_record_shape(row) for row in rows], "next_page": more})


@router.post("/indexes")
async def create_index(stream_id: str, wanted: NewNamedIndex, caller: ServerCaller, session: Session) -> Json:
    """Make an index over the output that a descriptor of an understanding's `outputs` stands for."""
    stream = await get_stream(session, caller.account_id, stream_id)
    source = wanted.source or {}
    understanding_id, name = source.get("understanding_id"), source.get("output")
    if not isinstance(understanding_id, str) or not isinstance(name, str):
        raise InvalidRequest("source must be one of an understanding's outputs", field="source")
    understanding = await service.get_understanding(session, understanding_id, stream_id=stream.id)
    output = await service.get_output(session, understanding, name, field="source.output")
    if output.index is None:
        raise InvalidRequest("the output of source was deleted", field="source.output")
    schema = schema_of(output.analyzer.type)
    index = await named_indexes.name_output(
        session,
        output.index,
        name=output.analyzer.name if wanted.name is None else wanted.name,
        analyzer_type=output.analyzer.type,
        source=_descriptor(understanding, output),
        use_for=read_use_for(wanted.use_for, schema),
        schema=schema,
    )
    return success(_index_shape(index))


@router.get("/indexes")
async def list_indexes(stream_id: str, caller: ServerCaller, session: Session) -> Json:
    stream = await get_stream(session, caller.account_id, stream_id)
    rows = await named_indexes.list_named(session, stream_id=stream.id)
    return success({"indexes": [_index_shape(row) for row in rows]})


@router.get("/indexes/{index_id}")
async def show_index(index: NamedIndexOfStream) -> Json:
    return success(_index_shape(index))


@router.patch("/indexes/{index_id}/status")
async def act_on_index(wanted: Action, index: NamedIndexOfStream, session: Session) -> Json:
    """Let new records be the index's, or none of its; the understanding goes on meanwhile."""
    if _starts(wanted):
        await named_indexes.start_named(session, index)
    else:
        await named_indexes.stop_named(session, index)
    return success(_index_shape(index))


@router.get("/indexes/{index_id}/records")
async def index_records(
    index: NamedIndexOfStream, session: Session, paging: Annotated[Paging, Depends()]
) -> Json:
    """The index's records by time, at most 1000 a page."""
    output = await session.get_one(SceneIndex, index.output_id)
    rows, more = await output_records(
        session,
        output,
        index.analyzer_type,
        within=named_indexes.within_spans(index, IndexRecord.start_us),
        **paging.as_records(),
    )
    return success({"records": [_record_shape(row) for row in rows], "next_page": more})


def _starts(wanted: Action) -> bool:
    if wanted.action not in ("start", "stop"):
        raise InvalidRequest("action must be start or stop", field="action")
    return wanted.action == "start"


def _understanding_shape(understanding: Understanding, outputs: Sequence[Output]) -> Json:
    running = any(one.index is not None and one.index.status == "running" for one in outputs)
    return {
        "understanding_id": understanding.id,
        "id": understanding.id,
        "rtstream_id": understanding.stream_id,
        "status": "running" if running else "stopped",
        "store": True,
        "segmentation": understanding.request["segmentation"],
        "analyzers": [
            one.analyzer.config
            | {
                "id": one.analyzer.id,
                "name": one.analyzer.name,
                "type": one.analyzer.type,
                "status": one.index.status if one.index else "cancelled",
                "notice": one.analyzer.notice or (one.index.told_notice if one.index else None),
            }
            for one in outputs
        ],
        "outputs": {one.analyzer.name: _descriptor(understanding, one) for one in outputs},
    }


def _descriptor(understanding: Understanding, output: Output) -> Json:
    """What clients hand back as an index's source; opaque to them."""
    return {
        "type": "understanding",
        "asset_type": "rtstream",
        "rtstream_id": understanding.stream_id,
        "understanding_id": understanding.id,
        "output": output.analyzer.name,
        "extract_type": output.analyzer.type,
        "mode": "continuous",
    }


def _index_shape(index: NamedIndex) -> Json:
    return {
        "index_id": index.id,
        "id": index.id,
        "rtstream_id": index.stream_id,
        "name": index.name,
        "status": "stopped" if index.is_stopped else "running",
        "use_for": index.use_for,
        "source": index.source,
        "source_understanding_id": index.source.get("understanding_id"),
        "output": index.source.get("output"),
        "field_schema": index.field_schema,
    }


def _record_shape(record: Held) -> Json:
    return {
        "id": record.id,
        "scene_id": record.id,
        "start": record.start_us / 1e6,
        "end": record.end_us / 1e6,
        "text": record.text,
        "description": record.text,
        "data": record.data,
    }
