"""Makes requests uniform before routing: slashes, empty JSON bodies, and a limit on their size."""

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.base.errors import TooLarge
from app.wire.envelope import failure

UPLOAD_PATH = "/upload/"  # only uploads may be large; each has its signed URL below it
_SLASHES = re.compile(r"/{2,}")


class NormaliseRequests:
    """ASGI middleware for the traps of contract §1.5 and §1.6.

    `//` becomes `/` and one trailing slash goes, without a redirect (a redirect would lose the body). A
    body of zero bytes that is called JSON, or nothing at all, becomes `{}`. A body over `max_body_bytes`, or
    under `UPLOAD_PATH` over `max_upload_bytes`, is answered with 413.
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
