"""Brings a file from elsewhere to where an uploaded one would lie."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import httpx

from app.base.errors import TooLarge, Unavailable, Unprocessable
from app.base.outbound import outbound_client
from app.base.settings import Settings
from app.domain.operations.models import Operation
from app.domain.uploads.service import add_upload
from app.process import Context
from app.storage.contract import ObjectExists, ObjectMissing
from app.storage.keys import upload_key
from workers.tasks.lease import Lease
from workers.tasks.scratch import scratch_folder

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 30.0
BLOCK_BYTES = 1024 * 1024
_PLAYLIST_TYPES = {
    "application/vnd.apple.mpegurl",
    *(f"{kind}/{name}" for kind in ("application", "audio") for name in ("mpegurl", "x-mpegurl")),
}
_PLAYLIST_MAGIC = b"#EXTM3U"
_PAGE_MAGIC = (b"<!doctype html", b"<html")
_AGAIN = {408, 425, 429}


async def fetch_upload(context: Context, operation: Operation, lease: Lease) -> None:
    """Store what the request's `url` leads to as its upload, unless an earlier try has done so.

    Raises `AddressRefused`, `Unprocessable` and `TooLarge` for what trying again cannot mend, `Unavailable`
    for a server that is busy and a transfer that broke off.
    """
    upload_id, url = operation.request["upload_id"], operation.request["url"]
    key = upload_key(operation.account_id, upload_id)
    try:
        await context.storage.size_bytes(key)
        return
    except ObjectMissing:
        pass
    async with context.db.transaction() as session:
        await add_upload(session, operation.account_id, upload_id)
    async with scratch_folder(context) as folder:
        path = folder / "upload"
        try:
            async with asyncio.timeout(context.settings.fetch_seconds):
                await _fetched(context.settings, url, path, lambda share: lease.report(share / 2))
        except TimeoutError as error:
            limit = f"{context.settings.fetch_seconds:g} s"
            raise Unprocessable(f"url: the file did not come in within {limit}") from error
        with suppress(ObjectExists):  # a worker that had lost its lease came first with the same
            await context.storage.put_file(key, path)


async def _fetched(settings: Settings, url: str, path: Path, on_progress: Callable[[float], None]) -> None:
    limits = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
    client = outbound_client(settings.allowed_networks, limits, follow_redirects=True)
    try:
        async with client, client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
            length_bytes = _checked(response, settings.max_upload_bytes)
            with path.open("wb") as file:
                await _copied(response, file, settings.max_upload_bytes, length_bytes, on_progress)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Unprocessable("url: its server cannot be reached") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
        raise Unprocessable("url: leads to no http or https address") from error
    except httpx.HTTPError as error:
        raise Unavailable("url: the transfer broke off") from error


def _checked(response: httpx.Response, max_bytes: int) -> int:
    """How long the file says it is, 0 where it does not."""
    status = response.status_code
    if status >= 500 or status in _AGAIN:
        raise Unavailable(f"url: its server answered {status}")
    if status != 200:
        raise Unprocessable(f"url: its server answered {status}")
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in _PLAYLIST_TYPES:
        raise _playlist()
    if media_type in ("text/html", "application/xhtml+xml"):
        raise _page()
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Unprocessable("url: its server sends the file compressed, though it was asked not to")
    length = response.headers.get("content-length", "0")
    length_bytes = int(length) if length.isdecimal() else 0
    if length_bytes > max_bytes:
        raise _too_large(max_bytes)
    return length_bytes


async def _copied(
    response: httpx.Response,
    file: BinaryIO,
    max_bytes: int,
    length_bytes: int,
    on_progress: Callable[[float], None],
) -> None:
    copied = 0
    async for block in response.aiter_raw(BLOCK_BYTES):
        if not copied:
            begins = block[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
            if begins.startswith(_PLAYLIST_MAGIC):
                raise _playlist()
            if begins.lower().startswith(_PAGE_MAGIC):
                raise _page()
        copied += len(block)
        if copied > max_bytes:
            raise _too_large(max_bytes)
        await asyncio.to_thread(file.write, block)
        if length_bytes:
            on_progress(min(copied / length_bytes, 1.0))
    if not copied:
        raise Unprocessable("url: the file is empty")


def _playlist() -> Unprocessable:
    return Unprocessable(
        "url: this is a playlist of a stream, not a file: connect_rtstream records streams", field="url"
    )


def _page() -> Unprocessable:
    return Unprocessable("url: this is a web page, not a media file", field="url")


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"url: the file may have at most {max_bytes} bytes", field="url")
