"""Files in: a signed URL takes the bytes, an upload makes them a video, an audio or an image."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, File, Query, UploadFile
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from app.api.operations import answer_operation
from app.base.errors import Forbidden, InvalidRequest, TooLarge
from app.base.ids import new_id
from app.domain.accounts.credentials import Scope
from app.domain.operations.callbacks import CALLBACK_FIELD
from app.domain.operations.service import (
    OperationKind,
    find_operation,
    request_operation,
    restart_operation,
)
from app.domain.uploads.service import add_upload
from app.domain.uploads.sources import check_source
from app.domain.webhooks.service import check_callback_url
from app.process import Context
from app.storage.keys import upload_key
from app.wire.deps import AppContext, PathCollection, ServerCaller
from app.wire.envelope import Json, answers, success
from app.wire.normalise import UPLOAD_PATH
from app.wire.tickets import UploadTicket, read_upload, sign_upload

router = APIRouter(tags=["uploads"])
MAX_NAME_CHARACTERS = 200


class UploadRequest(BaseModel):
    url: str = Field(max_length=8000)
    name: str | None = Field(None, max_length=1000)
    description: str | None = Field(None, max_length=10_000)
    callback_url: str | None = None
    media_type: Literal["video", "audio", "image"] | None = None


@router.get("/collection/{collection_id}/upload_url")
async def upload_url(
    collection: PathCollection,
    caller: ServerCaller,
    context: AppContext,
    name: Annotated[str, Query(max_length=1000)] = "",
) -> Json:
    """Where one file may be posted, without credentials, for an hour. Node sends no name."""
    caller.require_scope(Scope.WRITE)  # a GET for the SDKs' sake
    ticket = UploadTicket(caller.account_id, collection.id, new_id("up"), name[:MAX_NAME_CHARACTERS])
    url = f"{context.settings.base_url}{UPLOAD_PATH}{sign_upload(context.settings, ticket)}"
    return success({"upload_url": url})


@router.post(UPLOAD_PATH + "{ticket}")
async def store_upload(ticket: str, context: AppContext, file: Annotated[UploadFile, File()]) -> Json:
    """Store the file of a form. Its name and type say nothing that is believed (contract: Python cuts them).

    Raises `ObjectExists` when the URL has been used.
    """
    granted = read_upload(context.settings, ticket)
    async with context.db.transaction() as session:
        await add_upload(session, granted.account_id, granted.upload_id)
    with tempfile.TemporaryDirectory(prefix="capture-upload-") as folder:
        path = Path(folder) / "upload"
        await asyncio.to_thread(_copied, file, path)
        await context.storage.put_file(upload_key(granted.account_id, granted.upload_id), path)
    return success({"name": granted.name})


@router.get(UPLOAD_PATH + "{ticket}", **answers("application/octet-stream"))
async def read_back(ticket: str, context: AppContext) -> StreamingResponse:
    """The bytes that were posted. Never shown as a page of ours, whatever they hold."""
    granted = read_upload(context.settings, ticket)
    key = upload_key(granted.account_id, granted.upload_id)
    size_bytes = await context.storage.size_bytes(key)
    headers = {
        "Content-Length": str(size_bytes),
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(
        context.storage.read(key), media_type="application/octet-stream", headers=headers
    )


@router.post("/collection/{collection_id}/upload", response_model=None)
async def upload(
    wanted: UploadRequest, collection: PathCollection, caller: ServerCaller, context: AppContext
) -> Json | JSONResponse:
    """Make a file an asset of the collection: an uploaded one, or one that lies elsewhere.

    Asking again for the same uploaded file gives the same asset; a file from elsewhere is fetched each time.
    """
    request: Json = {
        "collection_id": collection.id,
        "description": wanted.description or "",
        "media_type": wanted.media_type,
    }
    if wanted.callback_url:
        request[CALLBACK_FIELD] = check_callback_url(wanted.callback_url)
    if _is_own(context, wanted.url):
        granted = _own_ticket(context, caller, wanted.url, "url")
        request |= {"upload_id": granted.upload_id, "name": _called(wanted.name, granted.name)}
    else:
        name = await check_source(context.settings, wanted.url)
        request |= {"upload_id": new_id("up"), "name": _called(wanted.name, name), "url": wanted.url}
    async with context.db.transaction() as session:
        subject = f"upload:{request['upload_id']}:{collection.id}"
        known = await find_operation(session, caller.account_id, subject)
        if "url" not in request and (known is None or known.status == "failed"):
            await context.storage.size_bytes(upload_key(caller.account_id, request["upload_id"]))
        operation = await request_operation(
            session, caller.account_id, OperationKind.IMPORT_UPLOAD, subject, request
        )
        if operation.status == "failed":
            operation.request = request
            await restart_operation(session, operation)
    return await answer_operation(context, caller.account_id, operation.id)


def _called(*names: str | None) -> str:
    return next((name for name in names if name), "Upload")[:MAX_NAME_CHARACTERS]


async def read_own_upload(
    context: Context, caller: ServerCaller, url: str, *, field: str, max_bytes: int
) -> bytes:
    """The bytes of a file that the caller's account uploaded. Raises `InvalidRequest`, `Forbidden`,
    `ObjectMissing` or `TooLarge`."""
    granted = _own_ticket(context, caller, url, field)
    key = upload_key(granted.account_id, granted.upload_id)
    if await context.storage.size_bytes(key) > max_bytes:
        raise TooLarge(f"{field}: the file may have at most {max_bytes} bytes", field=field)
    return b"".join([block async for block in _blocks(context, key)])


def _is_own(context: Context, url: str) -> bool:
    return url.startswith(context.settings.base_url + UPLOAD_PATH)


def _own_ticket(context: Context, caller: ServerCaller, url: str, field: str) -> UploadTicket:
    if not _is_own(context, url):
        raise InvalidRequest(f"{field}: must be an upload_url of this server; upload a file", field=field)
    prefix = context.settings.base_url + UPLOAD_PATH
    granted = read_upload(context.settings, url.removeprefix(prefix).rstrip("/"))
    if granted.account_id != caller.account_id:
        raise Forbidden(f"{field}: this upload URL is another account's", field=field)
    return granted


async def _blocks(context: Context, key: str) -> AsyncIterator[bytes]:
    async for block in context.storage.read(key):
        yield block


def _copied(file: UploadFile, path: Path) -> None:
    with path.open("wb") as target:
        shutil.copyfileobj(file.file, target, 1024 * 1024)
