"""A display is looked at while an index asks: other pictures are kept once, windows follow each other."""

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select

from app.domain.indexes import service as indexes
from app.domain.indexes.models import IndexWindow, SceneIndex, ScreenFrame
from app.ingest.sinks import screens as screens_module
from app.ingest.sinks.screens import ScreenWatcher
from app.media.frames import Codec, EncodedFrame
from app.process import Context
from tests.fakes.storage import FailingStorage
from tests.fixtures.desktops import desktop
from tests.fixtures.eventually import eventually
from tests.fixtures.factories import Tenant, jobs_of, make_active, make_tenant
from tests.fixtures.indexing import make_index
from tests.fixtures.media import video_frames

LIMIT_SECONDS = 30


@dataclass
class Display:
    context: Context
    storage: FailingStorage
    tenant: Tenant
    stream_id: str
    keyframes_asked: int = 0

    def watcher(self) -> ScreenWatcher:
        return ScreenWatcher(
            self.context,
            account_id=self.tenant.account_id,
            stream_id=self.stream_id,
            request_keyframe=self.ask,
        )

    def ask(self) -> None:
        self.keyframes_asked += 1

    async def index(self, seconds: float = 1, frame_count: int = 2) -> SceneIndex:
        config = {"time": seconds, "frame_count": frame_count}
        index_id = await make_index(self.context, self.stream_id, extraction_config=config)
        async with self.context.db.transaction() as session:
            return await session.get_one(SceneIndex, index_id)

    async def rows(self, table: type[Any], order: Any) -> list[Any]:
        async with self.context.db.transaction() as session:
            return list(await session.scalars(select(table).order_by(order)))

    async def frames(self) -> list[ScreenFrame]:
        return await self.rows(ScreenFrame, ScreenFrame.at_us)

    async def windows(self) -> list[IndexWindow]:
        return await self.rows(IndexWindow, IndexWindow.start_us)


@pytest.fixture
async def display(context: Context, monkeypatch: pytest.MonkeyPatch) -> Display:
    monkeypatch.setattr(screens_module, "STORE_ATTEMPTS", 2)
    tenant = await make_tenant(context)
    _, opened = await make_active(context, tenant, ("display:1",))
    storage = FailingStorage(context.settings.data_dir / "objects")
    with_storage = Context(context.settings, context.db, context.redis, storage)
    return Display(with_storage, storage, tenant, opened["display:1"])


def showing(*lines: str, seconds: float = 0.4, bit_rate: int = 1_500_000) -> list[EncodedFrame]:
    """A desktop with these lines, from a key frame on."""
    return video_frames(
        Codec.H264,
        seconds=seconds,
        frames_per_second=5,
        width=1280,
        height=720,
        draw=lambda *_: desktop("Notes", lines),
        bit_rate=bit_rate,
    )


async def close(watcher: ScreenWatcher) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        await watcher.close()


async def test_windows_follow_each_other_and_a_still_screen_is_kept_once(display: Display) -> None:
    index = await display.index()
    watcher = display.watcher()
    watcher.watch([index])
    for frame in showing("Budget 2026"):
        watcher.offer(frame)
    await eventually(lambda: _at_least(display, windows=2))
    for frame in showing("Budget 2026", "Approved by all."):
        watcher.offer(frame)
    await eventually(lambda: _at_least(display, windows=2, frames=2))
    await close(watcher)
    windows, frames = await display.windows(), await display.frames()
    assert len(frames) == 2
    for before, after in itertools.pairwise(windows):
        assert before.end_us == after.start_us
    assert windows[0].frames == [frames[0].id]
    assert windows[-1].frames[-1] == frames[1].id
    assert sorted(await jobs_of(display.context, "read_screen")) == sorted(frame.id for frame in frames)
    assert sorted(await jobs_of(display.context, "index_window")) == sorted(one.id for one in windows)
    for frame in frames:
        assert (frame.width, frame.height, frame.lines) == (1280, 720, None)
        data = b"".join([block async for block in display.storage.read(frame.storage_key)])
        assert data.startswith(b"\xff\xd8")


async def test_a_sharper_picture_of_the_same_screen_takes_the_coarse_ones_place(display: Display) -> None:
    watcher = display.watcher()
    watcher.watch([await display.index(60, frame_count=60)])
    lines = [f"Line {number} of the minutes of the board" for number in range(16)]
    for frame in showing(*lines, bit_rate=30_000):
        watcher.offer(frame)
    await eventually(lambda: _at_least(display, frames=1))
    for frame in showing(*lines, bit_rate=8_000_000):
        watcher.offer(frame)
    await eventually(lambda: _at_least(display, frames=2))
    await close(watcher)
    (window,) = await display.windows()
    assert window.frames == [(await display.frames())[1].id]


async def test_an_index_that_stops_has_its_window_as_it_stands(display: Display) -> None:
    stays, goes = await display.index(60), await display.index(60)
    watcher = display.watcher()
    watcher.watch([stays, goes])
    for frame in showing("Hello"):
        watcher.offer(frame)
    await eventually(lambda: _at_least(display, frames=1))
    watcher.watch([stays])
    await eventually(lambda: _at_least(display, windows=1))
    assert [window.index_id for window in await display.windows()] == [goes.id]
    await close(watcher)
    assert {window.index_id for window in await display.windows()} == {goes.id, stays.id}


async def test_a_key_frame_is_asked_for_where_there_is_no_picture(display: Display) -> None:
    watcher = display.watcher()
    watcher.watch([await display.index()])
    for frame in showing("Hello")[1:]:
        watcher.offer(frame)
    await eventually(lambda: _asked(display))
    await close(watcher)
    assert await display.frames() == await display.windows() == []


async def test_a_screen_that_storage_refuses_is_counted_and_tried_again(display: Display) -> None:
    display.storage.failures = 2
    watcher = display.watcher()
    watcher.watch([await display.index()])
    for frame in showing("Hello"):
        watcher.offer(frame)
    await eventually(lambda: _at_least(display, frames=1))
    await close(watcher)
    assert watcher.lost_screens == 1
    assert len(await display.frames()) == 1


async def test_windows_of_a_deleted_index_are_dropped(display: Display) -> None:
    index = await display.index(60)
    watcher = display.watcher()
    watcher.watch([index])
    for frame in showing("Hello"):
        watcher.offer(frame)
    await eventually(lambda: _at_least(display, frames=1))
    async with display.context.db.transaction() as session:
        await session.delete(await session.merge(index))
    await close(watcher)
    assert await display.windows() == []


async def test_stopped_indexes_are_not_running(display: Display) -> None:
    index = await display.index()
    async with display.context.db.transaction() as session:
        await indexes.stop_index(session, await session.merge(index))
        assert await indexes.running_indexes(session, "visual", [display.stream_id]) == {}


async def _at_least(display: Display, *, windows: int = 0, frames: int = 0) -> bool:
    return len(await display.windows()) >= windows and len(await display.frames()) >= frames


async def _asked(display: Display) -> bool:
    return display.keyframes_asked > 0
