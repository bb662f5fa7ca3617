"""Makes requests uniform before routing: slashes, empty JSON bodies, and a limit on their size."""

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.base.errors import CaptureError, TooLarge
from app.wire.envelope import failure

UPLOAD_PATH = "/upload/"  # only uploads may be large; each has its signed URL below it
MAX_URL_BYTES = 8 * 1024
MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS = 100
_SLASHES = re.compile(r"/{2,}")


class UrlTooLong(CaptureError):
    status = 414
    code = "url_too_long"


class HeadersTooLarge(CaptureError):
    status = 431
    code = "headers_too_large"


class NormaliseRequests:
    """ASGI middleware for the traps of contract §1.5 and §1.6.

    `//` becomes `/` and one trailing slash goes, without a redirect (a redirect would lose the body). A
    body of zero bytes that is called JSON, or nothing at all, becomes `{}`. A body over `max_body_bytes`, or
    under `UPLOAD_PATH` over `max_upload_bytes`, is answered with 413; headers beyond reason with 431.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, max_upload_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path = _SLASHES.sub("/", scope["path"])
        scope = {**scope, "path": path.removesuffix("/") or "/"}
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        problem = _too_large_head(scope)
        if problem is not None:
            await failure(problem)(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        limit = self._max_upload_bytes if path.startswith(UPLOAD_PATH) else self._max_body_bytes
        if length.isdecimal() and int(length) > limit:
            await failure(_too_large(limit))(scope, receive, send)
            return
        chunked = "transfer-encoding" in headers
        content_type = headers.get("content-type")
        if length == "0" and not chunked and (content_type is None or "json" in content_type):
            receive = _empty_object(receive)
            if content_type is None and scope["method"] in ("POST", "PATCH"):
                named = (b"content-type", b"application/json")
                scope = {**scope, "headers": [*scope["headers"], named]}
        elif chunked:
            receive = _limited(receive, limit)
        await self._app(scope, receive, send)


def _too_large_head(scope: Scope) -> CaptureError | None:
    if len(scope["path"]) + len(scope.get("query_string", b"")) > MAX_URL_BYTES:
        return UrlTooLong(f"the URL may have at most {MAX_URL_BYTES} bytes")
    headers = scope["headers"]
    size_bytes = sum(len(name) + len(value) for name, value in headers)
    if size_bytes > MAX_HEADER_BYTES or len(headers) > MAX_HEADERS:
        return HeadersTooLarge(f"at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes together are read")
    return None


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the body may have at most {limit_bytes} bytes")


def _limited(receive: Receive, limit_bytes: int) -> Receive:
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit_bytes:
            # FastAPI answers any other exception out of a body being read with a 400.
            raise HTTPException(TooLarge.status, _too_large(limit_bytes).message)
        return message

    return limited


def _empty_object(receive: Receive) -> Receive:
    sent = False

    async def replaced() -> Message:
        nonlocal sent
        message = await receive()
        if message["type"] == "http.request" and not sent:
            sent = True
            return {**message, "body": b"{}"}
        return message

    return replaced
