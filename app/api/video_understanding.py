"""Understanding of recordings, and named indexes over what it finds (contract "Video understand/index")."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from app.base.errors import InvalidRequest, NotFound
from app.domain.assets.models import Asset
from app.domain.assets.service import get_asset
from app.domain.understanding import named_indexes, recordings, service
from app.domain.understanding.analyzers import read_analyzers
from app.domain.understanding.fields import (
    GIVEN,
    derived_schema,
    fields_of,
    read_use_for,
    schema_of,
    with_groups,
)
from app.domain.understanding.given import keep_given, read_given
from app.domain.understanding.models import NamedIndex, Understanding
from app.domain.understanding.records import Held, output_records, records_page
from app.domain.understanding.service import Output
from app.domain.webhooks.service import check_callback_url
from app.wire.deps import ServerCaller, Session
from app.wire.envelope import success

router = APIRouter(prefix="/video/{video_id}", tags=["understanding"])
Json = dict[str, Any]
MOST_OF_AN_OUTPUT = 10_000


class NewUnderstanding(BaseModel):
    """`transform` and `audio_chunking` are accepted and have no effect here."""

    analyzers: list[Any] | None = None
    segmentation: Json | None = None
    sampling: Json | None = None
    callback_url: str | None = None


class NewNamedIndex(BaseModel):
    source: Json | list[Any] | None = None
    name: str | None = None
    use_for: list[Any] | str | None = None
    fields: Any = None


async def _video(video_id: str, caller: ServerCaller, session: Session) -> Asset:
    return await get_asset(session, caller.account_id, video_id, kind="video")


PathVideo = Annotated[Asset, Depends(_video)]


async def _understanding(understanding_id: str, video: PathVideo, session: Session) -> Understanding:
    return await service.get_understanding(session, understanding_id, asset_id=video.id)


async def _index(index_id: str, video: PathVideo, session: Session) -> NamedIndex:
    return await named_indexes.get_named(session, index_id, asset_id=video.id)


PathUnderstanding = Annotated[Understanding, Depends(_understanding)]
PathIndex = Annotated[NamedIndex, Depends(_index)]


@router.post("/understand")
async def understand(wanted: NewUnderstanding, video: PathVideo, session: Session) -> Json:
    """Let analyzers work on the video; how far they are is the run's status, and that of each."""
    analyzers = read_analyzers(wanted.analyzers, wanted.segmentation, wanted.sampling)
    callback_url = check_callback_url(wanted.callback_url) if wanted.callback_url else None
    request = {"segmentation": wanted.segmentation, "sampling": wanted.sampling}
    understanding = await recordings.understand_recording(session, video, analyzers, request, callback_url)
    outputs = await service.outputs_of(session, [understanding])
    return success(_run_shape(understanding, video, outputs[understanding.id]))


@router.get("/understand")
async def list_understandings(video: PathVideo, session: Session) -> Json:
    rows = await service.list_understandings(session, asset_id=video.id)
    outputs = await service.outputs_of(session, rows)
    return success({"understanding_results": [_run_shape(row, video, outputs[row.id]) for row in rows]})


@router.get("/understand/{understanding_id}")
async def show_understanding(
    understanding: PathUnderstanding, video: PathVideo, session: Session, analyzer: str | None = None
) -> Json:
    """The run; with `analyzer`, a name or an id, that one alone stands in it."""
    outputs = (await service.outputs_of(session, [understanding]))[understanding.id]
    shape = _run_shape(understanding, video, outputs)
    if analyzer is not None:
        one = await service.get_output(session, understanding, analyzer, field="analyzer")
        shape["analyzers"] = [_analyzer_shape(one)]
    return success(shape)


@router.delete("/understand/{understanding_id}")
async def delete_understanding(understanding: PathUnderstanding, session: Session) -> Json:
    """Forget the run, what it found, and the indexes over it."""
    await recordings.delete_understanding(session, understanding)
    return success({"understanding_id": understanding.id})


@router.get("/understand/{understanding_id}/analyzers/{analyzer}/output")
async def show_output(analyzer: str, understanding: PathUnderstanding, session: Session) -> Json:
    """What an analyzer found by time, the first 10,000 scenes; `is_complete` says whether these are all."""
    output = await service.get_output(session, understanding, analyzer, field="analyzer")
    if output.index is None:
        return success({"scenes": [], "is_complete": True})
    rows, more = await output_records(session, output.index, output.analyzer.type, limit=MOST_OF_AN_OUTPUT)
    scenes = [
        {"scene_id": row.id, "start": row.start_us / 1e6, "end": row.end_us / 1e6, "data": row.data}
        for row in rows
    ]
    return success({"scenes": scenes, "is_complete": not more})


@router.post("/indexes")
async def create_index(wanted: NewNamedIndex, video: PathVideo, session: Session) -> Json:
    """Make an index over an analyzer's output, or over records that come along.

    A name that the video has already is given to the new one.
    """
    source = {"scenes": wanted.source} if isinstance(wanted.source, list) else wanted.source or {}
    if isinstance(source.get("scenes"), list):
        index = await _index_of_given(session, video, source["scenes"], wanted)
    else:
        index = await _index_of_output(session, video, source, wanted)
    return success((await _index_shapes(session, video, [index]))[0])


@router.get("/indexes")
async def list_indexes(
    video: PathVideo, session: Session, name: str | None = None, use_for: str | None = None
) -> Json:
    """The video's indexes, those good for `use_for`; with `name` that one itself, as the SDK reads it."""
    rows = await named_indexes.list_named(session, asset_id=video.id)
    if name is not None:
        found = [row for row in rows if row.name == name]
        if not found:
            raise NotFound(f"{video.id} has no index of the name {name[:100]}")
        return success((await _index_shapes(session, video, found))[0])
    rows = [row for row in rows if use_for is None or use_for in row.use_for]
    return success({"indexes": await _index_shapes(session, video, rows)})


@router.get("/indexes/{index_id}")
async def show_index(index: PathIndex, video: PathVideo, session: Session) -> Json:
    return success((await _index_shapes(session, video, [index]))[0])


@router.delete("/indexes/{index_id}")
async def delete_index(index: PathIndex, session: Session) -> Json:
    """Take the index away; what an analyzer found stays."""
    await named_indexes.delete_named(session, index)
    return success({"index_id": index.id})


@router.get("/indexes/{index_id}/records")
async def index_records(
    index: PathIndex,
    session: Session,
    limit: Annotated[int, Query(ge=1)] = 20,
    cursor: str | None = None,
) -> Json:
    """The index's records by time, at most 1000 a page."""
    rows, next_cursor = await records_page(session, index, cursor, min(limit, 1000))
    records = [_record_shape(index, row) for row in rows]
    return success({"records": records, "next_cursor": next_cursor})


async def _index_of_given(
    session: Session, video: Asset, scenes: Sequence[Any], wanted: NewNamedIndex
) -> NamedIndex:
    records = read_given(scenes)
    schema = with_groups(derived_schema(record.data for record in records), wanted.fields)
    use_for = read_use_for(wanted.use_for, schema)
    name = GIVEN if wanted.name is None else wanted.name
    output = await keep_given(session, video, name, records, schema if "semantic" in use_for else {})
    return await named_indexes.name_output(
        session, output, name=name, analyzer_type=GIVEN, source={}, use_for=use_for, schema=schema
    )


async def _index_of_output(session: Session, video: Asset, source: Json, wanted: NewNamedIndex) -> NamedIndex:
    understanding_id = source.get("understanding_id")
    if not isinstance(understanding_id, str):
        raise InvalidRequest("source must name an understanding_id, or hold scenes", field="source")
    understanding = await service.get_understanding(session, understanding_id, asset_id=video.id)
    output = await _output_of(session, understanding, source)
    if output.index is None:
        raise InvalidRequest(
            f"{output.analyzer.name} has no output: {output.analyzer.notice or 'it was deleted'}",
            field="source.analyzer_id",
        )
    schema = with_groups(schema_of(output.analyzer.type), wanted.fields)
    return await named_indexes.name_output(
        session,
        output.index,
        name=output.analyzer.name if wanted.name is None else wanted.name,
        analyzer_type=output.analyzer.type,
        source={
            "understanding_id": understanding.id,
            "analyzer_id": output.analyzer.id,
            "analyzer_type": output.analyzer.type,
        },
        use_for=read_use_for(wanted.use_for, schema),
        schema=schema,
    )


async def _output_of(session: Session, understanding: Understanding, source: Json) -> Output:
    """The analyzer that a source names, or the only one of its run."""
    if isinstance(source.get("analyzer_id"), str):
        return await service.get_output(
            session, understanding, source["analyzer_id"], field="source.analyzer_id"
        )
    outputs = (await service.outputs_of(session, [understanding]))[understanding.id]
    if len(outputs) != 1:
        raise InvalidRequest("source.analyzer_id must name one of the analyzers", field="source.analyzer_id")
    return outputs[0]


def _run_shape(understanding: Understanding, video: Asset, outputs: Sequence[Output]) -> Json:
    """The job's state is in `status`: at the top of the envelope it would make the SDK poll (§1.2)."""
    return {
        "understanding_id": understanding.id,
        "id": understanding.id,
        "video_id": video.id,
        "collection_id": video.collection_id,
        "status": recordings.run_status(outputs),
        "analyzers": [_analyzer_shape(output) for output in outputs],
    }


def _analyzer_shape(output: Output) -> Json:
    notice = output.analyzer.notice or (output.index.told_notice if output.index else None)
    return {
        "id": output.analyzer.id,
        "name": output.analyzer.name,
        "type": output.analyzer.type,
        "status": recordings.analyzer_status(output),
        "notice": notice,
    }


async def _index_shapes(session: Session, video: Asset, indexes: Sequence[NamedIndex]) -> list[Json]:
    states = await named_indexes.statuses(session, indexes)
    counts = await named_indexes.count_records(session, [index.output_id for index in indexes])
    return [
        {
            "index_id": index.id,
            "video_id": video.id,
            "collection_id": video.collection_id,
            "name": index.name,
            "status": states[index.id][0],
            "error": states[index.id][1],
            "use_for": index.use_for,
            "source": index.source,
            "record_count": counts.get(index.output_id, 0),
            "fields": fields_of(index.field_schema),
            "field_schema": index.field_schema,
        }
        for index in indexes
    ]


def _record_shape(index: NamedIndex, record: Held) -> Json:
    return {
        "video_id": record.asset_id,
        "understanding_id": index.source.get("understanding_id"),
        "scene_id": record.id,
        "start": record.start_us / 1e6,
        "end": record.end_us / 1e6,
        "data": record.data,
    }
