"""Makes requests uniform before routing: slashes, empty JSON bodies, and a limit on their size."""

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.base.errors import TooLarge
from app.wire.envelope import failure

_SLASHES = re.compile(r"/{2,}")


class NormaliseRequests:
    """ASGI middleware for the traps of contract §1.5 and §1.6.

    `//` becomes `/` and one trailing slash goes, without a redirect (a redirect would lose the body). A
    body of zero bytes that is called JSON becomes `{}`. A body over `max_body_bytes` is answered with 413.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

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
        if length.isdecimal() and int(length) > self._max_body_bytes:
            await failure(self._too_large())(scope, receive, send)
            return
        chunked = "transfer-encoding" in headers
        if length == "0" and not chunked and "json" in headers.get("content-type", ""):
            receive = _empty_object(receive)
        elif chunked:
            receive = self._limited(receive)
        await self._app(scope, receive, send)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body may have at most {self._max_body_bytes} bytes")

    def _limited(self, receive: Receive) -> Receive:
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                # FastAPI answers any other exception out of a body being read with a 400.
                raise HTTPException(TooLarge.status, self._too_large().message)
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
