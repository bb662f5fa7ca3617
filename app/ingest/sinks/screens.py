"""Looks at one video stream while an index asks for it: pictures that differ, and windows of them."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from app.base.db import DATABASE_AWAY
from app.base.ids import new_id
from app.domain.indexes.models import SceneIndex
from app.domain.indexes.windows import add_screen, add_window
from app.ingest.batches import FrameBatches
from app.ingest.sinks.watching import Stretch, Watch, watch_of
from app.media.frames import EncodedFrame
from app.media.screens import Screen, ScreenDecoder, changed_share, is_another_screen, is_sharper
from app.process import Context
from app.storage.contract import ObjectExists, StorageUnavailable
from app.storage.keys import screen_key

logger = logging.getLogger(__name__)

QUEUE_FRAMES = 900  # half a minute at 30 a second
TURN_SECONDS = 0.2
STORE_ATTEMPTS = 5
# So long before a look a key frame is asked for, so that little has to be decoded for it.
KEYFRAME_LEAD_US = 500_000


class ScreenWatcher:
    """A `Sink` that decodes what it looks at; its CPU is spent only while an index runs."""

    def __init__(
        self,
        context: Context,
        *,
        account_id: str,
        stream_id: str,
        request_keyframe: Callable[[], None],
    ) -> None:
        self.lost_screens = 0
        self._context = context
        self._account_id = account_id
        self._stream_id = stream_id
        self._request_keyframe = request_keyframe
        self._batches = FrameBatches(f"screens of {stream_id}", limit=QUEUE_FRAMES)
        self._decoder: ScreenDecoder | None = None
        self._watches: dict[str, Watch] = {}
        self._ended: list[tuple[str, Stretch]] = []
        self._kept: tuple[str, Screen] | None = None
        self._media_ahead_us = 0
        self._task = asyncio.create_task(self._run())

    def watch(self, indexes: Sequence[SceneIndex]) -> None:
        """Look for these indexes and no others; the window of one that stopped ends here."""
        wanted = {index.id: index for index in indexes}
        for index_id in self._watches.keys() - wanted.keys():
            self._end(index_id, self._watches.pop(index_id))
        for index_id, index in wanted.items():
            if index_id not in self._watches:
                self._watches[index_id] = watch_of(index.extraction)

    def offer(self, frame: EncodedFrame) -> None:
        self._batches.offer(frame)

    async def close(self) -> None:
        """Pass on the windows as they stand; the caller bounds the time."""
        self._batches.close()
        await self._task

    async def _run(self) -> None:
        while (
            batch := await self._batches.next(collect_seconds=TURN_SECONDS, idle_seconds=TURN_SECONDS)
        ) is not None:
            if batch:
                self._media_ahead_us = batch[-1].captured_at_us - time.time_ns() // 1000
                await asyncio.to_thread(self._feed, batch)
            await self._turn()
        for index_id, watch in self._watches.items():
            self._end(index_id, watch)
        await self._pass_on()

    def _feed(self, batch: list[EncodedFrame]) -> None:
        decoder = self._decoder = self._decoder or ScreenDecoder(batch[0].codec)
        for frame in batch:
            decoder.feed(frame)

    async def _turn(self) -> None:
        now_us = self._now_us()
        due = {index_id: watch for index_id, watch in self._watches.items() if watch.next_look_us <= now_us}
        if due:
            await self._look(due, now_us)
        elif any(watch.wants_keyframe(now_us, KEYFRAME_LEAD_US) for watch in self._watches.values()):
            self._request_keyframe()
        await self._pass_on()

    async def _look(self, due: dict[str, Watch], now_us: int) -> None:
        screen = await asyncio.to_thread(self._decoder.screen) if self._decoder else None
        if screen is None:
            self._request_keyframe()
            return
        share = changed_share(self._kept[1].cells, screen.cells) if self._kept else 1.0
        if self._kept is None or shows_more(self._kept[1], screen):
            frame_id = await self._keep(screen)
            if frame_id is None:
                return
            if self._kept is not None and is_sharper(self._kept[1], screen):
                for watch in self._watches.values():
                    watch.replace(self._kept[0], frame_id)
            self._kept = frame_id, screen
        for index_id, watch in due.items():
            if (stretch := watch.look(self._kept[0], share, now_us)) is not None:
                self._ended.append((index_id, stretch))

    def _end(self, index_id: str, watch: Watch) -> None:
        if (stretch := watch.end(self._now_us())) is not None:
            self._ended.append((index_id, stretch))

    def _now_us(self) -> int:
        """The publisher's clock, which goes on while a still screen sends nothing."""
        return time.time_ns() // 1000 + self._media_ahead_us

    async def _keep(self, screen: Screen) -> str | None:
        """Object first, row second; None where neither would take it."""
        frame_id = new_id("frm")
        key = screen_key(self._account_id, self._stream_id, frame_id)
        data = await asyncio.to_thread(screen.jpeg)
        for attempt in range(STORE_ATTEMPTS):
            try:
                with suppress(ObjectExists):
                    await self._context.storage.put_bytes(key, data)
                async with self._context.db.transaction() as session:
                    await add_screen(
                        session,
                        frame_id=frame_id,
                        stream_id=self._stream_id,
                        storage_key=key,
                        at_us=screen.at_us,
                        width=screen.width,
                        height=screen.height,
                    )
                return frame_id
            except (StorageUnavailable, *DATABASE_AWAY) as error:
                logger.warning("a screen of %s not stored yet: %s", self._stream_id, type(error).__name__)
                await asyncio.sleep(0.2 * 2**attempt)
        self.lost_screens += 1
        logger.error("a screen of %s lost: nowhere to put it", self._stream_id)
        return None

    async def _pass_on(self) -> None:
        """Windows that the database does not take now stay for the next turn."""
        while self._ended:
            index_id, stretch = self._ended[0]
            try:
                async with self._context.db.transaction() as session:
                    await add_window(
                        session,
                        index_id,
                        start_us=stretch.start_us,
                        end_us=stretch.end_us,
                        frame_ids=stretch.frame_ids,
                    )
            except DATABASE_AWAY as error:
                logger.warning("a window of %s not kept yet: %s", self._stream_id, type(error).__name__)
                return
            del self._ended[0]


def shows_more(kept: Screen, seen: Screen) -> bool:
    """Whether it shows what the kept one does not; a coarser picture of the same screen does not."""
    if is_sharper(seen, kept):
        return False
    return is_sharper(kept, seen) or is_another_screen(kept.cells, seen.cells)
