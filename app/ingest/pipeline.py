"""One live stream: its source read without pause, each frame offered to every sink that takes its kind."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from app.base.db import DATABASE_AWAY
from app.base.errors import Unavailable
from app.base.logs import bind
from app.domain.indexes.models import SceneIndex
from app.domain.streams.publishing import media_flows
from app.domain.streams.recording import spool_opened
from app.ingest.contract import Sink, Source
from app.ingest.sinks.recorder import Recorder
from app.ingest.sinks.screens import ScreenWatcher
from app.ingest.sinks.speech import SpeechListener
from app.ingest.spool.uploads import Uploads
from app.media.frames import Codec
from app.process import Context

logger = logging.getLogger(__name__)

ANNOUNCE_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class PublishedStream:
    """What a pipeline needs to know of its stream, and of the `publication` that it carries.

    `zero_us` is the Unix time its media counts from.
    """

    account_id: str
    session_id: str | None
    stream_id: str
    publication: str
    store: bool
    zero_us: int
    has_sound: bool


class Pipeline:
    """Reads until the source ends. `said_goodbye` is set by whoever ends it on the publisher's word."""

    def __init__(self, context: Context, uploads: Uploads, source: Source, stream: PublishedStream) -> None:
        self.source = source
        self.stream = stream
        self.said_goodbye = False
        self._context = context
        self._uploads = uploads
        self._recorders: dict[Codec, Recorder] = {}
        self._speech: SpeechListener | None = None
        self._screens: ScreenWatcher | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._may_listen, self._may_watch = stream.has_sound, True

    async def run(self) -> None:
        """Carry frames until the source ends, then let every sink finish within the stop limit."""
        announced: asyncio.Task[None] | None = None
        with bind(session=self.stream.session_id, stream=self.stream.stream_id):
            try:
                async for frame in self.source.frames():
                    announced = announced or asyncio.create_task(self._announce(frame.codec))
                    if self.stream.store:
                        self._recorder_of(frame.codec).offer(frame)
                    if self._speech is not None and not frame.codec.is_video:
                        self._speech.offer(frame)
                    if self._screens is not None and frame.codec.is_video:
                        self._screens.offer(frame)
            finally:
                await self._finish([announced] if announced else [])

    def listen(self, wanted: bool) -> None:
        """Start or stop listening for speech; stopping passes on what was said so far."""
        if wanted and self._speech is None and self._may_listen:
            try:
                self._speech = SpeechListener(
                    self._context, account_id=self.stream.account_id, stream_id=self.stream.stream_id
                )
            except Unavailable as error:
                self._may_listen = False
                logger.error("%s is not transcribed: %s", self.stream.stream_id, error.message)
                return
        elif not wanted and self._speech is not None:
            self._leave(self._speech)
            self._speech = None

    def watch(self, indexes: Sequence[SceneIndex]) -> None:
        """Look at the pictures for these indexes; none of them means not at all."""
        if indexes and self._screens is None and self._may_watch:
            self._screens = ScreenWatcher(
                self._context,
                account_id=self.stream.account_id,
                stream_id=self.stream.stream_id,
                request_keyframe=self.source.request_keyframe,
            )
        if self._screens is not None:
            self._screens.watch(indexes)
            if not indexes:
                self._leave(self._screens)
                self._screens = None

    async def close(self) -> None:
        """End the source; `run` then finishes by itself."""
        await self.source.close()

    def _leave(self, sink: Sink) -> None:
        """Give the sink nothing more, and let it finish beside the others."""
        task = asyncio.create_task(sink.close())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _recorder_of(self, codec: Codec) -> Recorder:
        """One for each of the source's tracks, which have different codecs."""
        recorder = self._recorders.get(codec)
        if recorder is None:
            recorder = self._recorders[codec] = Recorder(
                self._context,
                self._uploads,
                account_id=self.stream.account_id,
                stream_id=self.stream.stream_id,
                codec=codec,
                zero_us=self.stream.zero_us,
                request_keyframe=self.source.request_keyframe,
            )
        return recorder

    async def _announce(self, codec: Codec) -> None:
        """Say that media flows, and where it is kept until storage has it, until that is heard.

        Unheard, the session would fail for lack of media.
        """
        while True:
            try:
                async with self._context.db.transaction() as session:
                    await media_flows(session, self.stream.stream_id, codec.value)
                    if self.stream.store:
                        await spool_opened(session, self.stream.stream_id, self._uploads.spool_name)
                return
            except DATABASE_AWAY as error:
                logger.warning("%s not announced yet: %s", self.stream.stream_id, type(error).__name__)
                await asyncio.sleep(ANNOUNCE_AGAIN_SECONDS)

    async def _finish(self, waiting: list[asyncio.Task[None]]) -> None:
        self._may_listen = self._may_watch = False  # a sink that is added now would be closed by nobody
        await self.source.close()
        listening = [sink for sink in (self._speech, self._screens) if sink is not None]
        sinks: list[Sink] = [*self._recorders.values(), *listening]
        work = [*waiting, *self._leaving, *(asyncio.create_task(sink.close()) for sink in sinks)]
        if not work:
            return
        done, late = await asyncio.wait(work, timeout=self._context.settings.stop_timeout_seconds)
        for task in late:
            task.cancel()
            logger.error("%s did not finish in time", self.stream.stream_id)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("a sink of %s failed", self.stream.stream_id, exc_info=error)
