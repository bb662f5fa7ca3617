"""The HTTP side of WHIP (RFC 9725): an endpoint for each stream and session, a resource for each use."""

import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError

from app.base.errors import (
    CaptureError,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)
from app.base.ids import new_id
from app.base.settings import IceServer
from app.domain.accounts.credentials import Caller, Scope
from app.domain.sessions.placement import give_session, node_elsewhere
from app.domain.streams.publishing import detach_publisher
from app.ingest.live import Live
from app.ingest.whip.endpoint import Endpoint, attach, find_endpoint
from app.ingest.whip.fragment import read_fragment
from app.ingest.whip.offer import read_offer
from app.ingest.whip.peer import WhipPeer, WhipTrack, answer_offer
from app.process import Context
from app.wire.deps import AnyCaller, AppContext, any_caller
from app.wire.envelope import answers, failure
from app.wire.tickets import PublishTicket, read_publish, sign_publish

log = logging.getLogger(__name__)

SDP = "application/sdp"
SDP_FRAGMENT = "application/trickle-ice-sdpfrag"
MAX_SDP_BYTES = 64 * 1024  # Chromium's offer of one track has about 6 KiB
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


async def _publish_caller(
    request: Request,
    endpoint_id: str,
    context: AppContext,
    x_access_token: Annotated[str | None, Header()] = None,
    authorization: Annotated[str | None, Header()] = None,
    ticket: str | None = None,
) -> Caller:
    """Who publishes: by credential, or by the ticket of a redirection, on which clients drop theirs."""
    if ticket is None:
        caller = await any_caller(request, context, x_access_token, authorization)
        caller.require_scope(Scope.WRITE)
        return caller
    right = read_publish(context.settings, ticket)
    if right.endpoint != endpoint_id:
        raise Unauthenticated("this publish ticket is for another endpoint")
    return Caller(
        right.account_id,
        right.kind,
        right.credential_id,
        scopes=frozenset({Scope.WRITE}),
        capture_session_id=right.session_id,
        channels=None if right.channels is None else frozenset(right.channels),
    )


@router.options("/{endpoint_id}", include_in_schema=False)
async def endpoint_options(endpoint_id: str) -> Response:
    """No credential is asked of a preflight (RFC 9725 section 4.7)."""
    return Response(status_code=204, headers={"Accept-Post": SDP})


@router.options("/{endpoint_id}/{resource}", include_in_schema=False)
async def resource_options(endpoint_id: str, resource: str) -> Response:
    """The same for the resource, which takes fragments."""
    return Response(status_code=204, headers={"Accept-Post": SDP, "Accept-Patch": SDP_FRAGMENT})


@router.post("/{endpoint_id}", openapi_extra=_body(SDP), **answers(SDP, status=201))
async def publish(
    endpoint_id: str,
    request: Request,
    caller: Annotated[Caller, Depends(_publish_caller)],
    context: AppContext,
) -> Response:
    """Answer an offer: 201 with the answer, and the resource's Location and ETag (section 4.2).

    Where the session's media goes to another ingest process, 307 leads there (section 4.5).
    """
    text = await _read_text(request, SDP)
    live: Live = request.app.state.live
    async with context.db.transaction() as session:
        endpoint = await find_endpoint(session, caller, endpoint_id)
        elsewhere = await node_elsewhere(session, endpoint.capture, live.publisher_id)
    if elsewhere is not None and elsewhere.whip_url != context.settings.ingest_base_url:
        return _redirection(context, caller, endpoint, str(elsewhere.whip_url))
    offer = read_offer(text, endpoint.streams)
    if live.publisher_count + len(offer.tracks) > context.settings.max_publishers:
        raise Unavailable("this server carries as many publishers as it may (CAPTURE_MAX_PUBLISHERS)")
    publication = new_id("pub")
    async with context.db.transaction() as session:
        kinds = [track.kind for track in offer.tracks]
        streams = await attach(session, endpoint, kinds, live.publisher_id, publication)
        if endpoint.capture.ingest_node != live.publisher_id:
            await give_session(session, endpoint.capture, live.publisher_id)
    try:
        peer = await answer_offer(
            offer, port=request.app.state.media_port, silence_seconds=context.settings.media_silence_seconds
        )
    except BaseException:
        async with context.db.transaction() as session:
            for stream in streams:
                await detach_publisher(session, stream.stream_id, publication, ended=False)
        raise
    for track, stream in zip(peer.tracks, streams, strict=True):
        live.carry(track, stream)
    prefix = urlsplit(context.settings.ingest_base_url).path
    location = f"{prefix}/whip/{endpoint_id}/{peer.resource}"
    response = Response(
        peer.answer_sdp, status_code=201, media_type=SDP, headers={"Location": location, "ETag": peer.etag}
    )
    for server in context.settings.ice_servers:
        response.headers.append("Link", ice_server_link(server))
    return response


@router.patch(
    "/{endpoint_id}/{resource}", openapi_extra=_body(SDP_FRAGMENT) | _PRECONDITIONS, **answers(status=204)
)
async def change(
    endpoint_id: str, resource: str, request: Request, caller: AnyCaller, context: AppContext
) -> Response:
    """Take candidates: 204 (section 4.3.2); or restart ICE: 200 with our side of it (section 4.3.3)."""
    await _check_owner(context, caller, endpoint_id)
    peer, _ = _published(request, endpoint_id, resource)
    fragment = read_fragment(await _read_text(request, SDP_FRAGMENT))
    expected = request.headers.get("if-match")
    if expected is None:
        raise PreconditionRequired("If-Match must name the ICE session by its ETag, or be * for a restart")
    if expected != "*" and peer.etag not in (tag.strip() for tag in expected.split(",")):
        raise PreconditionFailed("If-Match names another ICE session")
    if peer.takes(fragment):
        await peer.trickle(fragment)
        return Response(status_code=204)
    answer = await peer.restart_ice(fragment)
    return Response(answer, media_type=SDP_FRAGMENT, headers={"ETag": peer.etag})


@router.delete("/{endpoint_id}/{resource}", **answers())
async def unpublish(
    endpoint_id: str, resource: str, request: Request, caller: AnyCaller, context: AppContext
) -> Response:
    """End the publication; ETags play no part in it (section 4.2)."""
    await _check_owner(context, caller, endpoint_id)
    _, stream_ids = _published(request, endpoint_id, resource)
    live: Live = request.app.state.live
    for stream_id in stream_ids:
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


def _redirection(context: Context, caller: Caller, endpoint: Endpoint, base_url: str) -> Response:
    # Clients drop their credential on the way to another origin.
    right = PublishTicket(
        caller.account_id,
        endpoint.id,
        caller.kind,
        caller.credential_id,
        caller.capture_session_id,
        None if caller.channels is None else sorted(caller.channels),
    )
    ticket = sign_publish(context.settings, right)
    location = f"{base_url}/whip/{endpoint.id}?ticket={ticket}"
    return Response(status_code=307, headers={"Location": location, "Cache-Control": "no-store"})


def _published(request: Request, endpoint_id: str, resource: str) -> tuple[WhipPeer, list[str]]:
    """The publication, and the streams that it sends."""
    live: Live = request.app.state.live
    found = {
        stream.stream_id: source.peer
        for stream, source in live.carried()
        if isinstance(source, WhipTrack)
        and source.peer.resource == resource
        and endpoint_id in (stream.stream_id, stream.session_id)
    }
    if not found:
        raise NotFound("nothing is published here")
    return next(iter(found.values())), list(found)


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


async def _check_owner(context: Context, caller: Caller, endpoint_id: str) -> None:
    async with context.db.transaction() as session:
        await find_endpoint(session, caller, endpoint_id)
