import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.streams.spooled import Manifest, Recorded
from app.ingest.spool.spool import THREADS, Spool
from app.media.frames import Codec

MANIFEST = Manifest(
    segment_id="seg-1",
    account_id="acc-1",
    stream_id="rts-1",
    codec=Codec.VP8,
    container="webm",
    started_at_us=1,
    discontinuity=True,
)
RECORDED = Recorded(size_bytes=3, duration_us=1, frame_count=1, starts_with_keyframe=True, width=2, height=2)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path, reserve_bytes=0, sync=False)
    yield made
    made.close()


def test_a_finished_segment_is_taken_up_as_it_was_finished(spool: Spool, tmp_path: Path) -> None:
    spool.begin(MANIFEST).close()
    finished = spool.finish(MANIFEST.model_copy(update={"recorded": RECORDED}))
    with (tmp_path / "rts-1" / "seg-1.json").open("a") as torn:
        torn.write('\n{"segment_id": "se')
    assert spool.take_up("rts-1") == [finished]


def test_a_line_behind_a_torn_one_counts(spool: Spool, tmp_path: Path) -> None:
    spool.begin(MANIFEST).close()
    with (tmp_path / "rts-1" / "seg-1.json").open("a") as torn:
        torn.write('\n{"segment_id": "se')
    finished = spool.finish(MANIFEST.model_copy(update={"recorded": RECORDED}))
    assert spool.take_up("rts-1") == [finished]


async def test_work_of_one_step_is_shared_out_and_fails_alone(spool: Spool) -> None:
    def work(number: int) -> tuple[int, str]:
        if number == 5:
            raise OSError("no room")
        return number, threading.current_thread().name

    asked = (spool.in_thread(work, number) for number in range(12))
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(done.pop(5), OSError)
    results = [one for one in done if isinstance(one, tuple)]
    assert [number for number, _ in results] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert 1 <= len({name for _, name in results}) <= THREADS


async def test_a_closed_spool_refuses_work(tmp_path: Path) -> None:
    closed = Spool(tmp_path, reserve_bytes=0, sync=False)
    closed.close()
    with pytest.raises(RuntimeError):
        await closed.in_thread(int)
