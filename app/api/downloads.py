"""Playbacks as files: asked for by their stream's URL, fetched under a signed link."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.api.operations import answer_operation
from app.api.shapes import download_shape
from app.domain.downloads import service as downloads
from app.process import Context
from app.storage.keys import download_prefix
from app.wire.deps import AppContext, ServerCaller, Session
from app.wire.envelope import Json, success

router = APIRouter(tags=["downloads"])


class DownloadRequest(BaseModel):
    stream_link: str = Field(max_length=2000)
    name: str | None = Field(None, max_length=1000)


class StreamDownloadRequest(BaseModel):
    stream_url: str = Field(max_length=2000)


@router.post("/download", response_model=None)
async def request(wanted: DownloadRequest, caller: ServerCaller, context: AppContext) -> Json | JSONResponse:
    """One file of what the link plays; polled while it is being made."""
    return await _requested(context, caller, wanted.stream_link, wanted.name, field="stream_link")


@router.post("/editor/download", response_model=None)
async def request_stream(
    wanted: StreamDownloadRequest, caller: ServerCaller, context: AppContext
) -> Json | JSONResponse:
    """The same, for the editor of the SDKs."""
    return await _requested(context, caller, wanted.stream_url, None, field="stream_url")


@router.get("/download")
async def list_all(caller: ServerCaller, session: Session, context: AppContext) -> Json:
    rows = await downloads.list_downloads(session, caller.account_id)
    return success({"downloads": [download_shape(context.settings, row) for row in rows]})


@router.delete("/download")
async def delete(
    caller: ServerCaller, context: AppContext, download_id: Annotated[str, Query(max_length=100)]
) -> Json:
    """Forget a download; what it was made of stays."""
    async with context.db.transaction() as session:
        found = await downloads.get_download(session, caller.account_id, download_id)
        await downloads.delete_download(session, found)
    await delete_files(context, caller.account_id, [download_id])
    return success({"id": download_id}, message="download deleted")


@router.post("/download/{download_id}")
@router.get("/download/{download_id}")
async def show(download_id: str, caller: ServerCaller, session: Session, context: AppContext) -> Json:
    """How far it is; once done, with a fresh link."""
    found = await downloads.get_download(session, caller.account_id, download_id)
    return success(download_shape(context.settings, found))


async def delete_files(context: Context, account_id: str, download_ids: list[str]) -> None:
    """Delete what was made for downloads that are forgotten."""
    for download_id in download_ids:
        for key in await context.storage.list_keys(download_prefix(account_id, download_id)):
            await context.storage.delete(key)


async def _requested(
    context: Context, caller: ServerCaller, link: str, name: str | None, *, field: str
) -> Json | JSONResponse:
    slug = downloads.playback_slug(context.settings, link, field=field)
    async with context.db.transaction() as session:
        operation = await downloads.request_download(session, caller.account_id, slug, name=name, field=field)
    return await answer_operation(context, caller.account_id, operation.id)
