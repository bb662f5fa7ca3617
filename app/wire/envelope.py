"""The vendor's success and error envelopes (contract §1.2 to §1.4), and every failure as one of them."""

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import exc as database
from starlette.exceptions import HTTPException

from app.base.errors import CaptureError, InvalidRequest, TooManyRequests, Unauthenticated, Unavailable

logger = logging.getLogger(__name__)

Json = dict[str, Any]


def answers(*media_types: str, status: int = 200) -> dict[str, Any]:
    """What a route says in the OpenAPI document that answers with something other than an envelope."""
    content: Json = {media_type: {} for media_type in media_types}
    return {
        "response_class": Response,
        "responses": {status: {"description": "The bytes.", "content": content}},
        "status_code": status,
    }


def success(data: Any, *, message: str | None = None) -> Json:
    """`{"success": true, "data": …}`. Never an empty body: both SDKs parse every reply."""
    return {"success": True, "data": data} | ({"message": message} if message else {})


def failure(error: CaptureError, headers: dict[str, str] | None = None) -> JSONResponse:
    """The error envelope with the error's status."""
    body: Json = {"success": False, "message": error.message, "error_code": error.code}
    if error.field:
        body["field"] = error.field
    if isinstance(error, TooManyRequests):
        headers = {"Retry-After": str(error.retry_after_seconds)} | (headers or {})
    if isinstance(error, Unauthenticated):
        headers = {"WWW-Authenticate": "Bearer"} | (headers or {})
    if isinstance(error, Unavailable):
        headers = {"Retry-After": str(error.retry_after_seconds)} | (headers or {})
    return JSONResponse(body, status_code=error.status, headers=headers)


def install_error_envelope(app: FastAPI) -> None:
    """Answer every failure of `app` with the envelope: expected, malformed, unknown route and bug."""

    @app.exception_handler(CaptureError)
    async def expected(request: Request, error: CaptureError) -> JSONResponse:
        return failure(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        # The location is (where, *path); the input itself is left out, it may hold a secret.
        field = ".".join(str(part) for part in first["loc"][1:])
        named = field if field and first["type"] != "json_invalid" else "body"
        return failure(InvalidRequest(f"{named}: {first['msg']}", field=named))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        wrapped = CaptureError(str(error.detail), code=_code(error.status_code))
        wrapped.status = error.status_code
        return failure(wrapped, dict(error.headers or {}))

    @app.exception_handler(database.DBAPIError)
    async def refused_by_database(request: Request, error: database.DBAPIError) -> JSONResponse:
        if _is_unstorable(error):
            return failure(InvalidRequest("this request holds text or a number that cannot be stored"))
        if error.connection_invalidated or _is_away(error):
            return await database_away(request, error)
        raise error

    @app.exception_handler(ConnectionError)
    @app.exception_handler(database.TimeoutError)
    async def database_away(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s could not be answered: %s", request.url.path, type(error).__name__)
        return failure(Unavailable("the database does not answer: try again in a moment"))

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> JSONResponse:
        return failure(CaptureError("internal error: the server's log says more"))


def _code(status: int) -> str:
    return {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(status, "http_error")


def _is_unstorable(error: database.DBAPIError) -> bool:
    """A value that JSON knows and Postgres does not: a NUL, half a surrogate pair, a number too large."""
    cause = error.orig.__cause__ if error.orig else None
    is_data_exception = str(getattr(error.orig, "sqlstate", None)).startswith("22")
    return is_data_exception or isinstance(cause, ValueError)


def _is_away(error: database.DBAPIError) -> bool:
    """Connecting failed, or the server takes none: it starts, stops, or has as many as it may."""
    return str(getattr(error.orig, "sqlstate", None)).startswith(("08", "53", "57P"))
