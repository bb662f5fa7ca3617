"""Live speech to words: finals by turns of their streams, and interims with what time is left."""

import asyncio
import itertools
import logging
from contextlib import suppress

from redis.exceptions import RedisError

from app.base.db import DATABASE_AWAY
from app.base.redis import subscribe
from app.base.speaking import SPEAKING_CHANNEL, take_waiting
from app.domain.transcripts.service import SPEECH_CHANNEL, put_off, streams_with_speech, take_turn
from app.process import Context
from app.storage.contract import StorageUnavailable
from workers.engines.registry import decodes_at_once
from workers.listening import POLL_SECONDS, listen
from workers.tasks.recogniser import Recogniser
from workers.tasks.rescue_speech import rescue_speech
from workers.tasks.transcribe_chunk import transcribe_chunk
from workers.tasks.transcribe_interim import transcribe_interim

logger = logging.getLogger(__name__)

RESCUE_SECONDS = 5.0
PAUSE_SECONDS = 1.0
REMEMBERED_STREAMS = 10_000


class Transcriber:
    """One worker's lanes, one for each core: a lane takes a final where any waits, else an interim.

    Where there are several, one lane keeps to finals, and to interims of what has just been said, which are
    finals in advance: they do not wait for words that will be replaced.
    The stream that was served longest ago is served first: however much one has to say, none waits for it.
    """

    def __init__(self, context: Context, recogniser: Recogniser) -> None:
        self._context = context
        self._recogniser = recogniser
        self._wakes = [asyncio.Event() for _ in range(decodes_at_once(context.settings))]
        self._busy: set[str] = set()
        self._served: dict[str, int] = {}
        self._turns = itertools.count(1)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            url = self._context.settings.database_url or ""
            group.create_task(listen(url, SPEECH_CHANNEL, *self._wakes))
            group.create_task(self._hear_of_speaking())
            group.create_task(self._rescue())
            for number, wake in enumerate(self._wakes):
                urgent_only = number == 0 and len(self._wakes) > 1
                group.create_task(self._lane(wake, urgent_only=urgent_only))

    async def _lane(self, wake: asyncio.Event, *, urgent_only: bool) -> None:
        while True:
            wake.clear()
            try:
                if await self._final() or await self._interim(urgent_only=urgent_only):
                    continue
            except (RedisError, *DATABASE_AWAY) as error:
                logger.warning("speech waits: %s", type(error).__name__)
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception:
                # The lane is for all streams.
                logger.exception("a piece of speech was left")
                await asyncio.sleep(PAUSE_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), POLL_SECONDS)

    async def _final(self) -> bool:
        """Transcribe one utterance; False where none waits."""
        async with self._context.db.transaction() as session:
            waiting = await streams_with_speech(session)
        for stream_id in sorted(waiting, key=lambda one: self._served.get(one, 0)):
            if stream_id in self._busy:
                continue
            self._busy.add(stream_id)
            try:
                if await self._take(stream_id):
                    return True
            finally:
                self._busy.discard(stream_id)
        return False

    async def _take(self, stream_id: str) -> bool:
        async with self._context.db.transaction() as turn:
            chunk_id = await take_turn(turn, stream_id)
            if chunk_id is None:
                return False
            if len(self._served) >= REMEMBERED_STREAMS:
                self._served.clear()
            self._served[stream_id] = next(self._turns)
            try:
                await transcribe_chunk(self._context, self._recogniser, chunk_id)
            except Exception as error:
                if isinstance(error, DATABASE_AWAY):
                    raise
                logger.warning("speech of %s waits: %s", stream_id, type(error).__name__)
                async with self._context.db.transaction() as session:
                    await put_off(session, chunk_id)
        return True

    async def _interim(self, *, urgent_only: bool) -> bool:
        """Hear one of the utterances that are going on; False where none has anything new."""
        utterance = await take_waiting(self._context.redis, urgent_only=urgent_only)
        if utterance is None:
            return False
        await transcribe_interim(self._context, self._recogniser, utterance)
        return True

    async def _hear_of_speaking(self) -> None:
        while True:
            try:
                async for message in subscribe(self._context.redis, SPEAKING_CHANNEL):
                    if message is not None:
                        for wake in self._wakes:
                            wake.set()
            except (RedisError, OSError) as error:
                logger.warning("no interim words, Redis is away: %s", type(error).__name__)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _rescue(self) -> None:
        while True:
            try:
                await rescue_speech(self._context)
            except (RedisError, StorageUnavailable, *DATABASE_AWAY) as error:
                logger.warning("abandoned speech waits: %s", type(error).__name__)
            except Exception:
                # The lanes go on without it.
                logger.exception("abandoned speech was left")
            await asyncio.sleep(RESCUE_SECONDS)
