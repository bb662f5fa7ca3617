"""The HTTP side of WHIP (RFC 9725): one endpoint for each stream, one resource while it is published."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError

from app.base.errors import (
    CaptureError,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    TooLarge,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)
from app.base.settings import IceServer
from app.domain.accounts.credentials import Caller
from app.domain.streams.models import Stream
from app.domain.streams.service import attach_publisher, detach_publisher, get_stream
from app.ingest.live import Live
from app.ingest.pipeline import PublishedStream
from app.ingest.whip.fragment import read_fragment
from app.ingest.whip.peer import WhipPeer, answer_offer
from app.process import Context
from app.wire.deps import AnyCaller, AppContext
from app.wire.envelope import answers, failure

log = logging.getLogger(__name__)

SDP = "application/sdp"
SDP_FRAGMENT = "application/trickle-ice-sdpfrag"
MAX_SDP_BYTES = 64 * 1024  # Chromium's offer of one track has about 6 KiB
RETRY_AFTER_SECONDS = 5
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After",
    "Access-Control-Max-Age": "600",
}


class _WhipRoute(APIRoute):
    """Answers of every kind can be read by pages of other origins, and a 503 says when to come back."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_whip(request: Request) -> Response:
            try:
                response = await handle(request)
            except CaptureError as error:
                response = failure(error)
            except (SQLAlchemyError, OSError):
                log.warning("no publisher can be taken: the database is away", exc_info=True)
                response = failure(Unavailable("the database does not answer"))
            if response.status_code == 503:
                response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
            response.headers.update(CORS)
            return response

        return handle_whip


def _body(media_type: str) -> dict[str, Any]:
    schema = {"type": "string", "maxLength": MAX_SDP_BYTES}
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


_PRECONDITIONS: dict[str, Any] = {
    "responses": {
        "412": {"description": "If-Match names another ICE session."},
        "428": {"description": "If-Match is missing."},
    }
}
router = APIRouter(prefix="/whip", tags=["whip"], route_class=_WhipRoute)


@router.options("/{stream_id}", include_in_schema=False)
async def endpoint_options(stream_id: str) -> Response:
    """No credential is asked of a preflight (RFC 9725 section 4.7)."""
    return Response(status_code=204, headers={"Accept-Post": SDP})


@router.options("/{stream_id}/{resource}", include_in_schema=False)
async def resource_options(stream_id: str, resource: str) -> Response:
    """The same for the resource, which takes fragments."""
    return Response(status_code=204, headers={"Accept-Post": SDP, "Accept-Patch": SDP_FRAGMENT})


@router.post("/{stream_id}", openapi_extra=_body(SDP), **answers(SDP, status=201))
async def publish(stream_id: str, request: Request, caller: AnyCaller, context: AppContext) -> Response:
    """Answer an offer: 201 with the answer, and the resource's Location and ETag (section 4.2)."""
    offer = await _read_text(request, SDP)
    live: Live = request.app.state.live
    if live.publisher_count >= context.settings.max_publishers:
        raise Unavailable("this server carries as many publishers as it may (CAPTURE_MAX_PUBLISHERS)")
    stream = await _owned(context, caller, stream_id)
    async with context.db.transaction() as session:
        capture = await attach_publisher(session, stream_id, live.publisher_id)
    try:
        peer = await answer_offer(
            offer,
            kind="video" if stream.media_type == "video" else "audio",
            port=request.app.state.media_port,
            silence_seconds=context.settings.media_silence_seconds,
        )
    except BaseException:
        async with context.db.transaction() as session:
            await detach_publisher(session, stream_id, live.publisher_id, ended=False)
        raise
    live.carry(
        peer,
        PublishedStream(
            account_id=stream.account_id,
            session_id=stream.capture_session_id,
            stream_id=stream_id,
            store=stream.store,
            zero_us=capture.zero_us,
        ),
    )
    headers = {"Location": f"/whip/{stream_id}/{_resource(peer)}", "ETag": peer.etag}
    response = Response(peer.answer_sdp, status_code=201, media_type=SDP, headers=headers)
    for server in context.settings.ice_servers:
        response.headers.append("Link", ice_server_link(server))
    return response


@router.patch(
    "/{stream_id}/{resource}", openapi_extra=_body(SDP_FRAGMENT) | _PRECONDITIONS, **answers(status=204)
)
async def trickle(
    stream_id: str, resource: str, request: Request, caller: AnyCaller, context: AppContext
) -> Response:
    """Take further candidates: 204 (section 4.3.2).

    An ICE restart is refused with 422 and changes nothing (section 4.3.1 leaves it open): a publisher
    whose address changes is followed without one (see `routing`), and can publish anew.
    """
    await _owned(context, caller, stream_id)
    peer = _published(request, stream_id, resource)
    fragment = read_fragment(await _read_text(request, SDP_FRAGMENT))
    expected = request.headers.get("if-match")
    if expected is None:
        raise PreconditionRequired("If-Match must name the ICE session by its ETag")
    if expected != "*" and peer.etag not in (tag.strip() for tag in expected.split(",")):
        raise PreconditionFailed("If-Match names another ICE session")
    if not peer.takes(fragment):
        raise Unprocessable("ICE restarts are not supported: publish anew")
    await peer.trickle(fragment)
    return Response(status_code=204)


@router.delete("/{stream_id}/{resource}", **answers())
async def unpublish(
    stream_id: str, resource: str, request: Request, caller: AnyCaller, context: AppContext
) -> Response:
    """End the publication; ETags play no part in it (section 4.2)."""
    await _owned(context, caller, stream_id)
    _published(request, stream_id, resource)
    live: Live = request.app.state.live
    await live.end(stream_id)
    return Response(status_code=200)


def ice_server_link(server: IceServer) -> str:
    """A Link header's value for a STUN or TURN server (section 4.6)."""
    parts = [f"<{server.urls}>", 'rel="ice-server"']
    if server.username is not None and server.credential is not None:
        parts += [
            f"username={_quoted(server.username)}",
            f"credential={_quoted(server.credential.get_secret_value())}",
            'credential-type="password"',
        ]
    return "; ".join(parts)


def _quoted(text: str) -> str:
    """A quoted string of RFC 9110 section 5.6.4."""
    return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'


def _published(request: Request, stream_id: str, resource: str) -> WhipPeer:
    live: Live = request.app.state.live
    source = live.source_of(stream_id)
    if not isinstance(source, WhipPeer) or _resource(source) != resource:
        raise NotFound("nothing is published here")
    return source


def _resource(peer: WhipPeer) -> str:
    return peer.etag.strip('"')


async def _read_text(request: Request, media_type: str) -> str:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != media_type:
        raise UnsupportedMedia(f"the body must be {media_type}")
    body = await request.body()
    if len(body) > MAX_SDP_BYTES:
        raise TooLarge(f"a body may have {MAX_SDP_BYTES} bytes")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not text") from None


async def _owned(context: Context, caller: Caller, stream_id: str) -> Stream:
    async with context.db.transaction() as session:
        stream = await session.get(Stream, stream_id)
        if stream is not None:
            caller.require_session(stream.account_id, stream.capture_session_id)
            caller.require_channel(stream.name)
        return await get_stream(session, caller.account_id, stream_id)
