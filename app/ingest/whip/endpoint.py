"""What a WHIP endpoint stands for: one stream, or the sound and the picture of a whole capture session."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, NotFound
from app.domain.accounts.credentials import Caller
from app.domain.sessions.models import CaptureSession
from app.domain.sessions.service import get_session
from app.domain.streams.models import Stream
from app.domain.streams.publishing import attach_publisher
from app.domain.streams.service import get_stream, list_session_streams
from app.ingest.pipeline import PublishedStream
from app.ingest.whip.offer import Kind


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`streams` has the one that a track of each kind goes to."""

    id: str
    capture: CaptureSession
    streams: dict[Kind, Stream]


async def find_endpoint(session: AsyncSession, caller: Caller, endpoint_id: str) -> Endpoint:
    """The endpoint named by a stream's id, or by a capture session's.

    A session takes its mic, or else its system audio, and its primary display: what a publisher such as OBS
    sends in one offer. Raises `NotFound`, `Unauthenticated` for another account's client token, and
    `Conflict` for a session that was not started.
    """
    stream = await session.get(Stream, endpoint_id)
    if stream is not None:
        caller.require_session(stream.account_id, stream.capture_session_id)
        caller.require_channel(stream.name)
        await get_stream(session, caller.account_id, endpoint_id)
        capture = await session.get_one(CaptureSession, stream.capture_session_id)
        return Endpoint(endpoint_id, capture, {_kind(stream): stream})
    found = await session.get(CaptureSession, endpoint_id)
    if found is None:
        raise NotFound(f"no rtstream or capture session {endpoint_id}")
    caller.require_session(found.account_id, found.id)
    capture = await get_session(session, caller.account_id, endpoint_id)
    streams = [
        stream
        for stream in await list_session_streams(session, capture.id)
        if caller.channels is None or stream.name in caller.channels
    ]
    if not streams:
        raise Conflict("this capture session was not started: it takes no media", code="session_not_live")
    # The sort is stable: of several displays the primary one stays first.
    by_preference = sorted(streams, key=lambda stream: stream.category == "system_audio")
    return Endpoint(endpoint_id, capture, {_kind(one): one for one in reversed(by_preference)})


async def attach(
    session: AsyncSession, endpoint: Endpoint, kinds: Sequence[Kind], publisher: str, publication: str
) -> list[PublishedStream]:
    """Give the streams of these kinds to one publication, all or none, in this order. Raises `Conflict`."""
    published = []
    for kind in kinds:
        stream = endpoint.streams[kind]
        capture = await attach_publisher(session, stream.id, publisher, publication)
        published.append(
            PublishedStream(
                account_id=stream.account_id,
                session_id=capture.id,
                stream_id=stream.id,
                publication=publication,
                store=stream.store,
                zero_us=capture.zero_us,
                has_sound="audio" in stream.media_types,
            )
        )
    return published


def _kind(stream: Stream) -> Kind:
    return "video" if stream.media_type == "video" else "audio"
