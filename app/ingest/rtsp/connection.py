"""One publisher's connection: its requests in order, then its media until it goes."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from app.base.errors import CaptureError, Conflict, NotFound
from app.base.ids import new_id
from app.domain.streams.models import Stream
from app.domain.streams.publishing import attach_publisher
from app.ingest.live import Live
from app.ingest.pipeline import PublishedStream
from app.ingest.rtsp.announcement import AnnouncedTrack, read_announcement
from app.ingest.rtsp.frame_clock import RecorderClocks
from app.ingest.rtsp.messages import MalformedMessage, Request, render_response
from app.ingest.rtsp.publisher import RtspPublisher
from app.ingest.rtsp.track import TrackReader
from app.ingest.rtsp.wire import MediaData, read_piece
from app.process import Context
from app.wire.publish_paths import stream_published_at

logger = logging.getLogger(__name__)

SETUP_SECONDS = 10.0  # from the connection to RECORD; the recorder needs three round trips
# A recorder says goodbye up to 2 s after its session was stopped, and comes back at once where it cannot.
GOODBYE_SECONDS = 5.0
_INTERLEAVED = re.compile(r"interleaved=(\d{1,3})-(\d{1,3})(?:;|$)", re.ASCII)
_PUBLIC = "OPTIONS, GET_PARAMETER, ANNOUNCE, SETUP, RECORD, TEARDOWN"


@dataclass(slots=True)
class _Announced:
    path: str
    stream: Stream
    track: AnnouncedTrack


class _Refused(Exception):
    """A request that is answered with this status; the connection ends with it, as the recorder's would."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class RtspConnection:
    """Serves one connection: `run` returns when it is over, having closed it."""

    def __init__(
        self,
        context: Context,
        live: Live,
        clocks: RecorderClocks,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._context = context
        self._live = live
        self._clocks = clocks
        self._reader = reader
        self._writer = writer
        self._session = secrets.token_hex(8)
        self._announced: _Announced | None = None
        self._channels: tuple[int, int] | None = None  # of RTP and RTCP
        self._publisher: RtspPublisher | None = None
        self._track: TrackReader | None = None
        self._lingers = False
        self._left = False

    async def run(self) -> None:
        """Serve until the publisher says goodbye, goes, breaks the protocol or falls silent."""
        reason = "closed by this server"
        try:
            async with asyncio.timeout(SETUP_SECONDS) as deadline:
                while not self._left:
                    await self._take(deadline)
            reason = "the publisher said goodbye"
        except TimeoutError:
            reason = "goodbye did not come" if self._lingers else "nothing arrived in time"
        except (_Refused, MalformedMessage) as error:
            reason = str(error)
        except (EOFError, OSError):
            reason = "the connection ended"
        finally:
            await self._end(reason)

    async def _end(self, reason: str) -> None:
        self._writer.close()
        if self._announced is None or self._publisher is None or self._track is None:
            logger.info("connection without media ended: %s", reason)
            return
        await self._publisher.close()
        counters = self._track.counters
        logger.info(
            "publisher of %s ended: %s; %d frames, %d dropped, %d packets lost, %d malformed",
            *(self._announced.stream.id, reason, counters.frames),
            *(counters.dropped_frames, counters.lost, counters.malformed),
        )

    async def _take(self, deadline: asyncio.Timeout) -> None:
        piece = await read_piece(self._reader)
        now = asyncio.get_running_loop().time()
        if isinstance(piece, MediaData):
            if self._publisher is None or self._publisher.is_closed:
                self._linger(deadline, now)
                return
            self._take_media(piece)
            deadline.reschedule(now + self._context.settings.media_silence_seconds)
            return
        waited = self._publisher is None
        await self._answer(*piece)
        if self._publisher is not None and self._publisher.is_closed:
            self._linger(deadline, now)
        elif self._publisher is not None and waited:
            deadline.reschedule(now + self._context.settings.media_silence_seconds)

    def _linger(self, deadline: asyncio.Timeout, now: float) -> None:
        """The stream was ended on this side: wait for the goodbye, and for nothing else."""
        if self._publisher is not None and not self._lingers:
            self._lingers = True
            deadline.reschedule(now + GOODBYE_SECONDS)

    def _take_media(self, piece: MediaData) -> None:
        assert self._track is not None
        assert self._channels is not None
        rtp, rtcp = self._channels
        wall_us = time.time_ns() // 1000
        if piece.channel == rtp:
            self._track.on_rtp(piece.data, wall_us)
        elif piece.channel == rtcp:
            self._track.on_rtcp(piece.data, wall_us)

    async def _answer(self, request: Request, body: bytes) -> None:
        answers: dict[str, Callable[[Request, bytes], Awaitable[dict[str, str]]]] = {
            "OPTIONS": self._options,
            "GET_PARAMETER": self._options,  # empty, a publisher's sign of life (RFC 2326 section 10.8)
            "ANNOUNCE": self._announce,
            "SETUP": self._set_up,
            "RECORD": self._record,
            "TEARDOWN": self._tear_down,
        }
        try:
            if request.method not in answers:
                raise _Refused(501, "a method that is not served")
            headers = await answers[request.method](request, body)
        except _Refused as refusal:
            await self._send(render_response(refusal.status, request.cseq))
            raise
        await self._send(render_response(200, request.cseq, headers))

    async def _send(self, answer: bytes) -> None:
        self._writer.write(answer)
        await self._writer.drain()

    async def _options(self, request: Request, body: bytes) -> dict[str, str]:
        return {"Public": _PUBLIC}

    async def _announce(self, request: Request, body: bytes) -> dict[str, str]:
        if self._announced is not None:
            raise _Refused(455, "announced twice")
        if request.headers.get("content-type", "").lower() != "application/sdp":
            raise _Refused(415, "an announcement that is no SDP")
        stream = await self._stream_of(request.path)
        try:
            track = read_announcement(body)
        except CaptureError as error:
            raise _Refused(415, error.message) from error
        if track.codec.is_video != (stream.media_type == "video"):
            raise _Refused(415, f"{stream.id} does not take {track.codec}")
        self._announced = _Announced(request.path, stream, track)
        return {}

    async def _set_up(self, request: Request, body: bytes) -> dict[str, str]:
        announced = self._announced
        if announced is None or self._publisher is not None:
            raise _Refused(455, "set up out of order")
        if request.path != announced.path and not request.path.startswith(announced.path + "/"):
            raise _Refused(404, "set up under another path")
        transport = request.headers.get("transport", "").replace(" ", "")
        found = _INTERLEAVED.search(transport)
        if not transport.upper().startswith("RTP/AVP/TCP;") or found is None:
            raise _Refused(461, "only interleaved TCP is served")
        self._channels = int(found[1]), int(found[2])
        chosen = f"RTP/AVP/TCP;unicast;interleaved={found[1]}-{found[2]};mode=record"
        return {"Session": f"{self._session};timeout=60", "Transport": chosen}

    async def _record(self, request: Request, body: bytes) -> dict[str, str]:
        announced = self._announced
        if announced is None or self._channels is None or self._publisher is not None:
            raise _Refused(455, "recording out of order")
        self._check_session(request)
        stream = announced.stream
        publication = new_id("pub")
        try:
            async with self._context.db.transaction() as session:
                capture = await attach_publisher(session, stream.id, self._live.publisher_id, publication)
        except (Conflict, NotFound) as error:
            raise _Refused(455, error.message) from error
        except (SQLAlchemyError, OSError) as error:
            raise _Refused(503, f"the database is away: {type(error).__name__}") from error
        publisher = self._publisher = RtspPublisher(announced.track.codec)
        clock = self._clocks.clock_of(capture.id)
        self._track = TrackReader(announced.track, clock, publisher.offer)
        self._live.carry(
            publisher,
            PublishedStream(
                account_id=stream.account_id,
                session_id=capture.id,
                stream_id=stream.id,
                publication=publication,
                store=stream.store,
                zero_us=capture.zero_us,
                has_sound="audio" in stream.media_types,
            ),
        )
        return {"Session": self._session}

    async def _tear_down(self, request: Request, body: bytes) -> dict[str, str]:
        self._check_session(request)
        self._left = True
        if self._announced is not None and self._publisher is not None:
            stream_id = self._announced.stream.id
            if self._live.source_of(stream_id) is self._publisher:
                await self._live.end(stream_id)
        return {"Session": self._session}

    def _check_session(self, request: Request) -> None:
        if request.headers.get("session", "").partition(";")[0] != self._session:
            raise _Refused(454, "another session")

    async def _stream_of(self, path: str) -> Stream:
        try:
            stream_id = stream_published_at(self._context.settings, path)
            async with self._context.db.transaction() as session:
                stream = await session.get(Stream, stream_id)
        except NotFound as error:
            raise _Refused(404, "an unknown path") from error
        except (SQLAlchemyError, OSError) as error:
            raise _Refused(503, f"the database is away: {type(error).__name__}") from error
        if stream is None:
            raise _Refused(404, "an unknown path")
        return stream
