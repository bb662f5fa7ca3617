"""Headers that every answer has: what browsers may do with it, and which sites' pages may ask."""

from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A route that says otherwise is left alone: pages have scripts and media, and one of them may be framed.
_DEFAULTS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_HTTPS = {"Strict-Transport-Security": "max-age=31536000"}
_OPEN_TO_ALL = ("/media/", "/whip/")  # these answer every site, preflights too


class SecurityHeaders:
    """ASGI middleware that gives each answer the headers it has not set itself."""

    def __init__(self, app: ASGIApp, *, is_https: bool) -> None:
        self._app = app
        self._defaults = _DEFAULTS | (_HTTPS if is_https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._defaults.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class Cors:
    """ASGI middleware that lets the pages of some sites call the REST API, without cookies."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        self._app = app
        self._with_cors = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PATCH", "DELETE"),
            allow_headers=("authorization", "content-type", "x-access-token", "x-videodb-client"),
            expose_headers=("Retry-After",),
            max_age=600,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] == "http" and scope["path"].startswith(_OPEN_TO_ALL)
        await (self._app if is_open else self._with_cors)(scope, receive, send)
