"""The HTTP side of WHIP (RFC 9725): one endpoint for each stream, one resource while it is published."""

from fastapi import APIRouter, Request, Response

from app.base.errors import InvalidRequest, NotFound, TooLarge, UnsupportedMedia
from app.domain.accounts.credentials import Caller
from app.domain.streams.models import Stream
from app.domain.streams.service import attach_publisher, detach_publisher, get_stream
from app.ingest.live import Live
from app.ingest.pipeline import PublishedStream
from app.ingest.whip.peer import WhipPeer, answer_offer
from app.process import Context
from app.wire.deps import AnyCaller, AppContext, require_owner

router = APIRouter(prefix="/whip", tags=["whip"])

SDP = "application/sdp"
MAX_SDP_BYTES = 64 * 1024  # Chromium's offer of one track has about 6 KiB
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Link",
    "Access-Control-Max-Age": "600",
}


@router.options("/{stream_id}")
@router.options("/{stream_id}/{resource}")
async def options(stream_id: str) -> Response:
    """No credential is asked of a preflight (RFC 9725 section 4.7)."""
    return Response(status_code=204, headers=CORS | {"Accept-Post": SDP})


@router.post("/{stream_id}")
async def publish(stream_id: str, request: Request, caller: AnyCaller, context: AppContext) -> Response:
    """Answer an offer: 201 with the answer, and the resource's Location and ETag (section 4.2)."""
    offer = await _read_offer(request)
    live: Live = request.app.state.live
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
    headers = CORS | {"Location": f"/whip/{stream_id}/{_resource(peer)}", "ETag": peer.etag}
    return Response(peer.answer_sdp, status_code=201, media_type=SDP, headers=headers)


@router.delete("/{stream_id}/{resource}")
async def unpublish(
    stream_id: str, resource: str, request: Request, caller: AnyCaller, context: AppContext
) -> Response:
    """End the publication; ETags play no part in it (section 4.2)."""
    await _owned(context, caller, stream_id)
    live: Live = request.app.state.live
    source = live.source_of(stream_id)
    if not isinstance(source, WhipPeer) or _resource(source) != resource:
        raise NotFound("nothing is published here")
    await live.end(stream_id)
    return Response(status_code=200, headers=CORS)


def _resource(peer: WhipPeer) -> str:
    return peer.etag.strip('"')


async def _read_offer(request: Request) -> str:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != SDP:
        raise UnsupportedMedia(f"the offer must be {SDP}")
    body = await request.body()
    if len(body) > MAX_SDP_BYTES:
        raise TooLarge(f"an offer may have {MAX_SDP_BYTES} bytes")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the offer is not text") from None


async def _owned(context: Context, caller: Caller, stream_id: str) -> Stream:
    async with context.db.transaction() as session:
        stream = await session.get(Stream, stream_id)
        if stream is not None and caller.kind == "client_token":
            require_owner(caller, stream.account_id)
        return await get_stream(session, caller.account_id, stream_id)
