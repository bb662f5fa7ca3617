import asyncio

from app.ingest.batches import FrameBatches
from app.media.frames import Codec, EncodedFrame

NOW = {"collect_seconds": 0.001, "idle_seconds": 0.01}


def frame(number: int) -> EncodedFrame:
    return EncodedFrame(Codec.OPUS, bytes([number]), number, number, is_keyframe=True)


async def test_frames_come_in_order_and_in_one_batch() -> None:
    batches = FrameBatches("test", limit=10)
    for number in range(3):
        assert batches.offer(frame(number))
    assert await batches.next(**NOW) == [frame(0), frame(1), frame(2)]
    assert await batches.next(**NOW) == []  # quiet


async def test_a_waiting_reader_is_woken_by_a_frame() -> None:
    batches = FrameBatches("test", limit=10)
    reading = asyncio.create_task(batches.next(collect_seconds=0.001, idle_seconds=60))
    await asyncio.sleep(0)
    batches.offer(frame(1))
    async with asyncio.timeout(5):
        assert await reading == [frame(1)]


async def test_what_does_not_fit_is_dropped_and_counted() -> None:
    batches = FrameBatches("test", limit=2)
    assert [batches.offer(frame(number)) for number in range(5)] == [True, True, False, False, False]
    assert batches.dropped_frames == 3
    assert await batches.next(**NOW) == [frame(0), frame(1)]
    assert batches.offer(frame(9))
    assert await batches.next(**NOW) == [frame(9)]


async def test_what_was_taken_is_read_after_the_close_and_then_it_ends() -> None:
    batches = FrameBatches("test", limit=10)
    batches.offer(frame(1))
    batches.close()
    assert not batches.offer(frame(2))
    assert await batches.next(**NOW) == [frame(1)]
    assert await batches.next(**NOW) is None
    assert await batches.next(**NOW) is None


async def test_a_waiting_reader_is_woken_by_the_close() -> None:
    batches = FrameBatches("test", limit=10)
    reading = asyncio.create_task(batches.next(collect_seconds=0.001, idle_seconds=60))
    await asyncio.sleep(0)
    batches.close()
    async with asyncio.timeout(5):
        assert await reading is None
