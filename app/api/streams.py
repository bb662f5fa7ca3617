"""RTStreams: read one, play it, transcribe it, search it, and get the asset that it became."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from app.api.operations import answer_operation
from app.api.search import AppSearcher, SearchRequest
from app.api.shapes import pulled_shape, unix_seconds
from app.api.times import read_unix_us
from app.base.errors import InvalidRequest
from app.base.redis import CONTROL_CHANNEL, publish
from app.base.settings import Settings
from app.domain.assets.links import Links
from app.domain.collections.service import get_collection
from app.domain.exports.service import exported_stream_asset
from app.domain.exports.streams import exported_stream_shape, request_stream_export
from app.domain.streams.models import Pull, Stream
from app.domain.streams.playback import play_stream
from app.domain.streams.service import get_stream, in_collection
from app.domain.transcripts import service as transcripts
from app.domain.transcripts.models import Transcription, Utterance
from app.wire.deps import AppContext, AppLinks, ReadingCaller, ServerCaller, Session
from app.wire.envelope import success

router = APIRouter(prefix="/rtstream", tags=["rtstreams"])
Json = dict[str, Any]


class TranscriptionAction(BaseModel):
    """`engine` is taken whatever it says, since the SDKs name one that is not here: there is one engine.
    `mode` is how to stop: `graceful` or `force`."""

    action: str | None = None
    engine: str | None = None
    mode: str | None = None
    language: str | None = None
    ws_connection_id: str | None = None


class NewExport(BaseModel):
    name: str | None = None


@router.post("/collection/{collection_id}/search")
async def search_collection(
    collection_id: str, wanted: SearchRequest, caller: ReadingCaller, session: Session, searcher: AppSearcher
) -> Json:
    collection = await get_collection(session, caller.account_id, collection_id)
    return success({"results": await searcher.in_streams(in_collection(collection.id), wanted)})


@router.get("/{stream_id}")
async def show(stream_id: str, caller: ServerCaller, session: Session) -> Json:
    stream = await get_stream(session, caller.account_id, stream_id)
    return success(pulled_shape(stream, await session.get(Pull, stream.id)))


@router.post("/{stream_id}/search")
async def search(
    stream_id: str, wanted: SearchRequest, caller: ReadingCaller, session: Session, searcher: AppSearcher
) -> Json:
    stream = await get_stream(session, caller.account_id, stream_id)
    return success({"results": await searcher.in_stream(stream, wanted)})


@router.post("/{stream_id}/transcription")
async def act_on_transcription(
    stream_id: str, wanted: TranscriptionAction, caller: ServerCaller, context: AppContext
) -> Json:
    """Start or stop live transcription. An unknown socket id is no error: the pipeline still runs."""
    async with context.db.transaction() as session:
        stream = await get_stream(session, caller.account_id, stream_id)
        if wanted.action == "start":
            transcription: Transcription | None = await transcripts.start_transcription(
                session,
                stream,
                engine=wanted.engine,
                ws_connection_id=wanted.ws_connection_id,
                language=wanted.language,
            )
        elif wanted.action == "stop":
            if wanted.mode not in (None, "graceful", "force"):
                raise InvalidRequest("mode must be graceful or force", field="mode")
            mode: transcripts.StopMode = "force" if wanted.mode == "force" else "graceful"
            transcription = await transcripts.stop_transcription(session, stream, mode)
        else:
            raise InvalidRequest("action must be start or stop", field="action")
    await publish(context.redis, CONTROL_CHANNEL, {"stream_id": stream_id})
    return success(_transcription_shape(stream, transcription, context.settings))


@router.get("/{stream_id}/transcription/status")
async def transcription_status(
    stream_id: str, caller: ServerCaller, session: Session, context: AppContext
) -> Json:
    stream = await get_stream(session, caller.account_id, stream_id)
    transcription = await session.get(Transcription, stream.id)
    return success(_transcription_shape(stream, transcription, context.settings))


@router.get("/{stream_id}/transcription")
async def read_transcript(
    stream_id: str,
    caller: ServerCaller,
    session: Session,
    page: Annotated[int, Query(ge=1)] = 1,
    page_size: Annotated[int, Query(ge=1)] = 100,
    start: float | None = None,
    end: float | None = None,
    since: float | None = None,
) -> Json:
    """Final utterances by time; `start`, `end` and `since` in Unix seconds, `page_size` at most 1000."""
    stream = await get_stream(session, caller.account_id, stream_id)
    page_size = min(page_size, 1000)
    offset = (page - 1) * page_size
    rows, total = await transcripts.list_utterances(
        session,
        stream_id=stream.id,
        start_us=_unix_us(start),
        end_us=_unix_us(end),
        since_us=_unix_us(since),
        offset=offset,
        limit=page_size,
    )
    return success(
        {
            "transcription_records": [_record(row) for row in rows],
            "next_page": offset + len(rows) < total,
            "total_count": total,
            "page": page,
            "page_size": page_size,
        }
    )


@router.get("/{stream_id}/stream")
async def play(
    stream_id: str,
    caller: ServerCaller,
    session: Session,
    links: AppLinks,
    start: float,
    end: float,
    player_title: Annotated[str | None, Query(max_length=200)] = None,
) -> Json:
    """Play what is recorded between two instants, Unix seconds; what is to come is appended as it comes."""
    stream = await get_stream(session, caller.account_id, stream_id)
    start_us, end_us = read_unix_us(start), read_unix_us(end)
    if start_us == end_us:  # an SDK's shot cuts its ends to whole seconds, so a short one has no length left
        end_us += 1_000_000
    playback = await play_stream(session, stream, start_us, end_us, title=player_title or stream.name)
    return success({"rtstream_id": stream.id, **links.of_playback(playback.slug)})


@router.post("/{stream_id}/export", response_model=None)
async def export(
    wanted: NewExport, stream_id: str, caller: ServerCaller, context: AppContext
) -> Json | JSONResponse:
    """The asset that the stopped stream became, the same one each time; a name that is given names it.

    A channel's is made with its session's; a pulled stream's when it is first asked for.
    """
    async with context.db.transaction() as session:
        stream = await get_stream(session, caller.account_id, stream_id)
        operation = await request_stream_export(session, stream, name=wanted.name)
        if operation is None:
            asset = await exported_stream_asset(session, stream)
            asset.name = wanted.name or asset.name
            return success(exported_stream_shape(stream.id, asset, Links(context.settings)))
    return await answer_operation(context, caller.account_id, operation.id)


def _transcription_shape(stream: Stream, transcription: Transcription | None, settings: Settings) -> Json:
    shape: Json = {
        "rtstream_id": stream.id,
        "status": "not_configured",
        "engine": transcripts.ENGINE,
        "requested_engine": None,
        "language": settings.speech_language,
        "updated_at": None,
    }
    if transcription is None:
        return shape
    return shape | {
        # Nothing asks a transcription to stop when its stream does.
        "status": "stopped" if stream.status == "stopped" else transcription.status,
        "requested_engine": transcription.engine,
        "language": transcription.language or settings.speech_language,
        "reason": transcription.reason,
        "created_at": unix_seconds(transcription.created_at),
        "updated_at": unix_seconds(transcription.updated_at),
    }


def _record(utterance: Utterance) -> Json:
    return {
        "start": utterance.start_us / 1e6,
        "end": utterance.end_us / 1e6,
        "text": utterance.text,
        "word_timestamps": [
            {
                "text": word["text"],
                "word": word["text"],
                "start": word["start_us"] / 1e6,
                "end": word["end_us"] / 1e6,
            }
            for word in utterance.words
        ],
    }


def _unix_us(value: float | None) -> int | None:
    return None if value is None else read_unix_us(value)
