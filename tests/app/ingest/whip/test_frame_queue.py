import asyncio

from app.ingest.whip.frame_queue import MAX_QUEUED_BYTES, MAX_QUEUED_FRAMES, FrameQueue
from app.media.frames import Codec, EncodedFrame


def frame(size: int = 1) -> EncodedFrame:
    return EncodedFrame(Codec.OPUS, bytes(size), 0, 0, True)


def test_a_full_queue_refuses_by_count_and_by_bytes() -> None:
    queue = FrameQueue()
    assert all(queue.offer(frame()) for _ in range(MAX_QUEUED_FRAMES))
    assert not queue.offer(frame())
    queue = FrameQueue()
    assert queue.offer(frame(MAX_QUEUED_BYTES))
    assert not queue.offer(frame())


def test_what_was_queued_before_closing_is_still_given() -> None:
    async def scenario() -> list[int]:
        queue = FrameQueue()
        waiting = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        queue.offer(frame(3))
        first = await waiting
        queue.offer(frame(4))
        queue.close()
        assert not queue.offer(frame())
        queued = [*first, *await queue.take(), *await queue.take()]
        return [len(one.data) for one in queued]

    assert asyncio.run(scenario()) == [3, 4]
