"""Publishes one channel by WHIP (RFC 9725) and keeps it published until it is cancelled or refused."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from urllib.parse import urljoin

import aioice.ice
import httpx
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.stats import RTCOutboundRtpStreamStats, RTCRemoteInboundRtpStreamStats

from opencapture_recorder.errors import Refused, ServerError
from opencapture_recorder.tracks import AudioTrack, VideoTrack

logger = logging.getLogger(__name__)

_POST_TIMEOUT_SECONDS = 10.0
_CONNECT_TIMEOUT_SECONDS = 10.0
_DELETE_TIMEOUT_SECONDS = 2.0
_CLOSE_TIMEOUT_SECONDS = 2.0
_FIRST_RETRY_SECONDS = 0.5
_MAX_RETRY_SECONDS = 5.0
_WATCH_SECONDS = 0.5
# A receiver reports about once a second. ICE consent alone notices a killed server after 30 s.
_MAX_REPORT_SILENCE_SECONDS = 8.0
_RETRYABLE_STATUS = frozenset({408, 409, 425, 429})
_CODECS = {"audio": "audio/opus", "video": "video/H264"}

_find_host_addresses = aioice.ice.get_host_addresses


def _host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    # aioice never offers loopback, so a machine with no network could not reach a server on itself.
    addresses: list[str] = _find_host_addresses(use_ipv4, use_ipv6)
    return addresses or (["127.0.0.1"] if use_ipv4 else [])


aioice.ice.get_host_addresses = _host_addresses


class WhipPublisher:
    """One channel's connection, made again whenever it is lost."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        token: str,
        make_track: Callable[[], AudioTrack | VideoTrack],
        name: str,
        find_url: Callable[[], Awaitable[str | None]],
    ) -> None:
        self.connected = asyncio.Event()
        self.connection_count = 0
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._make_track = make_track
        self._name = name
        self._find_url = find_url
        self._sender: RTCRtpSender | None = None
        self._earlier_bytes = 0
        self._sent_bytes = 0

    @property
    def sent_bytes(self) -> int:
        """RTP payload bytes over all connections of this channel, at most half a second old."""
        return self._earlier_bytes + self._sent_bytes

    async def run(self) -> None:
        """Publish until cancelled. Raises Refused when the server will not have this channel any more."""
        retry_seconds = _FIRST_RETRY_SECONDS
        while True:
            try:
                async with self._publish() as connection:
                    retry_seconds = _FIRST_RETRY_SECONDS
                    self.connection_count += 1
                    self.connected.set()
                    reason = await self._watch(connection)
            except Refused:
                raise
            except (ServerError, httpx.HTTPError, TimeoutError, ConnectionError, InvalidStateError) as error:
                # What other libraries say may hold the URL, which can be a secret.
                reason = str(error) if isinstance(error, ServerError) else type(error).__name__
            logger.warning("%s: %s; publishing again in %.1f s", self._name, reason, retry_seconds)
            await asyncio.sleep(retry_seconds * random.uniform(0.8, 1.0))
            retry_seconds = min(_MAX_RETRY_SECONDS, retry_seconds * 2)
            self._url = await self._find_url() or self._url

    @asynccontextmanager
    async def _publish(self) -> AsyncIterator[RTCPeerConnection]:
        # The default configuration asks a public STUN server; a WHIP server is the reachable side.
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        resource: str | None = None
        try:
            await self._offer(connection)
            resource, answer = await self._post(connection.localDescription.sdp)
            try:
                await connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
            except (ValueError, InvalidAccessError, OperationError) as error:
                raise ServerError(f"the answer is not usable: {error}") from None
            await _wait_connected(connection)
            yield connection
        finally:
            self._earlier_bytes, self._sent_bytes = self.sent_bytes, 0
            await _within(_CLOSE_TIMEOUT_SECONDS + _DELETE_TIMEOUT_SECONDS, self._end(connection, resource))

    async def _offer(self, connection: RTCPeerConnection) -> None:
        track = self._make_track()
        transceiver = connection.addTransceiver(track, direction="sendonly")
        mime_type = _CODECS[track.kind]
        codecs = RTCRtpSender.getCapabilities(track.kind).codecs
        transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType == mime_type])
        self._sender = transceiver.sender
        if isinstance(track, VideoTrack):
            # aiortc keeps a key frame request to itself when the track gives packets instead of pictures.
            transceiver.sender._send_keyframe = track.request_key_frame  # type: ignore[method-assign]
        await connection.setLocalDescription(await connection.createOffer())

    async def _post(self, offer: str) -> tuple[str, str]:
        """The resource's URL and the answer (RFC 9725, 4.2)."""
        response = await self._http.post(
            self._url,
            content=offer.encode(),
            headers={**self._headers, "Content-Type": "application/sdp"},
            timeout=_POST_TIMEOUT_SECONDS,
            follow_redirects=True,
        )
        status = response.status_code
        if status == httpx.codes.CREATED:
            if "location" not in response.headers:
                raise Refused("WHIP POST was answered without a Location")
            return urljoin(str(response.url), response.headers["location"]), response.text
        message = f"WHIP POST was answered with {status}"
        if 400 <= status < 500 and status not in _RETRYABLE_STATUS:
            raise Refused(message)
        raise ServerError(message)

    async def _watch(self, connection: RTCPeerConnection) -> str:
        """Wait until the connection is lost; why it counts as lost."""
        heard_at: float | None = None
        last_report: object = None
        while connection.connectionState not in ("failed", "closed"):
            await asyncio.sleep(_WATCH_SECONDS)
            assert self._sender is not None
            for entry in (await self._sender.getStats()).values():
                if isinstance(entry, RTCOutboundRtpStreamStats):
                    self._sent_bytes = entry.bytesSent
                elif isinstance(entry, RTCRemoteInboundRtpStreamStats) and entry.timestamp != last_report:
                    last_report, heard_at = entry.timestamp, time.monotonic()
            if heard_at is not None and time.monotonic() - heard_at > _MAX_REPORT_SILENCE_SECONDS:
                return "the server stopped reporting"
        return f"the connection is {connection.connectionState}"

    async def _end(self, connection: RTCPeerConnection, resource: str | None) -> None:
        try:
            if resource is not None:
                with contextlib.suppress(httpx.HTTPError):
                    await self._http.delete(resource, headers=self._headers, timeout=_DELETE_TIMEOUT_SECONDS)
        finally:
            await connection.close()


async def _wait_connected(connection: RTCPeerConnection) -> None:
    done = asyncio.Event()

    @connection.on("connectionstatechange")
    def _changed() -> None:
        if connection.connectionState in ("connected", "failed", "closed"):
            done.set()

    _changed()
    try:
        await asyncio.wait_for(done.wait(), _CONNECT_TIMEOUT_SECONDS)
    except TimeoutError:
        raise ServerError("no media path to the server was found in time") from None
    if connection.connectionState != "connected":
        raise ServerError("the server could not be reached with media")


async def _within(seconds: float, work: Coroutine[None, None, None]) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(work, seconds)
