"""The words of finished videos and audios: found when they are asked for, and read in segments (A12)."""

from typing import Annotated, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.operations import answer_operation
from app.base.errors import InvalidRequest
from app.domain.assets.models import Asset
from app.domain.assets.service import AssetKind, get_asset
from app.domain.operations.models import Operation
from app.domain.operations.service import find_operation
from app.domain.transcripts.recordings import request_words
from app.domain.transcripts.segments import Segment, Segmenter, segment_words
from app.domain.transcripts.service import index_subject, list_utterances
from app.domain.webhooks.service import check_callback_url
from app.wire.deps import AppContext, ServerCaller
from app.wire.envelope import Json

router = APIRouter(tags=["transcripts"])
MAX_LENGTH = 3600


class TranscriptRequest(BaseModel):
    force: bool | None = None
    language_code: str | None = None


class IndexRequest(BaseModel):
    index_type: str | None = None
    language_code: str | None = None
    segmentation_type: str | None = None
    force: bool | None = None
    callback_url: str | None = None


class Wanted(BaseModel):
    """Which part of a transcript, in seconds, and in what segments; an end below zero is the media's."""

    segmenter: Segmenter = "word"
    length: int = Field(1, ge=1, le=MAX_LENGTH)
    start: float | None = Field(None, ge=0, lt=1e9)
    end: float | None = Field(None, gt=-1e9, lt=1e9)

    @property
    def start_us(self) -> int | None:
        return None if self.start is None else round(self.start * 1e6)

    @property
    def end_us(self) -> int | None:
        """Raises `InvalidRequest` where it comes before the start."""
        if self.end is None or self.end < 0:
            return None
        if self.end < (self.start or 0):
            raise InvalidRequest("end must not come before start", field="end")
        return round(self.end * 1e6)


@router.get("/video/{asset_id}/transcription", response_model=None)
@router.get("/audio/{asset_id}/transcription", response_model=None)
async def read(
    asset_id: str,
    wanted: Annotated[Wanted, Query()],
    request: Request,
    caller: ServerCaller,
    context: AppContext,
) -> Json | JSONResponse:
    """What is said, found first where it is not known yet: then this address is polled until it is."""
    async with context.db.transaction() as session:
        asset = await _asset(session, caller, asset_id, request)
        operation = await find_operation(session, caller.account_id, index_subject(asset.id))
        if operation is None:
            operation = await request_words(session, asset)
    return await _answer(context, caller, operation, asset, wanted)


@router.post("/video/{asset_id}/transcription", response_model=None)
@router.post("/audio/{asset_id}/transcription", response_model=None)
async def generate(
    asset_id: str, wanted: TranscriptRequest, request: Request, caller: ServerCaller, context: AppContext
) -> Json | JSONResponse:
    """Find what is said, anew with `force`; once it is known the answer is the same each time."""
    async with context.db.transaction() as session:
        asset = await _asset(session, caller, asset_id, request)
        operation = await request_words(
            session, asset, language=wanted.language_code, force=bool(wanted.force)
        )
    return await _answer(context, caller, operation, asset, Wanted())


@router.post("/video/{asset_id}/index", response_model=None)
@router.post("/audio/{asset_id}/index", response_model=None)
async def index(
    asset_id: str, wanted: IndexRequest, request: Request, caller: ServerCaller, context: AppContext
) -> Json | JSONResponse:
    """Make the spoken words searchable: finished when the call returns, or polled; again is a success. With a
    `callback_url` nobody has to wait: the end is told there."""
    if wanted.index_type not in (None, "spoken_word"):
        raise InvalidRequest("index_type: only spoken_word can be built here", field="index_type")
    callback_url = check_callback_url(wanted.callback_url) if wanted.callback_url else None
    async with context.db.transaction() as session:
        operation = await request_words(
            session,
            await _asset(session, caller, asset_id, request),
            language=wanted.language_code,
            segmentation=wanted.segmentation_type,
            force=bool(wanted.force),
            callback_url=callback_url,
        )
    return await answer_operation(context, caller.account_id, operation.id, hold=callback_url is None)


async def _asset(session: AsyncSession, caller: ServerCaller, asset_id: str, request: Request) -> Asset:
    kind = cast(AssetKind, request.url.path.split("/")[1])
    return await get_asset(session, caller.account_id, asset_id, kind=kind)


async def _answer(
    context: AppContext, caller: ServerCaller, operation: Operation, asset: Asset, wanted: Wanted
) -> Json | JSONResponse:
    start_us, end_us = wanted.start_us, wanted.end_us

    async def shape(_: Operation) -> Json:
        async with context.db.transaction() as session:
            said, _total = await list_utterances(session, asset_id=asset.id, start_us=start_us, end_us=end_us)
        segments = segment_words(said, wanted.segmenter, wanted.length, start_us=start_us, end_us=end_us)
        return {
            "word_timestamps": [_segment_shape(segment) for segment in segments],
            "text": " ".join(segment.text for segment in segments),
            "language": next((one.language for one in said if one.language), None),
        }

    asked = wanted.model_dump(exclude_none=True)
    path = f"{context.settings.base_url}/{asset.kind}/{asset.id}/transcription?{urlencode(asked)}"
    return await answer_operation(context, caller.account_id, operation.id, output_url=path, shape=shape)


def _segment_shape(segment: Segment) -> Json:
    """Both `text` and `word`: readers of each exist (contract C33)."""
    return {
        "start": segment.start_us / 1e6,
        "end": segment.end_us / 1e6,
        "text": segment.text,
        "word": segment.text,
    }
