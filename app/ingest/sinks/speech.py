"""Listens to one stream while somebody asks for its words: utterances out of its sound, each on its way to
words when it has ended, and heard meanwhile."""

import asyncio
import logging
from contextlib import suppress

from sqlalchemy.exc import IntegrityError

from app.base.db import DATABASE_AWAY
from app.base.ids import new_id
from app.domain.transcripts.service import add_speech
from app.ingest.batches import FrameBatches
from app.ingest.sinks.interims import Interims
from app.media.frames import EncodedFrame
from app.media.pcm import (
    Speaking,
    SpeechDecoder,
    Utterance,
    UtteranceCutter,
    encode_speech,
    open_speech_decoder,
)
from app.process import Context
from app.storage.contract import ObjectExists, StorageUnavailable
from app.storage.keys import speech_key

logger = logging.getLogger(__name__)

QUEUE_FRAMES = 1500  # half a minute of Opus
COLLECT_SECONDS = 0.1
STORE_ATTEMPTS = 5
# Publishers with DTX send nothing in a pause: longer than the pause that ends an utterance is its end.
QUIET_SECONDS = 1.0


class SpeechListener:
    """A `Sink` that decodes; its CPU is spent only while a transcription runs."""

    def __init__(self, context: Context, *, account_id: str, stream_id: str) -> None:
        self.lost_utterances = 0
        self._context = context
        self._account_id = account_id
        self._stream_id = stream_id
        self._batches = FrameBatches(f"speech of {stream_id}", limit=QUEUE_FRAMES)
        self._decoder: SpeechDecoder | None = None
        self._cutter = UtteranceCutter()
        self._interims = Interims(context.redis, stream_id)
        self._task = asyncio.create_task(self._run())

    def offer(self, frame: EncodedFrame) -> None:
        self._batches.offer(frame)

    async def close(self) -> None:
        """Pass on what was said so far; the caller bounds the time."""
        self._batches.close()
        await self._task

    async def _run(self) -> None:
        while (
            batch := await self._batches.next(collect_seconds=COLLECT_SECONDS, idle_seconds=QUIET_SECONDS)
        ) is not None:
            ended, speaking = await asyncio.to_thread(self._listen, batch)
            for utterance in ended:
                await self._pass_on(utterance)
            if speaking is not None:
                self._interims.offer(speaking)
        for utterance in await asyncio.to_thread(self._cutter.flush):
            await self._pass_on(utterance)

    def _listen(self, batch: list[EncodedFrame]) -> tuple[list[Utterance], Speaking | None]:
        if not batch:
            return self._cutter.flush(), None
        decoder = self._decoder = self._decoder or open_speech_decoder(batch[0])
        ended = [
            utterance
            for frame in batch
            for utterance in self._cutter.feed(decoder.decode(frame.data), frame.captured_at_us)
        ]
        return ended, self._cutter.speaking()

    async def _pass_on(self, utterance: Utterance) -> None:
        utterance_id = await self._interims.end(utterance.started_at_us) or new_id("utt")
        key = speech_key(self._account_id, self._stream_id, utterance_id)
        data = await asyncio.to_thread(encode_speech, utterance.samples)
        for attempt in range(STORE_ATTEMPTS):
            try:
                await self._put(utterance_id, key, data, utterance)
                return
            except (StorageUnavailable, *DATABASE_AWAY) as error:
                logger.warning("speech of %s not stored yet: %s", self._stream_id, type(error).__name__)
                await asyncio.sleep(0.2 * 2**attempt)
        self.lost_utterances += 1
        logger.error("speech of %s lost: nowhere to put it", self._stream_id)

    async def _put(self, utterance_id: str, key: str, data: bytes, utterance: Utterance) -> None:
        """Object first, row second, either of them perhaps by an earlier try."""
        with suppress(ObjectExists):
            await self._context.storage.put_bytes(key, data)
        with suppress(IntegrityError):
            async with self._context.db.transaction() as session:
                await add_speech(
                    session,
                    chunk_id=utterance_id,
                    stream_id=self._stream_id,
                    storage_key=key,
                    started_at_us=utterance.started_at_us,
                    ended_at_us=utterance.ended_at_us,
                )
