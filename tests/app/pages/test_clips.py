import asyncio
from collections.abc import AsyncIterator

import pytest

from app.base.errors import Unavailable, Unprocessable
from app.pages.clips import WAITING, Clips, ClipSource
from app.process import Context


class Recording:
    """Recorded bytes that can be held back; counts how often a clip is made of them."""

    def __init__(self) -> None:
        self.made = 0
        self.released = asyncio.Event()

    def clip(self, identity: str, size_bytes: int = 100) -> ClipSource:
        async def read(_: Context) -> bytes:
            await self.released.wait()
            return identity.encode()

        def make(data: bytes) -> bytes:
            self.made += 1
            if data == b"broken":
                raise Unprocessable("broken")
            return data.ljust(size_bytes)

        return ClipSource(identity, read, make)


@pytest.fixture
async def clips(context: Context) -> AsyncIterator[Clips]:
    opened = Clips(context, kept_bytes=250)
    yield opened
    await opened.close()


async def test_who_asks_at_once_shares_the_work(clips: Clips) -> None:
    recording = Recording()
    asked = [asyncio.create_task(clips.get(recording.clip("one"))) for _ in range(5)]
    recording.released.set()
    assert await asyncio.gather(*asked) == [b"one".ljust(100)] * 5
    assert recording.made == 1


async def test_the_longest_unused_clip_is_forgotten(clips: Clips) -> None:
    recording = Recording()
    recording.released.set()
    for identity in ("one", "two", "one", "three", "one", "two"):
        await clips.get(recording.clip(identity))
    assert recording.made == 4  # `two` alone had to be made again


async def test_who_goes_away_takes_nothing_from_the_others(clips: Clips) -> None:
    recording = Recording()
    gone, staying = (asyncio.create_task(clips.get(recording.clip("one"))) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    recording.released.set()
    assert await staying == b"one".ljust(100)


async def test_a_failure_is_not_kept(clips: Clips) -> None:
    recording = Recording()
    recording.released.set()
    for _ in range(2):
        with pytest.raises(Unprocessable):
            await clips.get(recording.clip("broken"))
    assert recording.made == 2


async def test_too_many_are_told_to_come_again(clips: Clips) -> None:
    recording = Recording()
    asked = [asyncio.create_task(clips.get(recording.clip(f"{number}"))) for number in range(WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await clips.get(recording.clip("one more"))
    assert clips.refused == 1
    recording.released.set()
    await asyncio.gather(*asked)
