"""One recording from start to stop: its sources, its clock, one publisher per channel, its events."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import httpx

from opencapture_recorder.api import CaptureApi
from opencapture_recorder.channels import ChannelRequest
from opencapture_recorder.clock import SEND_DELAY_SECONDS, MediaClock
from opencapture_recorder.errors import Refused, ServerError, SourceError
from opencapture_recorder.settings import RecorderSettings
from opencapture_recorder.sources.catalog import open_source
from opencapture_recorder.tracks import Feed, make_track
from opencapture_recorder.whip import WhipPublisher

logger = logging.getLogger(__name__)

# Media time 0 waits this long for slow channels; the rest begin without them.
_CONNECT_ALL_SECONDS = 10.0
_OPEN_SOURCES_SECONDS = 15.0
_CLOSE_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_LOOKS_PER_PROGRESS = 10

Emit = Callable[[str, dict[str, Any]], None]


class Recording:
    """Owns everything that runs between `startRecording` and `stopRecording`."""

    def __init__(
        self,
        settings: RecorderSettings,
        http: httpx.AsyncClient,
        api_url: str,
        token: str,
        session_id: str,
        channels: list[ChannelRequest],
        emit: Emit,
    ) -> None:
        self.session_id = session_id
        self._settings = settings
        self._http = http
        self._token = token
        self._api = CaptureApi(http, api_url, token)
        self._channels = channels
        self._emit = emit
        self._clock = MediaClock()
        self._feeds: dict[str, Feed] = {}
        self._publishers: dict[str, WhipPublisher] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watcher: asyncio.Task[None] | None = None
        self._streaming_session_id: str | None = None
        self._ended: set[str] = set()
        self._ending: asyncio.Task[str | None] | None = None

    @property
    def is_over(self) -> bool:
        """True from the moment the end begins."""
        return self._ending is not None

    async def start(self) -> None:
        """Open the sources, tell the server, connect every channel and let time begin.

        Raises SourceError, ServerError or Refused; nothing is left open then.
        """
        try:
            await self._open_feeds()
            started = await self._api.start(self.session_id, self._channels)
            self._streaming_session_id = started.streaming_session_id
            for channel_id, url in started.whip_urls.items():
                if channel_id in self._feeds:
                    self._publish(channel_id, url)
            await self._wait_connected()
        except BaseException:
            await asyncio.shield(self._end())
            raise
        self._clock.start()
        for feed in self._feeds.values():
            feed.source.start(self._clock.origin)
        self._watcher = asyncio.create_task(self._watch())
        self._emit("recording:started", self._payload())

    async def stop(self) -> str | None:
        """Stop at the server, then here. Returns what the server's stop failed with, if it did."""
        return await asyncio.shield(self._end())

    def set_paused(self, tracks: list[str], is_paused: bool) -> None:
        """Silence or black pictures on every channel of these tracks; the connections stay."""
        for channel in self._channels:
            if channel.track in tracks and channel.channel_id in self._feeds:
                self._feeds[channel.channel_id].is_paused = is_paused

    async def _open_feeds(self) -> None:
        opening = [asyncio.to_thread(open_source, c.channel_id, self._settings) for c in self._channels]
        try:
            opened = await asyncio.wait_for(
                asyncio.gather(*opening, return_exceptions=True), _OPEN_SOURCES_SECONDS
            )
        except TimeoutError:
            raise SourceError("A source did not open in time") from None
        failures = []
        for channel, source in zip(self._channels, opened, strict=True):
            if isinstance(source, BaseException):
                failures.append(source)
            else:
                self._feeds[channel.channel_id] = Feed(source)
        if failures:
            raise failures[0]

    def _publish(self, channel_id: str, url: str) -> None:
        feed = self._feeds[channel_id]
        publisher = WhipPublisher(
            self._http,
            url,
            self._token,
            lambda: make_track(feed, self._clock, self._settings),
            channel_id,
            lambda: self._find_whip_url(channel_id),
        )
        self._publishers[channel_id] = publisher
        self._tasks[channel_id] = asyncio.create_task(self._run_channel(channel_id, publisher))

    async def _find_whip_url(self, channel_id: str) -> str | None:
        """Where the server takes the channel now; None where it does not say."""
        try:
            return (await self._api.find_whip_urls(self.session_id)).get(channel_id)
        except ServerError:
            return None

    async def _run_channel(self, channel_id: str, publisher: WhipPublisher) -> None:
        try:
            await publisher.run()
        except Refused as refused:
            logger.warning("%s: %s; not publishing it any more", channel_id, refused)
            self._report_error(channel_id, str(refused))
        except Exception as error:
            logger.exception("%s: the publisher failed", channel_id)
            self._report_error(channel_id, f"internal error: {type(error).__name__}")

    async def _wait_connected(self) -> None:
        """Until every channel is connected or refused, or the limit; Refused when none is left."""
        waits = [asyncio.create_task(p.connected.wait()) for p in self._publishers.values()]
        settled = asyncio.gather(
            *(
                asyncio.wait({wait, task}, return_when=asyncio.FIRST_COMPLETED)
                for wait, task in zip(waits, self._tasks.values(), strict=True)
            )
        )
        try:
            await asyncio.wait_for(settled, _CONNECT_ALL_SECONDS)
        except TimeoutError:
            late = [name for name, p in self._publishers.items() if not p.connected.is_set()]
            logger.warning("starting without %s, which is not connected yet", ", ".join(late))
        finally:
            for wait in waits:
                wait.cancel()
        if all(task.done() for task in self._tasks.values()):
            raise Refused("The server refused every channel")

    async def _watch(self) -> None:
        """Progress, sources that ended, and the end of the last channel."""
        looks = 0
        while any(not task.done() for task in self._tasks.values()):
            await asyncio.wait(self._tasks.values(), timeout=_LOOK_SECONDS, return_when=asyncio.ALL_COMPLETED)
            looks += 1
            if looks % _LOOKS_PER_PROGRESS == 0:
                self._emit("upload:progress", self._payload())
            for channel_id, feed in self._feeds.items():
                if feed.source.is_ended and channel_id not in self._ended:
                    self._ended.add(channel_id)
                    self._emit("source:ended", {"session_id": self.session_id, "channel_id": channel_id})
        # Every channel was refused. The server may only have lost them, so it is told all the same.
        self._end()

    def _end(self) -> asyncio.Task[str | None]:
        """The one task that ends this recording: a caller may be cancelled, the end goes on."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._run_end())
        return self._ending

    async def _run_end(self) -> str | None:
        was_started = self._clock.is_started
        if was_started:
            # What was captured up to this moment is still on its way.
            await asyncio.sleep(SEND_DELAY_SECONDS)
        if self._watcher is not None:
            self._watcher.cancel()
        payload = self._payload()
        problem = await self._tell_server()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        closing = [asyncio.to_thread(self._close_feed, feed) for feed in self._feeds.values()]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), _CLOSE_SECONDS)
        if was_started:
            for event in ("recording:stopped", "upload:complete", "recording-complete"):
                self._emit(event, payload)
        return problem

    async def _tell_server(self) -> str | None:
        if self._streaming_session_id is None:
            return None
        try:
            await self._api.stop(self._streaming_session_id, self.session_id)
        except ServerError as error:
            logger.warning("the session could not be stopped at the server: %s", error)
            return str(error)
        return None

    @staticmethod
    def _close_feed(feed: Feed) -> None:
        with feed.lock:
            feed.source.close()

    def _report_error(self, channel_id: str, message: str) -> None:
        payload = {"session_id": self.session_id, "channel_id": channel_id, "message": message}
        self._emit("recording:error", payload)
        self._emit("error", payload)

    def _payload(self) -> dict[str, Any]:
        return {
            "session_id": self.session_id,
            "sessionId": self.session_id,
            "duration_seconds": round(self._clock.now(), 3),
            "channels": [
                {
                    "channel_id": channel_id,
                    "sent_bytes": publisher.sent_bytes,
                    "connections": publisher.connection_count,
                    "skipped_slots": self._feeds[channel_id].skipped_slots,
                }
                for channel_id, publisher in self._publishers.items()
            ],
        }
